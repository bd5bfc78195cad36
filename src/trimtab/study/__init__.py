"""Months in minutes: streams of real texts and simulated users through the real engine, under a set clock."""
