"""One module per migration, `v0001` first; Alembic reads them from this folder."""
