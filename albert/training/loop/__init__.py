"""The loop of every training, and what it does between updates."""
