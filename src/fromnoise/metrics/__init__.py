"""Metrics: how good pictures are, told by what was learned from the real ones. Nothing here knows of training."""
