"""The only room that knows a database: ports (`trimtab.store.ports`), the hot store, later the lake and the vectors."""
