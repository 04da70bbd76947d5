"""Files that hold anything: each kind of file that the program reads is damaged, and real commands read it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos_judge import Verdict, answers, damage, wrong_answers
from chaos_program import Draws, Ground, Program, draws

SLOW = 120.0
"""Seconds within which a command that only reads must end, however busy the machine is."""

JUNK = (b"", b"\0" * 100, b"[" * 100_000, b"null", b"{}", b"\xff\xfe", b"PAR1", b"<svg/>", b"a: [b", b"\r\n" * 50)


def damaged(content: bytes, drawn: Draws) -> bytes:
    """Replace a file by junk, cut it short, flip a bit, or drop, repeat or overwrite some bytes."""
    how, at = int(next(drawn) * 7), int(next(drawn) * max(1, len(content)))
    to = at + 1 + int(next(drawn) * 50)
    if how < 2 or not content:
        return JUNK[int(next(drawn) * len(JUNK))]
    if how == 2:
        return content[:at]
    middle = {
        3: bytes([content[at] ^ 1 << int(next(drawn) * 8)]) + content[at + 1 : to],
        4: b"",
        5: content[at:to] * 3,
        6: JUNK[int(next(drawn) * len(JUNK))][:50],
    }[how]
    return content[:at] + middle + content[to:]


@dataclass(frozen=True)
class Kind:
    """A kind of file: where it lies in the folder, and the commands that read it.

    mends: a run after the damage finds its way and leaves a store without findings.
    """

    pattern: str
    commands: tuple[str, ...]
    mends: bool = False


KINDS = {
    "result": Kind("results/**/result.json", ("leaderboard results", "validate {file}", "report results --format md")),
    "predictions": Kind(
        "results/**/predictions.parquet",
        ("leaderboard results", "regress --reference reference.parquet --results results"),
    ),
    "reference": Kind(
        "reference.parquet",
        (
            "regress --reference reference.parquet --results results",
            "regress --reference reference.parquet --results results --update",
        ),
    ),
    "task": Kind("tasks/pair.yaml", ("validate {file}", "show pair --include-path tasks --preset smoke --store store")),
    "manifest": Kind("store/*/*/*/manifest.json", ("store verify --store store", "store ls --store store"), True),
    "entry": Kind("store/*/*/*/[!m]*", ("store verify --store store",), True),
    "run": Kind("store/runs/*.json", ("store verify --store store", "store gc --store store --older-than 1"), True),
    "layout": Kind("store/store.json", ("store verify --store store", "store gc --store store"), True),
}


def hostile_files(number: int, seed: int, ground: Ground, say: Callable[[str], None]) -> Verdict:
    """Damage one file at a time, of each kind in turn, and let commands read it."""
    verdict, names = Verdict(), list(KINDS)
    sound = ground.folder / "hostile-sound"
    _prepare(sound, ground)
    for which in range(number):
        name, drawn = names[which % len(names)], draws(seed, "files", which)
        folder = ground.folder / f"hostile-{which}"
        before = len(verdict.faults)
        shutil.copytree(sound, folder)
        files = sorted(path for path in folder.glob(KINDS[name].pattern) if path.is_file())
        file = files[int(next(drawn) * len(files))]
        file.write_bytes(damaged(file.read_bytes(), drawn))
        _read(KINDS[name], file.relative_to(folder), folder, ground, verdict)
        verdict.files += 1
        for fault in verdict.faults[before:]:
            say(f"  FAULT {name} {which}: {fault}")
        if len(verdict.faults) == before:
            shutil.rmtree(folder)
        if which % 20 == 19:
            say(f"files: {which + 1} of {number}")
    return verdict


def _prepare(sound: Path, ground: Ground) -> None:
    """Copy what the undisturbed run left, and make a reference of it."""
    for name in ("store", "results"):
        shutil.copytree(ground.folder / "calm" / name, sound / name)
    shutil.copytree(ground.folder / "tasks", sound / "tasks")
    made = _command(["regress", "--reference", "reference.parquet", "--results", "results", "--update"], sound)
    if not made.wait(SLOW) or made.process.returncode:
        raise RuntimeError(f"no reference can be made: {made.said()}")


def _command(words: Sequence[str], folder: Path) -> Program:
    return Program.start([sys.executable, "-m", "natfp_bench", *words], folder, folder=folder)


def _read(kind: Kind, file: Path, folder: Path, ground: Ground, verdict: Verdict) -> None:
    """Let the commands of a kind read a damaged file: each ends, and says in words what is wrong."""
    for command in kind.commands:
        program = _command([str(file) if word == "{file}" else word for word in command.split()], folder)
        verdict.runs += 1
        if not program.wait(SLOW):
            verdict.stuck.append(f"{command}: did not end in time: {program.said()}")
            continue
        said = (folder / "log.txt").read_text(errors="replace")
        if (
            program.process.returncode not in (0, 1, 2)
            or "Traceback" in said
            or (program.process.returncode and not said)
        ):
            verdict.wrong.append(f"{command}: exit code {program.process.returncode}: {program.said()}")
    if kind.mends:
        _mend(folder, ground, verdict)


def _mend(folder: Path, ground: Ground, verdict: Verdict) -> None:
    """Let a run and a cleaning use the store: both go through, and nothing is wrong with it any more."""
    program = ground.start(folder / "store", folder / "again")
    verdict.runs += 1
    if not program.wait(ground.limit) or program.process.returncode:
        if "has layout" in program.said():  # the damaged number may be that of a newer version: no store to write to
            return
        verdict.stuck.append(f"the run does not go through: {program.said()}")
        return
    verdict.wrong += wrong_answers(ground.expected, answers(folder / "again"), done=True)
    cleaning = _command(("store", "gc", "--store", "store"), folder)
    if not cleaning.wait(SLOW) or cleaning.process.returncode:
        verdict.wrong.append(f"store gc: exit code {cleaning.process.returncode}: {cleaning.said()}")
    verdict.wrong += damage(folder / "store", final=True)
