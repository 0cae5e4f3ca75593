"""Statistics of quality assessment: pure functions of arrays."""
