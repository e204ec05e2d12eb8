"""Training: options, device and precision, the loop, the averaged weights, checkpoints."""
