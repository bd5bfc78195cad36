"""Training sets from what people said: which rows, in whose format, split how, and where each row came from."""
