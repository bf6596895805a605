"""Whether records are what they should be: the form of each, the statistics of all."""
