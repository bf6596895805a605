"""Models in the formats of others: folders, SavedModels, releases."""

FORMATS = ("hf", "savedmodel", "onnx", "tflite", "tf1")  # that a model is exported in
