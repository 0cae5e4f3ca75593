"""Training code."""
