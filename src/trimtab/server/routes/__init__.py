"""One file per resource of the wire contract; a route decodes, calls the room that knows, and encodes."""
