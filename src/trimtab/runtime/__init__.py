"""The only room that puts parts together: opens the store, chooses backends, owns the stages and their thread."""
