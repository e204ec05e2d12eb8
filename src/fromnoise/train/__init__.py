"""Training: the loop, the update, the averaged weights, time budgets, checkpoints, validation, sessions."""
