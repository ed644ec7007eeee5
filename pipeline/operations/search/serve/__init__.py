"""A web server for an index: a JSON API, and a page that uses it."""
