"""The space stage on a real store: when it fits, what it hands out, what it leaves on the disk."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab.config import Embedding
from trimtab.embed.endpoint import EndpointEmbedder
from trimtab.embed.lexical import LEXICAL_SPACE
from trimtab.embed.lsa import fit_lsa
from trimtab.enrich.space import SpaceStage, unknown_expected, unknown_share
from trimtab.ids import new_id
from trimtab.records import Erasure, Feedback, Inference, Project, Redacted
from trimtab.store.erasing import ERASED, person
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, HotStore, Writes

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = [f"{a}{b}{c}" for a in ("par", "ref", "pas", "acc") for b in ("ce", "un", "sw", "ou") for c in ("l", "d", "rd")]
OTHER = [f"{a}{b}x" for a in ("zor", "qui", "wyv") for b in ("bla", "flo", "gni", "pru")]


class Life:
    """A store that outlives the stages opened on it, and a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: HotStore = open_sqlite(folder / "hot.db")
        self.now = NOW
        self.dice = random.Random(0)
        self.opened: list[SpaceStage] = []
        for project_id in ("p", "q"):
            self.store.commit({project_id: Writes(projects=[Project(id=project_id, created_at=NOW)])})

    def stage(self, **options: Any) -> SpaceStage:
        settings = options.pop("settings", Embedding())
        told = {"min_texts": 20, "inline": True, **options}
        self.opened.append(SpaceStage(self.store, settings, self.folder / "spaces", **told))
        return self.opened[-1]

    def say(
        self, count: int, *, project_id: str = "p", words: list[str] = WORDS, text: str = "", user: str | None = None
    ) -> list[str]:
        """Append so many inferences with texts of their own, or all with `text`."""
        texts = [text or " ".join(self.dice.choices(words, k=6)) for _ in range(count)]
        served = [
            Inference(id=new_id(self.now), feature="f", created_at=self.now, input=text, user_id=user) for text in texts
        ]
        self.store.append([Arrival(project_id, Redacted(each, "test"), self.now) for each in served])
        return texts

    def comment(self, texts: list[str]) -> None:
        said = [
            Feedback(id=new_id(self.now), kind="comment", created_at=self.now, session_id="s", text=text)
            for text in texts
        ]
        self.store.append([Arrival("p", Redacted(each, "test"), self.now) for each in said])

    def erase(self, user_id: str) -> int:
        """Have all that a user said leave the store; return how many erasures there were."""
        asked = Erasure(id=new_id(self.now), person=person("p", user_id), asked_at=self.now, state="working")
        self.store.bury("p", asked, [user_id])
        self.store.collect("p", asked.id)
        self.store.erase("p", asked)
        return self.store.cursor(ERASED)

    def later(self, **by: float) -> datetime:
        self.now += timedelta(**(by or {"minutes": 10}))
        return self.now

    def files(self, project_id: str = "p") -> list[str]:
        return sorted(file.name for file in (self.folder / "spaces" / project_id).iterdir())


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path)
    yield life
    for stage in life.opened:
        stage.close()
    life.store.close()


def test_before_there_are_enough_texts_the_lexical_embedder_serves(life: Life) -> None:
    stage = life.stage()
    assert stage.tick(life.later()) == 0
    life.say(19)
    life.say(30, text="one and the same")  # 20 distinct in all would do, these make 20
    assert stage.tick(life.later()) == 20
    life.say(19, project_id="q")
    assert stage.tick(life.later()) == 0
    assert stage.current("p").space.startswith("lsa_")
    assert stage.current("q").space == stage.current("nobody").space == LEXICAL_SPACE


def test_a_space_is_of_the_projects_own_texts_and_words_of_feedback(life: Life) -> None:
    stage = life.stage()
    ours, theirs = life.say(20), life.say(20, project_id="q", words=OTHER)
    life.later()
    life.comment(["a comment", "!", "another comment"])
    assert stage.tick(life.later()) == 42
    assert stage.current("q").space == fit_lsa(theirs, max_features=20_000).space
    assert stage.current("p").space == fit_lsa([*ours, "a comment", "another comment"], max_features=20_000).space


def test_only_the_newest_texts_are_taken(life: Life) -> None:
    life.say(50)
    newest = life.say(30)
    stage = life.stage(max_texts=30)
    stage.tick(life.later())
    assert stage.current("p").space == fit_lsa(newest, max_features=20_000).space


