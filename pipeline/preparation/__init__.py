"""Prepared data: packed arrays that every dataset becomes, and the index files that split them."""
