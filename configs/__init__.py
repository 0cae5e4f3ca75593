"""YAML configurations, installed beside the package (data only)."""
