"""Is a run hard to kill? Real runs are disturbed at random moments and compared with an undisturbed run.

python benchmarks/chaos.py [--kills 200] [--files 300] [--seed 0] [--only SCENARIO] [-o docs/reliability.md]

Processes are killed, interrupted and terminated; disks fill up, become read-only and lose their power; files are
damaged; several runs share one store.
After each round the same command runs to its end. Exit code 1 if a result differs, a run is stuck, work is lost, or a
process outlives its run.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from chaos_files import hostile_files
from chaos_judge import Verdict, Work, answers, damage, lost_work, work, wrong_answers
from chaos_power import power_cut
from chaos_program import LATE, ROOT, WAYS, Draws, Ground, Program, await_moment, draws

from natfp_bench.base.environment import environment

DOCUMENT = ROOT / "docs" / "reliability.md"

# Scenarios.

Say = Callable[[str], None]


@dataclass(frozen=True)
class Scenario:
    """How a round disturbs runs on a fresh store until one of them ends undisturbed.

    weight: share of all kills. together: runs on the store at once. series: how often a round disturbs at most.
    """

    what: str
    ways: tuple[str, ...]
    weight: float = 1.0
    together: int = 1
    series: int = 6


SCENARIOS = {
    "worker": Scenario("workers killed, the run continues", ("worker",), 5),
    "server": Scenario("the workers' server and a worker killed, the run continues", ("server",), 1),
    "run": Scenario("the run's own process killed", ("run",), 3),
    "all": Scenario("the run and all its workers killed at once", ("all",), 3),
    "ctrl-c": Scenario("Ctrl-C", ("ctrl-c",), 2),
    "sigterm": Scenario("SIGTERM", ("sigterm",), 2),
    "mixed": Scenario("any of these, at random", tuple(WAYS), 2),
    "two": Scenario("two runs on one store at once, undisturbed", (), 0, 2),
    "four": Scenario("four runs on one store at once, undisturbed", (), 0, 4),
    "two-killed": Scenario("two runs on one store at once, with kills", tuple(WAYS), 2, 2),
    "four-killed": Scenario("four runs on one store at once, with kills", tuple(WAYS), 2, 4),
}


def play(name: str, scenario: Scenario, kills: int, seed: int, ground: Ground, say: Say) -> Verdict:
    """Play rounds of a scenario until there were so many kills; a scenario without kills has one round."""
    verdict, number = Verdict(), 0
    while not number or (scenario.ways and verdict.kills < kills and not verdict.stuck):
        folder = ground.folder / f"{name}-{number}"
        before = len(verdict.faults)
        play_round(scenario, kills - verdict.kills, draws(seed, name, number), ground, folder, verdict)
        number += 1
        say(f"{name}: round {number}, {verdict.runs} runs, {verdict.kills} of {kills} kills")
        for fault in verdict.faults[before:]:
            say(f"  FAULT {fault}")
        if len(verdict.faults) == before:
            shutil.rmtree(folder)
    return verdict


def play_round(scenario: Scenario, kills: int, drawn: Draws, ground: Ground, folder: Path, verdict: Verdict) -> None:
    """Disturb runs on a fresh store, up to `series` times, and then let one run to its end."""
    store, kept = folder / "store", []
    first = verdict.kills
    for wave in range(scenario.series if scenario.ways else 0):
        ways = [scenario.ways[int(next(drawn) * len(scenario.ways))] for _ in range(scenario.together)]
        done = _wave(ways, drawn, ground, folder / str(wave), store, verdict)
        verdict.wrong += damage(store, final=False)
        kept.append(work(store))
        if done or verdict.stuck or verdict.kills - first >= kills:
            break
    # The last wave is undisturbed: one run, or all runs of a scenario without kills.
    together = 1 if scenario.ways else scenario.together
    _wave([None] * together, drawn, ground, folder / "last", store, verdict)
    verdict.wrong += damage(store, final=True)
    for before in kept:
        verdict.lost += lost_work(before, store)


def _wave(
    ways: Sequence[str | None], drawn: Draws, ground: Ground, folder: Path, store: Path, verdict: Verdict
) -> bool:
    """Start runs on one store at once, each disturbed in its way; returns whether one of them finished."""
    programs = [ground.start(store, folder / str(number)) for number in range(len(ways))]
    own = [iter([next(drawn) for _ in range(8)]) for _ in ways]
    with ThreadPoolExecutor(len(ways)) as pool:
        jobs = [pool.submit(_one, *each, ground) for each in zip(ways, programs, own, strict=True)]
        try:
            outcomes = [job.result() for job in jobs]
        finally:
            for program in programs:
                if not program.ended:  # this script is interrupted
                    program.stop()
    done = False
    for way, program, (kills, in_time) in zip(ways, programs, outcomes, strict=True):
        verdict.runs, verdict.kills = verdict.runs + 1, verdict.kills + kills
        code = program.process.returncode
        if not in_time:
            verdict.stuck.append(f"{way or 'undisturbed'}: did not end in time: {program.said()}")
        elif code not in (WAYS[way].codes if way else (0,)):
            verdict.wrong.append(f"{way or 'undisturbed'}: exit code {code}: {program.said()}")
        elif way is None or code == 0:
            done = True
        verdict.orphans += program.left(LATE)
        verdict.wrong += wrong_answers(ground.expected, answers(program.output), done=in_time and code == 0)
    return done


def _one(way: str | None, program: Program, numbers: Draws, ground: Ground) -> tuple[int, bool]:
    """Disturb a run and wait for its end; returns the number of kills and whether it ended in time."""
    kills = WAYS[way].disturb(program, ground, numbers) if way else 0
    ends = kills and way not in (None, "worker", "server")
    return kills, program.wait(LATE if ends else ground.limit)


# Disks that fill up or become read-only.


class NotPermittedError(Exception):
    """Why a disk cannot be mounted here."""


@contextmanager
def mounted(point: Path, *options: str) -> Iterator[None]:
    """Mount a disk within the context; raises NotPermittedError if mounting is not permitted."""
    point.mkdir(parents=True, exist_ok=True)
    _mount(point, *options)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)  # noqa: S607 (wherever the system has it)


def _mount(point: Path, *options: str) -> None:
    program = shutil.which("mount")
    if program is None:
        raise NotPermittedError("there is no program `mount`")
    made = subprocess.run([program, *options, str(point)], capture_output=True, text=True, check=False)
    if made.returncode:
        raise NotPermittedError(f"mounting is not permitted: {made.stderr.strip()}")


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only, also for processes that already use it; root needs a mount for it."""
    if os.geteuid() == 0:
        with mounted(folder, "--bind", str(folder)):
            _mount(folder, "-o", "remount,bind,ro")
            yield
        return
    modes = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")] if path.is_dir()}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in modes.items():
            with suppress(FileNotFoundError):
                path.chmod(mode)


