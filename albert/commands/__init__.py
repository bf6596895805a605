"""The sub-commands of `python -m albert`, one module each."""
