"""Edits with a trained model: inpainting, variations, interpolation, inversion."""
