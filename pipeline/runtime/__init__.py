"""What every stage stands on: errors, paths, whole-or-nothing outputs, registries, the way a stage starts and ends."""
