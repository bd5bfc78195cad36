"""The way in: authenticate, decode, admit, redact, append, acknowledge.

An acknowledged event is on disk, redacted, and stored once however often it is sent. One bad event of a batch is
refused by its index and the rest are kept.
"""
