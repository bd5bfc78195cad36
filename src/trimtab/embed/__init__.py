"""Meaning as numbers: texts in, unit vectors out.

`embed.port` is the protocol. `embed.lexical` needs no fit and is quick to import. `embed.lsa` fits a space on the texts
at hand and `embed.saved` keeps it in a file; both take a second to import, so the engine imports them only when it
must. `embed.shelf` is a folder of such files. `embed.endpoint` asks a server, `embed.sentence` runs a model in a
folder, and `embed.choice` says which of them the settings name.
"""
