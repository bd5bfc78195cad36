"""Watches that a team declares: which measure, group by group, against which reference, and what an alarm may do."""
