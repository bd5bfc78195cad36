"""Second room: joins feedback to what it is about, keeps each person's latest opinion, judges every answer."""
