"""Runs of notebooks and what they leave on disk."""
