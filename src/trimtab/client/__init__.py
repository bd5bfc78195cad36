"""The Python SDK that an application imports: the standard library alone, and nothing of the engine.

It records inferences and feedback without ever blocking or raising into the application, and serves the active Version
of a feature from a local cache that a background thread keeps fresh.
"""
