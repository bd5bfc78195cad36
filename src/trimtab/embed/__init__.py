"""Meaning as numbers: texts in, unit vectors out.

`embed.port` is the protocol, `embed.lsa` fits a space. The latter takes a second to import, so the engine imports it
only when it must answer by itself.
"""
