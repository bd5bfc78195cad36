"""The sample product: the support desk of Brisk, an invented bicycle company, over six months in which it changes."""
