"""How an answer to a golden case is checked, and how far a judging model may be believed."""
