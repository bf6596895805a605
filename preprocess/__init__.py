"""From dirty text to verified pre-training records. Never imports TensorFlow."""
