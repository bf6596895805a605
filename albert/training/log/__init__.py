"""What a run writes down while it goes: averages, lines, metrics, curves."""
