"""Checks on a trained model, each measured, each with advice: what is wrong with samples, and what to do next.

A file holds the checks of one concept, which return findings. `diagnose.diagnose` runs all of them in the order of
causes: data and training come before the network, the network before its samples.
"""
