"""How fast is the package, compared with what one would use instead? All ratios are measured side by side in one run.

python benchmarks/performance.py [--only ROW,...] [--quick | --guard] [-o docs/performance.md]

Each measurement is a process of its own; ours and theirs take turns, and the median of each counts. Exit code 1 if a
row misses its bar. `--quick` measures less, prints its figures and applies no bar; `--guard` measures as little, and
asks for half of each bar, so that a loss is noticed on a busy machine, too.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
from performance_ground import FULL, GUARD, QUICK, ROOT, Ground, Part
from performance_rows import GUARDED, LIMITS, ROWS

from natfp_bench.base.environment import environment

DOCUMENT = ROOT / "docs" / "performance.md"


def environment_lines() -> list[str]:
    """Facts of the machine, without its name."""
    found, model = environment(), platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    memory = psutil.virtual_memory().total / 1e9
    return [
        f"{model}, {found['cores']} cores, {memory:.0f} GB of memory",
        f"{platform.system()} {platform.release()}, Python {found['python']}",
        f"torch {found['torch']}, transformers {found['transformers']}, scikit-learn {found['scikit-learn']}",
        f"{datetime.now(UTC):%Y-%m-%d}",
    ]


def document(parts: dict[str, Part], limits: dict[str, str], command: str, seconds: float, judged: bool) -> str:
    """Markdown of all rows."""
    lines = [HEAD, "| what | ours | against | ratio | bar | reached |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row.cells(judged))} |" for part in parts.values() for row in part.rows]
    grown = [one for part in parts.values() for one in part.growth]
    if grown:
        times = [f"{n}×" for n in FULL.times[: len(grown[0]) - 2]]
        lines += ["", "## How the time grows", "", GROWTH, "", f"| what grows | time | {' | '.join(times)} |"]
        lines += ["|" + "---|" * len(grown[0]), *(f"| {' | '.join(one)} |" for one in grown)]
    lines += ["", "## What limits each row", ""]
    for name, part in parts.items():
        lines.append(f"- `{name}`: {' '.join([limits[name], *part.notes])}")
    lines += ["", "## Machine", "", *(f"- {line}" for line in environment_lines())]
    lines += ["", f"Made by `{command}` in {seconds / 60:.0f} minutes."]
    return "\n".join(lines) + "\n"


HEAD = """\
# Performance

Each row compares this package ("ours") with what one would use instead ("against"), side by side in one run on one
machine. Each measurement is a process of its own; ours and theirs take turns, and the median of each counts. Figures of
another day or machine cannot be compared with these. No rate includes start-up: processes are warm, and wait for each
other, before the clock starts. Our rate counts what all processes did between the first start and the last end. Theirs
uses all cores, as torch does by default, and the best batch size, which is searched first.
`python benchmarks/performance.py` measures again, and exits with 1 if a bar is missed.
"""


GROWTH = """\
The time of a whole command, from an empty store, when one of its sizes is larger and all others stay."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the document; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description="Measure ratios, side by side in one run.")
    parser.add_argument("--only", help=f"rows (a,b) of: {', '.join(ROWS)}")
    short = parser.add_mutually_exclusive_group()
    short.add_argument("--quick", action="store_true", help="measure less, print, and apply no bar")
    short.add_argument("--guard", action="store_true", help="measure less, print, and ask for half of each bar")
    parser.add_argument("-o", "--output", type=Path, help="the document to write (docs/performance.md without --only)")
    options = parser.parse_args(arguments)
    names = options.only.split(",") if options.only else list(GUARDED if options.guard else ROWS)
    if unknown := set(names) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    clock, parts, judged = time.monotonic(), {}, not options.quick
    with tempfile.TemporaryDirectory(prefix="natfp-performance-") as folder:
        ground = Ground(Path(folder), QUICK if options.quick else GUARD if options.guard else FULL)
        for name in names:
            part = ROWS[name](ground)
            if options.guard:
                part.rows = [replace(row, bar=row.bar and row.bar.loose()) for row in part.rows]
            parts[name] = part
            for row in part.rows:
                print(" | ".join(row.cells(judged)), flush=True)
    missed = [row.what for part in parts.values() for row in part.rows if not row.reached]
    if not options.guard:
        command = "python benchmarks/performance.py" + (f" --only {options.only}" if options.only else "")
        text = document(parts, LIMITS, command, time.monotonic() - clock, judged)
        print(text)
        if judged and (output := options.output or (None if options.only else DOCUMENT)):
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(text, encoding="utf-8")
    return 1 if missed and judged else 0


if __name__ == "__main__":
    raise SystemExit(main())
