"""A Version as the messages a model is sent: its template, rules and facts, worked examples, then the user's words."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.records import Exemplar, Knowledge, Message, Version

__all__ = ["render"]

_SLOT = "{input}"
_INSTRUCTING = ("system", "developer")


def render(
    version: Version,
    text: str,
    exemplars: Sequence[Exemplar],
    facts: Sequence[Knowledge] = (),
    *,
    asked: Sequence[Message] | None = None,
) -> list[Message]:
    """Return the messages for one input; `exemplars` are those to show, the nearest last; `facts` the nearest first.

    `asked` are the turns of which `text` is the last word: they follow a template without a place for the input, and
    stand in for a turn that is nothing but that place.

    Rules stand at the end of the first system message (one is made where the template has none), facts in one of their
    own behind it. `{input}` in the template is replaced; a template without it is followed by the input as the user's
    turn. User text is put in once and never read as a template again.
    """
    template = list(version.messages)
    rules = "\n".join(f"- {rule.text}" for rule in version.rules)
    if rules:
        block = f"Follow these rules:\n{rules}"
        first = next((place for place, message in enumerate(template) if message.role in _INSTRUCTING), None)
        if first is None:
            template.insert(0, Message(role="system", content=block))
        else:
            held = template[first]
            template[first] = Message(role=held.role, content=f"{held.content}\n\n{block}")
    known: Message | None = None
    if facts:
        lines = [
            f"[{item.id}] {item.question}\n{item.text}" if item.question else f"[{item.id}] {item.text}"
            for item in facts
        ]
        block = "\n".join(["Known facts, which hold where other sources say otherwise:", *lines])
        first = next((place for place, message in enumerate(template) if message.role in _INSTRUCTING), -1)
        known = Message(role="system", content=block)
        template.insert(first + 1, known)
    shown = [
        message
        for item in exemplars
        for message in (Message(role="user", content=item.input), Message(role="assistant", content=item.output))
    ]
    holding = (place for place, message in enumerate(template) if message is not known and _SLOT in message.content)
    slot = next(holding, None)  # what people wrote is no template
    if slot is None:
        return [*template, *shown, *([Message(role="user", content=text)] if asked is None else asked)]
    held = template[slot]
    filled = [Message(role=held.role, content=held.content.replace(_SLOT, text))]
    if asked and held.content.strip() == _SLOT:
        filled = list(asked)
    return [*template[:slot], *shown, *filled, *template[slot + 1 :]]
