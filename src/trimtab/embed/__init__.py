<<<<<<< HEAD
"""Meaning as numbers: texts in, unit vectors out."""

from trimtab.embed.lsa import LsaEmbedder, fit_lsa
from trimtab.embed.port import Embedder

__all__ = ["Embedder", "LsaEmbedder", "fit_lsa"]
=======
"""The meaning of a text as a vector, fitted only on texts that were seen before the moment of use."""
>>>>>>> main
