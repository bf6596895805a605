"""One update: its objective, the towers, their sum, and the same of an evaluation."""
