"""What may be done about an incident: each action in a module of its own, behind `port`."""
