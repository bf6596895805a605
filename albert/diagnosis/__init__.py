"""Says whether a run learns more than word frequencies, and if not, why."""
