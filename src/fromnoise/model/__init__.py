"""The trained model: a denoiser at a checkpoint that samples, without run folder or training data."""
