"""From record files to batches: the offset index, the seeded order, rows and their masks."""
