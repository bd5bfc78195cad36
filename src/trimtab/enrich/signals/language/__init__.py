"""How people object and thank, language by language; all lists apply to every text, so no language must be guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trimtab.enrich.signals.language import de, en, es, fr, it, pt
from trimtab.enrich.signals.language.lexicon import Lexicon

__all__ = ["LANGUAGES"]

LANGUAGES: Final[Mapping[str, Lexicon]] = {
    "en": en.LEXICON,
    "de": de.LEXICON,
    "fr": fr.LEXICON,
    "es": es.LEXICON,
    "pt": pt.LEXICON,
    "it": it.LEXICON,
}
"""Every language there is a list for, by its ISO 639-1 code."""
