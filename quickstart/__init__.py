"""The whole job on one machine in minutes: text in, a validated ALBERT out."""
