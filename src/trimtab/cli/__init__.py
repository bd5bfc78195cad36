"""The `trimtab` command: one file per subcommand, each a thin layer over the rooms below it."""
