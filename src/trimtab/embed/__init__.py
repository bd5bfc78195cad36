"""Meaning as numbers: texts in, unit vectors out."""

from trimtab.embed.lsa import LsaEmbedder, fit_lsa
from trimtab.embed.port import Embedder

__all__ = ["Embedder", "LsaEmbedder", "fit_lsa"]
