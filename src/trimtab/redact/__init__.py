"""Personal data and secrets never reach the first durable byte: rules, tokens, and the wall before storage."""
