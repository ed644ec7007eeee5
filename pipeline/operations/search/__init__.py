"""A search index over the codes of one cell: built from a study, extended, queried, served and exported."""
