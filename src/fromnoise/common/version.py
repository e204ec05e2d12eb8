"""The version, in the one place that code reads it from; pyproject.toml holds the same."""

__version__ = "0.1.0"
