"""Documents to pairs to records, in memory: pure functions of arrays."""
