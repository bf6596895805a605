"""Whether a run learns, and if not, why and which flag to change."""
