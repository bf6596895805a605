"""From record files to batches: the record schema, the offset index, the seeded order."""
