"""The meaning of a text as a vector, fitted only on texts that were seen before the moment of use."""
