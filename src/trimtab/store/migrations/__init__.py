"""The history of the hot store's tables: how each release's database becomes the next one's, on every SQL backend."""
