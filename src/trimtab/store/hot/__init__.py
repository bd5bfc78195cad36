"""The hot store: recent rows, live state and counters, behind the ports of `trimtab.store.ports`."""