def test_a_restart_finds_the_same_space_without_a_fit(life: Life) -> None:
    texts = life.say(40)
    before = life.stage()
    before.tick(life.later())
    after = life.stage()
    assert after.current("p").space == before.current("p").space
    assert np.array_equal(after.current("p").embed(texts), before.current("p").embed(texts))
    assert after.tick(life.later()) == 0
    assert after.fits.total() == 0


def test_twice_as_many_texts_are_fitted_again(life: Life) -> None:
    stage = life.stage()
    life.say(300)
    assert stage.tick(life.later()) == 300
    life.say(250)
    assert stage.tick(life.later()) == 0
    life.say(250)
    assert stage.tick(life.later()) == 800
    assert dict(stage.fits) == {"first": 1, "doubled": 1}


def test_many_unknown_words_are_fitted_again_and_as_many_known_ones_are_not(life: Life) -> None:
    stage = life.stage()
    life.say(600)
    stage.tick(life.later())
    life.say(250)
    assert stage.tick(life.later()) == 0
    life.say(250, words=[*WORDS[:12], *OTHER])
    assert stage.tick(life.later()) == 1100
    assert dict(stage.fits) == {"first": 1, "unknown words": 1}


def test_a_space_of_seven_days_is_fitted_again_once_there_is_something_new(life: Life) -> None:
    stage = life.stage()
    life.say(40)
    stage.tick(life.later())
    assert stage.tick(life.later(days=8)) == 0
    life.say(1)
    assert stage.tick(life.later()) == 41
    life.say(1)
    assert stage.tick(life.later()) == 0
    assert dict(stage.fits) == {"first": 1, "age": 1}


def test_the_last_two_spaces_are_kept_and_can_be_had_by_their_id(life: Life) -> None:
    stage = life.stage()
    spaces = []
    for days in range(3):
        life.say(40)
        stage.tick(life.later(days=8 * days, minutes=1))
        spaces.append(stage.current("p").space)
    assert len(set(spaces)) == 3
    assert life.files() == sorted(["current.json", *(f"{space}.space" for space in spaces[1:])])
    for again in (stage, life.stage()):
        kept = [again.embedder_of("p", space) for space in spaces]
        assert [embedder and embedder.space for embedder in kept] == [None, *spaces[1:]]
        lexical = again.embedder_of("p", LEXICAL_SPACE)
        assert lexical is not None
        assert lexical.space == LEXICAL_SPACE


@pytest.mark.parametrize("name", ["current.json", "space"])
def test_a_damaged_file_is_never_used_and_a_new_space_is_fitted(life: Life, name: str) -> None:
    life.say(40)
    first = life.stage()
    first.tick(life.later())
    damaged = next(file for file in (life.folder / "spaces" / "p").iterdir() if file.name.endswith(name))
    damaged.write_bytes(damaged.read_bytes()[:-7])
    stage = life.stage()
    assert stage.current("p").space == LEXICAL_SPACE
    assert stage.tick(life.later()) == 40
    assert stage.current("p").space == first.current("p").space == life.stage().current("p").space


def test_a_tick_does_not_wait_for_a_fit(life: Life) -> None:
    life.say(40)
    stage = life.stage(inline=False)
    reading, go_on = threading.Event(), threading.Event()
    listed = life.store.list_inferences

    def held(project_id: str, query: Any) -> Any:
        if threading.current_thread().name == "trimtab-space":
            reading.set()
            assert go_on.wait(60)
        return listed(project_id, query)

    life.store.list_inferences = held  # type: ignore[method-assign]
    assert stage.tick(life.later()) == 0
    assert reading.wait(60)
    assert stage.tick(life.later()) == 0
    assert stage.current("p").space == LEXICAL_SPACE
    go_on.set()
    assert stage._thread is not None
    stage._thread.join()
    assert stage.tick(life.later()) == 40
    assert stage.current("p").space.startswith("lsa_")


def test_a_failed_fit_stops_nothing_and_is_tried_again_later(life: Life) -> None:
    life.say(40)
    life.say(40, project_id="q")
    (life.folder / "spaces").mkdir()
    (life.folder / "spaces" / "p").write_text("a file where a folder must be")
    stage = life.stage()
    assert stage.tick(life.later()) == 40  # of q
    assert stage.failures == 1
    (life.folder / "spaces" / "p").unlink()
    assert stage.tick(life.later()) == 0
    life.say(200)
    assert stage.tick(life.later(minutes=11)) == 240


