"""From text to records, without TensorFlow."""
