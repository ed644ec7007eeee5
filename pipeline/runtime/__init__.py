"""Code that every stage uses: errors, paths, atomic outputs, registries, and how a stage starts and ends."""
