"""Several hosts that train one model: who they are, what they add up, what they agree on."""
