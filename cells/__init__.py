"""The stages of a cell, for every method."""
