"""Damage, of every kind and everywhere."""
