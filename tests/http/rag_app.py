"""A small product that answers from documents, with the SDK in it: a real index, a real search, an answer from it."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta

from tests.live import Live
from trimtab.client import Client, Patch
from trimtab.clock import SetClock

__all__ = ["FEATURE", "Index", "RagApp"]

FEATURE = "desk"
DOCUMENTS = {
    "returns": "Returns: send a bike back within 30 days of delivery, free of charge.",
    "puncture": "Punctures: the workshop repairs a puncture for 12.50 euros.",
    "hours": "Opening hours: the shop is open from 10 to 18, on Saturday to 16.",
    "theft": "Insurance: theft is insured for two years.",
    "payment": "Payment: pay by invoice, card or PayPal.",
    "shipping": "Shipping: a parcel to Switzerland costs 25 euros.",
    "battery": "Battery: one charge lasts for 120 km.",
}
QUESTIONS = {
    "Until when can I send my bike back?": "returns",
    "How many days do I have to send a bike back?": "returns",
    "Can I send back a bike after delivery?": "returns",
    "What does it cost to repair a puncture?": "puncture",
    "When is the shop open on Saturday?": "hours",
    "Is theft insured?": "theft",
    "Can I pay by invoice?": "payment",
    "What does shipping to Switzerland cost?": "shipping",
    "How long does the battery last on one charge?": "battery",
}
RIGHT = {**DOCUMENTS, "returns": "Returns: send a bike back within 14 days of delivery, free of charge."}


class Index:
    """Documents by id, found by the cosine of their words, rare ones counting more."""

    def __init__(self, documents: dict[str, str]) -> None:
        self.documents = dict(documents)

    def search(self, query: str, k: int) -> list[tuple[str, float]]:
        """Return the ids and scores of the `k` nearest documents, the nearest first."""
        words = {name: set(_words(text)) for name, text in self.documents.items()}
        seen = Counter(word for each in words.values() for word in each)
        weight = {word: math.log(1 + len(words) / count) for word, count in seen.items()}
        asked = set(_words(query))

        def score(name: str) -> float:
            common = sum(weight[word] for word in asked & words[name])
            return common / math.sqrt(sum(weight[word] for word in words[name]) or 1)

        return sorted(((name, score(name)) for name in words), key=lambda found: -found[1])[:k]

    def write(self, patch: Patch) -> Iterable[str]:
        """Bring a patch into the index; it may come twice."""
        if patch.kind == "delete":
            self.documents.pop(patch.entry_id, None)
            return []
        self.documents[patch.entry_id] = patch.document
        return [patch.entry_id]


class RagApp:
    """Asks its index, puts what the Version knows in front, answers with the best passage; people vote on it."""

    def __init__(self, server: Live, client: Client, clock: SetClock, *, seed: int = 0) -> None:
        self.server, self.client, self.clock = server, client, clock
        self.index = Index(DOCUMENTS)
        self._random = random.Random(seed)

    def answer(self, user: str, question: str) -> tuple[str, str]:
        """Answer one question; return the inference id and the answer."""
        facts = self.client.knowledge(FEATURE, input=question, user=user)
        corrected = {fact.source_id for fact in facts}
        found = [(name, score) for name, score in self.index.search(question, 3) if name not in corrected]
        context = [{"id": fact.id, "text": fact.text, "score": 1.0} for fact in facts]
        context += [{"id": name, "text": self.index.documents[name], "score": score} for name, score in found]
        output = str(context[0]["text"])
        told = self.client.record(FEATURE, input=question, output=output, user=user, context=context)
        return told, output

    def hour(self, *, answers: int, vote_rate: float = 0.7, users: int = 3000) -> None:
        """Let people ask for an hour, vote, correct what is wrong; then let the engine work."""
        self.catch_up()
        for _ in range(answers):
            user = f"user-{self._random.randrange(users)}"
            question = self._random.choice(list(QUESTIONS))
            right = RIGHT[QUESTIONS[question]]
            about, output = self.answer(user, question)
            if self._random.random() < vote_rate:
                self.client.thumb(about, up=right in output, user=user)
                if right not in output:
                    self.client.correction(about, right, user=user)
        assert self.client.flush(60)
        self.clock.advance(timedelta(hours=1))
        self.server.engine.settle()

    def until(self, reached: Callable[[], bool], *, hours: int, answers: int = 40) -> int:
        """Let hours pass until something is so; return how many did."""
        for passed in range(hours):
            if reached():
                return passed
            self.hour(answers=answers)
        assert reached(), f"not in {hours} hours"
        return hours

    def catch_up(self) -> None:
        """Wait until the SDK knows what is served now."""
        rollout = self.server.engine.store.rollout("default", FEATURE)
        assert rollout is not None
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            known = self.client.resolve(FEATURE, user="u").rollout
            if known is not None and known.revision == rollout.revision:
                return
            time.sleep(0.01)  # the SDK tells nobody when it has heard of a switch
        raise AssertionError("the SDK did not hear of the switch")


def _words(text: str) -> list[str]:
    return [word.strip(".,:;?!").casefold() for word in text.split()]
