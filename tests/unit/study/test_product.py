from __future__ import annotations

from trimtab.study.product.brisk import WEEKS, events, held_back, launch, questions, topics


def test_every_topic_is_worth_asking_about() -> None:
    asked = [question for topic in topics().values() for question in topic.questions]
    assert len(topics()) == 30
    assert len(asked) == len(set(asked))
    for name, topic in topics().items():
        assert len(topic.questions) >= 12, name
        assert (topic.changed_week is None) == (topic.changed_answer == ""), name
        assert topic.right(WEEKS) in (topic.answer, topic.changed_answer)
    answers = [text for topic in topics().values() for text in (topic.answer, topic.changed_answer) if text]
    assert len(answers) == len(set(answers))


def test_right_answer_changes_in_its_week_and_not_before() -> None:
    topic = topics()["cancel-subscription"]
    assert topic.changed_week == 6
    assert (topic.right(5), topic.right(6)) == (topic.answer, topic.changed_answer)


def test_held_back_questions_are_never_asked_or_taught() -> None:
    held = {text for text, _ in held_back(WEEKS)}
    asked = {question.text for week in range(WEEKS) for question in questions(week, 400, seed=1)}
    assert not held & asked
    assert not held & {text for text, _ in launch()}


def test_stream_repeats_for_a_seed_and_differs_between_seeds() -> None:
    first, again, other = (list(questions(3, 50, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert [question.after for question in first] == sorted(question.after for question in first)


def test_topics_come_up_only_from_their_week_on() -> None:
    for week in (0, 4, 20):
        assert all(topics()[question.topic].week <= week for question in questions(week, 300, seed=0))
    assert sum(len(events(week)) for week in range(WEEKS)) == 18
