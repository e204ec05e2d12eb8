"""A trained model in formats that others read: diffusers, ONNX, one HTML file. Nothing here writes into a run."""
