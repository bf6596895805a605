"""Whether a step fits into memory: estimated, refused, or tried."""
