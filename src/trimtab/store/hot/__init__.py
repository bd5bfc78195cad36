"""The hot store: recent events, live counters and the state of every stage, in SQLite by default."""
