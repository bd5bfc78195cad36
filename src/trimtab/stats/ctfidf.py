"""The words that tell one group of texts from the others."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

__all__ = ["telling_terms"]

_WORD = re.compile(r"[^\W\d_](?:[\w'’-]*\w)?")
# Words that only hold sentences together, in the languages feedback most often comes in.
_LANGUAGES = """
    a about after all also am an and any are as at be been before being but by can could did do does doing don't for
    from get got had has have having he her here him his how i i'm if in into is it it's its just let like may me might
    more most much my no not now of off on once one only or other our out over please really she should so some such
    than that that's the their them then there these they this those to too until up us very was we were what when where
    which while who why will with would you your
    aber als am an auch auf aus bei bin bist da das dass dem den der des die doch du durch ein eine einem einen einer es
    für hat habe haben ich ihr im in ist ja kann man mein mich mir mit nach nicht noch nur oder schon sehr sein sich sie
    sind so über um und uns vom von vor war was wenn wie wir zu zum zur
    au aux avec ce ces cette dans de des donc du elle en est et être il ils je j'ai la le les leur lui ma mais me mes
    moi mon ne nous on ou par pas plus pour qu que qui sa se ses si son sont sur te tu un une vous
    al como con cuando de del el ella en era es esta está este esto fue ha hay la las le lo los más me mi mis muy no
    nos o para pero por porque que se si sin su sus también te tengo un una y ya yo
    ao aos com como da das do dos e ela ele em essa esse eu foi isso já mas mais me meu minha muito na não nas no nos
    os ou para pela pelo por quando que se sem ser seu sua são também um uma você
    ai che chi ci con cosa da dal del della di e è gli ha ho i il in io la le lo ma mi mio nel nella non o per perché
    più quando se sei si sono su un una
"""
_FUNCTION_WORDS = frozenset(_LANGUAGES.split())


def telling_terms(groups: Sequence[Sequence[str]], *, terms: int = 5) -> list[list[str]]:
    """Return for each group of texts the words and word pairs that tell it from the others, the most telling first.

    Class-based TF-IDF: w(t, c) = tf(t, c) / |c| * log(1 + A / f(t)), where tf counts the texts of group c that have
    term t, |c| its texts, f(t) those of all groups and A the mean number of terms per group. Texts are counted, not
    occurrences, so that no long text names its group by itself; words that only join others are left out; a word pair
    stands for its words when it is two thirds as telling. Assumption: groups are formed without regard to single words.
    Source: Grootendorst, "BERTopic", arXiv:2203.05794, 2022.
    """
    counts = [Counter(term for text in texts for term in _terms(text)) for texts in groups]
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    mean = sum(each.total() for each in counts) / max(1, len(counts))
    named = []
    for texts, each in zip(groups, counts, strict=True):
        scores = {
            term: count / len(texts) * math.log1p(mean / total[term])
            for term, count in each.items()
            if count > 1 or len(texts) < 3
        }
        named.append(_best(scores, terms))
    return named


def _best(scores: dict[str, float], terms: int) -> list[str]:
    """Return the highest, none of whose words stand in one already taken."""
    taken: list[str] = []
    seen: set[str] = set()
    for term in sorted(scores, key=lambda term: (-scores[term] * (1.5 if " " in term else 1.0), term)):
        if not seen.isdisjoint(term.split()):
            continue
        taken.append(term)
        seen.update(term.split())
        if len(taken) == terms:
            break
    return taken


def _terms(text: str) -> Iterable[str]:
    words = [word.replace("’", "'") for word in _WORD.findall(text.lower())]
    kept = {word for word in words if word not in _FUNCTION_WORDS and len(word) > 1}
    pairs = {f"{first} {second}" for first, second in pairwise(words) if first in kept and second in kept}
    return kept | pairs
