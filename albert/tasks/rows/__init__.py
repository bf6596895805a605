"""Labelled examples, from a file to arrays of one shape."""
