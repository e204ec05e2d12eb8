"""Metrics: features in, a number out. Nothing here knows of models, runs or how results are shown."""
