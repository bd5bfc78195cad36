"""The report: what the loop did and what it was worth, as parts that any format can show."""
