"""The embedded models, their card and their notices (data only)."""
