"""Months in minutes: a drifting stream and simulated users, through the real engine under a set clock."""
