"""Dirty files to clean documents."""
