"""The public API: what a script, a notebook or a command calls, and the results they get back."""