def disk_full(times: int, seed: int, ground: Ground, say: Say) -> Verdict:
    """A store on a disk that fills up during a run, twice; then there is room, and the run continues."""
    verdict = Verdict()
    for number in range(times):
        folder, drawn = ground.folder / f"disk-full-{number}", draws(seed, "disk-full", number)
        sizes = sorted(int((0.1 + 0.8 * next(drawn)) * ground.size) for _ in range(2))
        disk, kept = folder / "disk", []
        try:
            with mounted(disk, "-t", "tmpfs", "-o", f"size={sizes[0]}", "tmpfs"):
                for wave, size in enumerate(sizes):
                    _mount(disk, "-o", f"remount,size={size}")
                    _refused("is full", ground, disk / "store", folder / str(wave), verdict)
                    kept.append(work(disk / "store"))
                _mount(disk, "-o", f"remount,size={10 * ground.size}")
                _finish(ground, disk / "store", folder, kept, verdict)
        except NotPermittedError as error:
            verdict.skipped = str(error)
            return verdict
        say(f"disk-full: {number + 1} of {times}, full at {', '.join(f'{size / 1e6:.1f} MB' for size in sizes)}")
    return verdict


def disk_read_only(times: int, seed: int, ground: Ground, say: Say) -> Verdict:
    """A store that becomes read-only during a run, and still is when another run starts."""
    verdict = Verdict()
    for number in range(times):
        folder, drawn = ground.folder / f"read-only-{number}", draws(seed, "read-only", number)
        store = folder / "store"
        program = ground.start(store, folder / "first")
        await_moment(program, ground, drawn, working=True)
        try:
            with read_only(store):
                _refused("is not writable", ground, store, folder / "first", verdict, program)
                before = work(store)
                _refused("is not writable", ground, store, folder / "second", verdict)
        except NotPermittedError as error:
            program.stop()
            verdict.skipped = str(error)
            return verdict
        _finish(ground, store, folder, [before], verdict)
        say(f"read-only: {number + 1} of {times}")
    return verdict


