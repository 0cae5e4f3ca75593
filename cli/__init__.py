"""The command `grmp`."""
