"""Models for other runtimes, ONNX and TensorFlow Lite, each held to TensorFlow before it counts."""
