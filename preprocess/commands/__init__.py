"""The sub-commands of `python -m preprocess`, one module each."""
