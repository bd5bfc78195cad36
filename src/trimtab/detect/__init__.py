"""Third room: watches votes per version with a test that may be looked at every minute, and opens incidents."""
