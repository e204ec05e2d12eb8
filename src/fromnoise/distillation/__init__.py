"""Few-step models: a network that learns where the trajectories of a trained model end."""