def _refused(
    what: str, ground: Ground, store: Path, output: Path, verdict: Verdict, program: Program | None = None
) -> None:
    """Let a run meet a disk that it cannot write to: it must end, say why in one message, and leave no damage."""
    program = program or ground.start(store, output)
    if not program.wait(ground.limit):
        verdict.stuck.append(f"{what}: did not end in time: {program.said()}")
    verdict.runs, verdict.disk = verdict.runs + 1, verdict.disk + 1
    code, said = program.process.returncode, " ".join((output / "log.txt").read_text().split())
    if code != 2 or what not in said or "Traceback" in said:
        verdict.wrong.append(f"{what}: exit code {code}: {program.said()}")
    verdict.orphans += program.left(LATE)
    verdict.wrong += wrong_answers(ground.expected, answers(output), done=False)


def _finish(ground: Ground, store: Path, folder: Path, kept: Sequence[Work], verdict: Verdict) -> None:
    _wave([None], iter([0.0] * 8), ground, folder / "last", store, verdict)
    verdict.wrong += damage(store, final=True)
    for before in kept:
        verdict.lost += lost_work(before, store)


DISKS: dict[str, tuple[str, Callable[[int, int, Ground, Say], Verdict]]] = {
    "disk-full": ("the disk of the store fills up twice; then there is room", disk_full),
    "read-only": ("the store becomes read-only during a run, and still is when another run starts", disk_read_only),
    "power-cut": (
        "the power goes at each write of a recorded run: what was not synced is lost, kept or torn",
        power_cut,
    ),
}


FILES = "a result, its predictions, a reference, a task, or a file of the store is damaged"

# The document.


def run(names: Sequence[str], kills: int, seed: int, folder: Path, say: Say, files: int = 300) -> dict[str, Verdict]:
    """Play scenarios, and distribute the kills among them by weight; files: how many are damaged."""
    ground = Ground.prepare(folder)
    say(f"undisturbed: workers after {ground.startup:.1f} s, {ground.busy:.1f} s of work, {ground.size / 1e6:.1f} MB")
    total = sum(SCENARIOS[name].weight for name in names if name in SCENARIOS)
    verdicts = {}
    for name in names:
        if name == "files":
            verdicts[name] = hostile_files(files, seed, ground, say)
        elif name in DISKS:
            verdicts[name] = DISKS[name][1](max(1, round(kills / 50)), seed, ground, say)
        else:
            scenario = SCENARIOS[name]
            share = math.ceil(kills * scenario.weight / total) if total else 0
            verdicts[name] = play(name, scenario, share, seed, ground, say)
    return verdicts