def test_what_a_fit_left_half_written_is_cleared_away(life: Life) -> None:
    life.say(40)
    folder = life.folder / "spaces" / "p"
    folder.mkdir(parents=True)
    (folder / "lsa_0.space.new").write_bytes(b"half")
    (folder / "lsa_0.space").write_bytes(b"whole, but the kill came before the pointer")
    stage = life.stage()
    stage.tick(life.later())
    assert life.files() == ["current.json", f"{stage.current('p').space}.space"]


def test_projects_names_are_folders_of_their_own(life: Life) -> None:
    names = ["shop", "Shop", "shop/eu", "shop_eu", "a" * 128]
    stage = life.stage()
    for name in names:
        life.store.commit({name: Writes(projects=[Project(id=name, created_at=NOW)])})
        life.say(20, project_id=name)
    stage.tick(life.later())
    folders = [folder.name for folder in (life.folder / "spaces").iterdir()]
    assert len({name.lower() for name in folders}) == len(names)
    assert len({stage.current(name).space for name in names}) == len(names)


def test_with_an_endpoint_in_the_settings_nothing_is_fitted(life: Life) -> None:
    life.say(40)
    settings = Embedding(kind="endpoint", base_url="http://127.0.0.1:9/v1", model="m")
    stage = life.stage(settings=settings)
    assert stage.tick(life.later()) == 0
    current = stage.current("p")
    assert isinstance(current, EndpointEmbedder)
    assert stage.embedder_of("q", current.space) is current
    assert stage.embedder_of("q", LEXICAL_SPACE) is None
    assert not (life.folder / "spaces").exists()


def test_close_ends_the_thread_and_a_later_tick_starts_none(life: Life) -> None:
    life.say(40)
    stage = life.stage(inline=False)
    stage.tick(life.later())
    stage.close()
    stage.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "trimtab-space"]
    life.say(400)
    stage.tick(life.later())
    assert not [thread for thread in threading.enumerate() if thread.name == "trimtab-space"]


def knowing(*words: str) -> Callable[[str], bool]:
    return set(words).__contains__


def test_unknown_share_counts_words_as_often_as_they_are_said() -> None:
    assert unknown_share(knowing("a"), ["A a b", "b c a"]) == 0.5
    assert unknown_share(knowing("a"), []) == 0
    # "a" three times is known; "b" once would not have been without its text; "c" twice was not kept.
    assert unknown_expected(knowing("a", "b"), ["a a b", "a c c"]) == 0.5


def test_after_an_erasure_a_space_is_fitted_without_those_words_and_the_old_file_goes_when_nobody_needs_it(
    life: Life,
) -> None:
    life.say(30)
    life.say(6, words=OTHER, user="gone")
    stage = life.stage()
    stage.tick(life.now)
    before = stage.current("p").space
    assert stage.without("p", 0)
    erased = life.erase("gone")
    assert not stage.without("p", erased)
    assert stage.tick(life.now) == 30  # at once, though it has just looked
    assert stage.without("p", erased)
    after = stage.current("p")
    assert (after.space != before, stage.fits["erasure"]) == (True, 1)
    assert not after.embed([OTHER[0]]).any()
    assert stage.embedder_of("p", before) is not None
    assert len(life.files()) == 3
    assert stage.drop_before("p") == 1
    assert stage.embedder_of("p", before) is None
    assert life.files() == ["current.json", f"{after.space}.space"]
    assert life.stage().without("p", erased)
    assert not life.stage().without("p", erased + 1)


def test_where_too_little_is_left_after_an_erasure_no_space_is_kept(life: Life) -> None:
    life.say(15)
    life.say(10, words=OTHER, user="gone")
    stage = life.stage()
    stage.tick(life.now)
    assert len(life.files()) == 2
    erased = life.erase("gone")
    assert not stage.without("p", erased)
    stage.tick(life.later())
    assert stage.without("p", erased)
    assert stage.current("p").space == LEXICAL_SPACE
    assert life.files() == []


def test_spaces_that_an_earlier_setting_left_go_with_an_erasure(life: Life) -> None:
    life.say(30)
    life.stage().tick(life.now)
    settings = Embedding(kind="endpoint", base_url="http://127.0.0.1:9", model="m")
    other = life.stage(settings=settings)
    assert other.without("p", 1)
    assert life.files() == []
