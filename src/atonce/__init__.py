"""Sequence models, from recurrence to attention: train them, see what they look at."""

__version__ = "0.1.0"
