"""The lake: all history as Delta tables, on local disk or S3, read by any engine, written by Trimtab alone."""
