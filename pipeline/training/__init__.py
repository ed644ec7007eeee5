"""Training: one loop for all methods and quantizers."""
