"""Jobs of scoring that survive: rows in a folder of parts, written as they come, and gone on with later."""
