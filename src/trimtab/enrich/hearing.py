"""The hints about answers: what people did with them, what the next turns say, whether the session was left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from trimtab.config import Signals
from trimtab.enrich.conversation import Conversation
from trimtab.enrich.signals.abandon import left
from trimtab.enrich.signals.event import done
from trimtab.enrich.signals.likeness import Spelling
from trimtab.enrich.signals.session import heard
from trimtab.enrich.signals.sign import Sign
from trimtab.enrich.signals.turn import Turn, turn_of
from trimtab.records import Feedback, Inference, Opinion

__all__ = ["NEEDS_WORDS", "Hearing", "last_run"]

NEEDS_WORDS: Final = frozenset({"edit", "click"})
"""The kinds of which the feedback itself is looked at: the kept text, the citation that was clicked."""

_LIKENESS: Final = Spelling()


class Hearing:
    """Listens within one tick.

    `read` returns inferences by id, `words` is the feedback behind opinions of the kinds in `NEEDS_WORDS`.
    """

    def __init__(
        self,
        settings: Signals,
        talks: Mapping[tuple[str, str], Conversation],
        words: Mapping[str, Feedback],
        read: Callable[[Sequence[str]], list[Inference]],
    ) -> None:
        self._settings = settings
        self._talks = talks
        self._words = words
        self._read = read
        self._turns: dict[str, Turn] = {}
        self._places: dict[tuple[str, str], dict[str, int]] = {}

    def hints(self, about: Inference, opinions: Sequence[Opinion]) -> list[Sign]:
        """Return all hints about one answer."""
        signs = done(about, opinions, self._words, self._settings)
        key = (about.session_id or "", about.feature)
        talk = self._talks.get(key)
        if talk is None:
            return signs
        ids = [turn.inference_id for turn in talk.turns]
        places = self._places.setdefault(key, {each: place for place, each in enumerate(ids)})
        place = places.get(about.id)
        if place is None:  # stored, but its own turn to be enriched has not come; it is judged again then
            return signs
        if place + 1 < len(ids):
            window = self._spoken(ids[place : place + 1 + self._settings.turns])
            return signs + heard(self._turns[about.id], window, self._settings, _LIKENESS)
        if talk.closed:
            run = self._spoken(ids[-last_run(self._settings) :])
            said = {turn.inference_id: heard(turn, run, self._settings, _LIKENESS) for turn in run}
            given_up = left(run, said, opinions, self._settings)
            if given_up is not None:
                signs.append(given_up)
        return signs

    def _spoken(self, ids: Sequence[str]) -> list[Turn]:
        missing = [each for each in ids if each not in self._turns]
        if missing:
            self._turns.update((each.id, turn_of(each)) for each in self._read(missing))
        return [self._turns[each] for each in ids if each in self._turns]


def last_run(settings: Signals) -> int:
    """Return how many of the last turns of a session say whether it was given up."""
    return 1 + settings.abandon_after + settings.turns
