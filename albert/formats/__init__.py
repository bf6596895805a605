"""Models in the formats of others: folders, SavedModels, releases."""

FORMATS = ("hf", "savedmodel", "tf1")  # that a model is exported in
