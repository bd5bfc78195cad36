"""How fast the product learns: time to detect, to change and to a verified fix, each with its n and interval."""
