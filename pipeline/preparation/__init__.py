"""Prepared data: the packed arrays that every dataset is converted to, and the index files of its splits."""
