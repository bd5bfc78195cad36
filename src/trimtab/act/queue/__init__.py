"""What people are asked about beside incidents: once a week, the themes of what looks wrong, and a random audit."""