def document(verdicts: dict[str, Verdict], command: str, seconds: float) -> str:
    """Markdown of all verdicts."""
    machine = environment()
    lines = []
    for name, verdict in verdicts.items():
        what = SCENARIOS[name].what if name in SCENARIOS else DISKS[name][0] if name in DISKS else FILES
        cells: list[object] = [
            f"`{name}`: {what}",
            verdict.runs,
            verdict.kills,
            verdict.disk,
            verdict.cuts,
            verdict.files,
        ]
        cells += [len(part) for part in (verdict.wrong, verdict.stuck, verdict.lost, verdict.orphans)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    faults = [f"- `{name}`: {fault}" for name, verdict in verdicts.items() for fault in verdict.faults]
    done = ("runs", "kills", "disk", "cuts", "files")
    runs, kills, disk, cuts, files = (sum(getattr(verdict, of) for verdict in verdicts.values()) for of in done)
    skipped = [f"- `{name}`: {verdict.skipped}" for name, verdict in verdicts.items() if verdict.skipped]
    head = f"""\
# Reliability

Real runs are disturbed at random moments. After each round the same command runs to its end. These are faults:

- **wrong**: a result or a table of predictions differs from that of an undisturbed run (the section `run` may differ);
  an exit code is not a documented one; an error is not one message; an entry is damaged; or `store verify` finds
  something after the last run. (What a killed process left half-written is allowed until then: the next run that makes
  the same entry removes it.)
- **stuck**: a run does not end, or does not end within {LATE:g} s after it was interrupted or killed.
- **lost**: an entry that was complete before a disturbance is missing or has been made again, or a training does not
  continue from its last checkpoint.
- **orphans**: a process outlives its run by {LATE:g} s.

{runs} runs, {kills} kills, {disk} disk faults, {cuts} disks after a power cut and {files} damaged files: {len(faults)}
faults found.

| scenario | runs | kills | disk faults | power cuts | files | wrong | stuck | lost | orphans |
|---|---|---|---|---|---|---|---|---|---|
"""
    text = head + "\n".join(lines) + "\n"
    for title, said in (("Faults", faults), ("Skipped", skipped)):
        if said:
            text += f"\n## {title}\n\n" + "\n".join(said) + "\n"
    facts = [
        f"{machine['cores']} cores",
        f"Python {machine['python']}",
        f"torch {machine['torch']}",
        str(machine["platform"]),
    ]
    text += (
        f"\nMade by `{command}` in {seconds / 60:.0f} minutes on {datetime.now(UTC):%Y-%m-%d}: {', '.join(facts)}.\n"
    )
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the scenarios and write the document; 1 if there was any fault."""
    every = [*SCENARIOS, *DISKS, "files"]
    parser = argparse.ArgumentParser(description="Disturb real runs, and check that nothing is lost.")
    parser.add_argument("--kills", type=int, default=200, help="number of kills over all scenarios")
    parser.add_argument("--files", type=int, default=300, help="number of files that are damaged")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments and the kinds of disturbance")
    parser.add_argument("--only", action="append", choices=every, help="play this scenario (repeatable)")
    parser.add_argument("-o", "--output", type=Path, help="the document to write (docs/reliability.md without --only)")
    options = parser.parse_args(arguments)
    # A shell's background job ignores Ctrl-C, and so would every process that is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    clock, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="natfp-chaos-"))
    names = [name for name in every if name in (options.only or every)]
    verdicts = run(names, options.kills, options.seed, folder, partial(print, flush=True), options.files)
    given = "".join(f" --only {name}" for name in options.only or ())
    command = f"python benchmarks/chaos.py --kills {options.kills} --files {options.files} --seed {options.seed}{given}"
    text = document(verdicts, command, time.monotonic() - clock)
    print(text)
    if output := options.output or (None if options.only else DOCUMENT):
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    failed = any(verdict.faults for verdict in verdicts.values())
    if failed:
        print(f"stores and logs of the rounds with faults are kept in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
