"""What can answer for a feature: the app behind a webhook, or a function of it in a worker process."""
