"""A power cut at every write: from a record of a run, disks as they may be found after a cut, and what is wrong there.

What was synced is there. Names that were not may be there or not, each folder by itself, and content may be torn.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos_judge import Answer, Verdict, answers, damage, lost_work, work, wrong_answers
from chaos_program import Draws, Ground, draws

from natfp_bench.base.errors import UserError
from natfp_bench.pipeline.store import Reference, Store

RECORDER = Path(__file__).parent / "recorder"

HOW = ("lost", "kept", "mixed")
"""What becomes of names that were not synced: all are lost, all are kept, or drawn for each folder."""

State = dict[str, Any]
"""A folder: each name with the state of a folder, or the path of a file's content (an int: so many zeros)."""


def environment(watched: Path, record: Path) -> dict[str, str]:
    """Make the folders of a recorded run, and return the variables of its environment."""
    for folder in (watched, record):
        folder.mkdir(parents=True)
    path = os.pathsep.join([str(RECORDER), str(RECORDER.parents[1])])
    return {"PYTHONPATH": path, "CHAOS_WATCHED": str(watched), "CHAOS_RECORD": str(record)}


@dataclass(frozen=True)
class Cut:
    """A disk after a power cut: behind how many operations of how many, and the state of the watched folder."""

    after: int
    of: int
    state: State


def cuts(watched: Path, record: Path, seed: int) -> Iterator[Cut]:
    """Yield the states that a cut behind each operation may leave; one that the cut before could leave only once."""
    lines = (record / "log").read_text().splitlines()
    names: dict[str, Mapping[str, list[Any]]] = {}
    contents: set[str] = set()
    root, before = str(watched.stat().st_ino), set[str]()
    for after, line in enumerate(lines, 1):
        event = json.loads(line)
        names.pop(str(event.get("made")), None)
        if "synced" in event:
            names[str(event["synced"])] = event["names"]
        contents |= {event["content"]} if "content" in event else set()
        seen = set()
        for how in HOW:
            state = _state(root, _folders(how, names, event["tree"], draws(seed, "power-cut", after)), contents, record)
            shown = json.dumps(state, sort_keys=True)
            if shown not in before | seen or after == len(lines):
                yield Cut(after, len(lines), state)
            seen.add(shown)
        before = seen


def _folders(how: str, names: Mapping[str, Any], tree: Mapping[str, Any], drawn: Draws) -> Callable[[str], Any]:
    """Return a function that gives the names in a folder as the disk has them."""

    def found(folder: str) -> Any:
        kept = how == "kept" or (how == "mixed" and next(drawn) < 0.5)
        return (tree if kept else names).get(folder, {})

    return found


def _state(
    folder: str, names: Callable[[str], Any], contents: set[str], record: Path, above: tuple[str, ...] = ()
) -> State:
    state: State = {}
    for name, (number, is_folder, content, size) in names(folder).items():
        if not is_folder:
            state[name] = str(record / content) if content in contents else size // 2
        elif str(number) not in above:
            state[name] = _state(str(number), names, contents, record, (*above, folder))
    return state


def rebuild(state: State, folder: Path) -> None:
    """Write the state of a folder."""
    folder.mkdir()
    for name, content in state.items():
        if isinstance(content, dict):
            rebuild(content, folder / name)
        elif isinstance(content, int):
            (folder / name).write_bytes(bytes(content))
        else:
            shutil.copyfile(content, folder / name)


def wrong_after(disk: Path, expected: Answer, *, done: bool) -> list[str]:
    """Say what is wrong with the store and the results of a disk; done: the run had ended with exit code 0."""
    found: list[str] = []
    store, results = disk / "store", disk / "results"
    try:
        found += wrong_answers(expected, answers(results), done=done)
    except (UserError, OSError) as error:
        found.append(f"a result cannot be read: {error}")
    if not store.is_dir():
        return found
    opened = Store(store, found.append)
    opened.gc(older_than_days=0, dry_run=True)
    for path in results.rglob("result.json"):
        found += _unfounded(opened, path.parent.name)
    return found + damage(store, final=False)


def _unfounded(store: Store, run_id: str) -> list[str]:
    """Say what a result does not rest on any more."""
    path = store.root / "runs" / f"{run_id}.json"
    try:
        keys = Reference.model_validate_json(path.read_bytes()).keys
    except (OSError, ValueError):
        return ["a result without a reference: gc would remove what it rests on"]
    there = {entry.name for entry in store.root.glob("*/*/*") if (entry / "manifest.json").is_file()}
    return [f"a result rests on the entry {key[:12]}, which is gone" for key in sorted(set(keys) - there)]


def power_cut(times: int, seed: int, ground: Ground, say: Callable[[str], None]) -> Verdict:
    """Record a run, judge the disk after a cut at each of its writes, and go on from some of these disks."""
    verdict, folder = Verdict(runs=1), ground.folder / "power-cut"
    watched, record, drawn = folder / "disk", folder / "record", draws(seed, "power-cut")
    program = ground.start(watched / "store", watched / "results", log=folder / "first", **environment(watched, record))
    if not program.wait(ground.limit) or program.process.returncode:
        verdict.wrong.append(f"the recorded run failed: {program.said()}")
        return verdict
    before, again = work(watched / "store"), folder / "again"
    every = (record / "log").read_text().count("\n")
    chosen = {1 + int(next(drawn) * every) for _ in range(times)}
    for cut in cuts(watched, record, seed):
        rebuild(cut.state, again)
        done = cut.after == cut.of
        wrong = wrong_after(again, ground.expected, done=done)
        verdict.wrong += [f"cut after write {cut.after} of {cut.of}: {fault}" for fault in wrong]
        verdict.lost += lost_work(before, again / "store") if done else []
        if cut.after in chosen:
            chosen.remove(cut.after)
            _go_on(cut, again, ground, folder / f"from-{cut.after}", verdict)
        verdict.cuts += 1
        shutil.rmtree(again)
    say(f"power-cut: {every} writes, {verdict.cuts} disks, {verdict.runs - 1} of them used by another run")
    return verdict


def _go_on(cut: Cut, disk: Path, ground: Ground, output: Path, verdict: Verdict) -> None:
    """Run the same command on a disk after a cut: it must end, and lose nothing that the disk still had."""
    before = work(disk / "store")
    program = ground.start(disk / "store", output)
    verdict.runs += 1
    if not program.wait(ground.limit) or program.process.returncode:
        verdict.stuck.append(f"after a cut at write {cut.after} the run fails: {program.said()}")
        return
    verdict.wrong += wrong_answers(ground.expected, answers(output), done=True) + damage(disk / "store", final=True)
    verdict.lost += lost_work(before, disk / "store")
