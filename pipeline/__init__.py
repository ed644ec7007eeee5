"""Deep supervised hashing experiments as a reproducible pipeline."""
