"""Files into events: rows read, shaped by a mapping, sent through the ordinary intake in batches."""
