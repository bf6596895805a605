"""Folders of Hugging Face's transformers: written and read without torch or transformers."""
