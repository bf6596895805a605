"""Whether a machine trains as it should, and how fast: `python -m albert check-gpu`."""
