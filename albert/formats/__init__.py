"""Models in the formats of others: folders, SavedModels, releases."""
