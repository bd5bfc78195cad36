"""What an app's documents get wrong: finding it, putting it right beside them, and seeing that it is found again."""
