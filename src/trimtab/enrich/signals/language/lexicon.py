"""What one language's list holds, and how its phrases are written."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Lexicon"]


class Lexicon(NamedTuple):
    """The words of one language. Case, accents and apostrophes do not matter.

    In a phrase `(a|b)` stands for either and `(a|)` for a or nothing. A phrase fits where a clause begins with it; one
    that ends with a full stop, only where it is the whole clause. Of phrases that fit, the longest decides.
    """

    objection: str
    """Phrases, one a line: the answer before was wrong or beside the point."""
    thanks: str
    """Phrases, one a line: the answer before was good."""
    neither: str
    """Phrases, one a line, that begin like one of the above and say neither."""
    openers: str
    """Words that may come before a phrase: greetings, no, well, sorry."""
    fillers: str
    """Words inside a phrase that change nothing: still, really, completely."""
    turns: str
    """Words that begin a new clause: but."""
    steps: str
    """Phrases, one a line, with which a request begins that goes on from the one before: and now, next."""
    common: str
    """Words that say nothing about what is asked for: articles, pronouns, "please", "show me"."""
