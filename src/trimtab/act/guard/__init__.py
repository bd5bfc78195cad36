"""What keeps wrong, made-up or hostile words out of what the model is shown and judged by."""
