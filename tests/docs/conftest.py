"""What a documentation page may ask for.

`running_server` (session scope) belongs here: the environment of a real server on loopback, as
`{"TRIMTAB_URL": ..., "TRIMTAB_KEY": ...}`. A page that says `<!-- server -->` at its top asks for it by this name, and
fails for as long as nothing provides it.
"""
