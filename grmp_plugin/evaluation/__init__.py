"""Running networks and metrics on images."""
