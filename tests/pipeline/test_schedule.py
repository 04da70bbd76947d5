"""The schedule: what is needed comes first, what is there is found, and what was made by other versions is said."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bench import Bench
from inline_engine import Inline

from natfp_bench.base.environment import versions
from natfp_bench.base.errors import AttributorError, UserError
from natfp_bench.base.records import Record
from natfp_bench.pipeline.engine import Event
from natfp_bench.pipeline.schedule import Schedule, Wanted
from natfp_bench.pipeline.stages.stage import Stage, Workplace
from natfp_bench.pipeline.store import Store


class Note(Record):
    """What a link of a chain notes."""

    text: str


@dataclass(frozen=True, eq=False)
class Link(Stage):
    """A stage that needs the one before it; `fault` makes it fail."""

    kind, version, doing = "link", 1, "link"
    meta_type = Note
    survived = (AttributorError,)

    word: str
    before: Link | None = None
    fault: str = ""

    def run(self, at: Workplace) -> Note:
        if self.fault:
            raise (UserError if self.fault == "fatal" else AttributorError)(f"{self.word} failed\n  mend it")
        text = (self.before.entry(at.store).meta["text"] + " " if self.before else "") + self.word
        return Note(text=text)


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def schedule(tmp_path: Path, events: list[Event]) -> Schedule:
    return Schedule(Store(tmp_path / "store"), Inline(), "cpu", events.append)


def test_what_is_needed_is_made_first_and_found_again(schedule: Schedule, tmp_path: Path) -> None:
    first = Link("a")
    second = Link("b", first)
    schedule.drive([Wanted(second, "second"), Wanted(first, "first"), Wanted(Link("a"), "the same again")])
    assert schedule.metas == {first: Note(text="a"), second: Note(text="a b")}
    assert list(schedule.seconds) == ["link"]
    again = Schedule(Store(tmp_path / "store"), Inline(), "cpu", pytest.fail)
    again.drive([Wanted(second, "second"), Wanted(first, "first")])
    assert (again.metas, again.seconds) == (schedule.metas, {})
    assert again.made[first].label == "first", "what two plans share keeps the name of the first one"


def test_a_start_is_waited_for_and_changes_no_key(schedule: Schedule) -> None:
    early, late = Link("early"), Link("late")
    schedule.drive([Wanted(late, "late", start=early), Wanted(early, "early")])
    assert list(schedule.metas) == [early, late]
    assert Link("late").key == late.key


def test_a_failure_that_is_survived_leaves_out_what_needs_it(schedule: Schedule, events: list[Event]) -> None:
    broken = Link("broken", fault="survived")
    schedule.drive([Wanted(broken, "broken"), Wanted(Link("behind", broken), "behind"), Wanted(Link("other"), "other")])
    assert schedule.metas.keys() == {Link("other")}
    assert schedule.failed == {broken: "broken failed\n  mend it"}
    assert schedule.left_out == {broken, Link("behind", broken)}
    (warning,) = [event for event in events if event.kind == "warning"]
    assert (warning.job.name, warning.text) == ("broken", "broken failed: broken failed\n  mend it")
    schedule.drive([Wanted(Link("late", Link("behind", broken)), "late")])
    assert Link("late", Link("behind", broken)) in schedule.left_out
    with pytest.raises(UserError, match="wrong failed"):
        schedule.drive([Wanted(Link("wrong", fault="fatal"), "wrong")])


def test_what_is_needed_may_be_in_the_store_and_must_be_somewhere(schedule: Schedule, tmp_path: Path) -> None:
    first = Link("a")
    schedule.drive([Wanted(first, "first")])
    said: list[Event] = []
    again = Schedule(Store(tmp_path / "store"), Inline(), "cpu", said.append)
    again.drive([Wanted(Link("b", first), "second")])
    assert {event.kind for event in said} <= {"planned"}, "nothing is said of what is there"
    assert again.metas[Link("b", first)] == Note(text="a b")
    with pytest.raises(ValueError, match="is needed, but it is neither wanted nor in the store"):
        again.drive([Wanted(Link("c", Link("unknown")), "third")])


def test_entries_of_other_versions_are_reported_once(bench: Bench, seed_run: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(bench.store, store)
    assert seed_run[0].run.mixed_versions == {}
    key = seed_run[0].variants[0].key
    manifest = store / "model" / key[:2] / key / "manifest.json"
    content = json.loads(manifest.read_text())
    assert content["made"]["versions"] == versions()
    content["made"]["versions"] |= {"torch": "1.99.3", "numpy": versions()["numpy"] + ".post1"}
    manifest.write_text(json.dumps(content))
    result, _ = bench.run("seed_id", store=store)
    now = ".".join(versions()["torch"].split(".")[:2])
    assert result.run.mixed_versions == {"torch": tuple(sorted(("1.99", now)))}, "a patch is no other version"
    (warning,) = [event.text for event in bench.events if event.kind == "warning"]
    assert "torch 1.99 and" in warning
    assert result.stable_json() == seed_run[0].stable_json()
