"""Searches for a better Version on what people said, within a budget."""
