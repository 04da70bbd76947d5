"""How long do `make test` and `make check` take, and where does the time go?

python benchmarks/times.py [--slowest 15] [test|check ...]

It runs the targets one after another. At the end it prints for each of them the time by the clock, the time of the
tests of each room, and the slowest tests. The time of a test includes the fixtures that it is the first to use. Exit
code 1 if a target fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
TARGETS = ("test", "check")


@dataclass(frozen=True)
class TimedTest:
    """One test: the folder below `tests/` that it is in, its name, and its seconds."""

    room: str
    name: str
    seconds: float


def read(report: Path) -> list[TimedTest]:
    """Read the tests of a JUnit report of pytest."""
    found = []
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 (pytest wrote it)
        _, room, *module = case.attrib["classname"].split(".")
        found.append(TimedTest(room, f"{'.'.join(module)}::{case.attrib['name']}", float(case.attrib["time"])))
    return found


def table(target: str, seconds: float, tests: Iterable[TimedTest], slowest: int) -> str:
    """Write the times of a target: the whole, each room, and the slowest tests."""
    tests = sorted(tests, key=lambda test: -test.seconds)
    rooms: dict[str, list[float]] = {}
    for test in tests:
        rooms.setdefault(test.room, []).append(test.seconds)
    lines = [f"make {target}: {seconds:.0f} s by the clock, {len(tests)} tests"]
    by_time = sorted(rooms.items(), key=lambda room: -sum(room[1]))
    lines += [f"{sum(times):8.1f} s  {room}, {len(times)} tests" for room, times in by_time]
    lines += ["slowest:", *(f"{test.seconds:8.1f} s  {test.room}/{test.name}" for test in tests[:slowest])]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the targets and print their times; 1 if one of them fails."""
    parser = argparse.ArgumentParser(description="Time `make test` and `make check`.")
    parser.add_argument("targets", nargs="*", help="test, check (default: both)")
    parser.add_argument("--slowest", type=int, default=15, help="number of tests to list")
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"unknown target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    tables, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        for target in options.targets or TARGETS:
            report = Path(folder, f"{target}.xml")
            added = f"{os.environ.get('PYTEST_ADDOPTS', '')} --junitxml={report}"
            start = time.monotonic()
            done = subprocess.run(["make", target], cwd=ROOT, env={**os.environ, "PYTEST_ADDOPTS": added})  # noqa: S607
            seconds = time.monotonic() - start
            failed |= done.returncode != 0
            tests = read(report) if report.is_file() else []
            tables.append(table(target, seconds, tests, options.slowest))
    print("\n\n".join(tables))
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
