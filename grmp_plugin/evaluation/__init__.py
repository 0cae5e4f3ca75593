"""Running a network over image files."""
