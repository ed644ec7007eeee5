"""Measurements with their tables; not part of the library."""
