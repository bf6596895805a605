"""Name-based TensorFlow checkpoints, readable by the original code."""
