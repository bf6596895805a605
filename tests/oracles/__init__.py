"""Slow, plain NumPy float64 versions of what the project computes with TensorFlow."""
