"""Recipes, model sizes, and how recipe, config file and flags become one Settings."""
