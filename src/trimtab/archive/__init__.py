"""The archive: ships what the hot store holds into the lake and keeps the lake in shape."""
