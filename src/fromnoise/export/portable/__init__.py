"""Files that travel with an exported folder: they import diffusers, torch and Pillow, and nothing of fromnoise."""
