"""How feedback and inferences find each other, whichever comes first."""

from __future__ import annotations

from trimtab.records import Feedback, Inference, Opinion
from trimtab.store.ports import Target

__all__ = ["names_of", "opinion_of", "target_of"]


def target_of(feedback: Feedback) -> Target:
    """Return what the feedback is about, by the most exact name it gives.

    An id of the app's own names one answer, a trace all of a request: it may be the trace of the vote itself.
    """
    if feedback.inference_id:
        return Target("inference", feedback.inference_id)
    if feedback.trace_id and feedback.span_id:
        return Target("span", f"{feedback.trace_id}/{feedback.span_id}")
    if feedback.external_id:
        return Target("external", feedback.external_id)
    if feedback.trace_id:
        return Target("trace", feedback.trace_id)
    return Target("session", str(feedback.session_id))


def names_of(inference: Inference) -> list[Target]:
    """Return every name but its id by which feedback may be about this inference."""
    names = []
    if inference.external_id:
        names.append(Target("external", inference.external_id))
    if inference.trace_id:
        names.append(Target("trace", inference.trace_id))
        if inference.span_id:
            names.append(Target("span", f"{inference.trace_id}/{inference.span_id}"))
    return names


def opinion_of(feedback: Feedback, inference_id: str) -> Opinion:
    """Return the feedback as this person's opinion on that inference."""
    return Opinion(
        inference_id=inference_id,
        feedback_id=feedback.id,
        kind=feedback.kind,
        source=feedback.source,
        created_at=feedback.created_at,
        user_id=feedback.user_id,
        value=feedback.value,
        best=feedback.best,
        retracted=feedback.retracted,
    )
