"""Vectors with what they may be filtered by: the protocol in `port`, its backends beside it.

`sqlite` keeps them in a file of their own, `pgvector` in PostgreSQL.
"""
