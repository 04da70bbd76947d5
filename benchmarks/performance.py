"""How fast is the package, compared with what one would use instead? All ratios are measured side by side in one run.

python benchmarks/performance.py [--only ROW,...] [--quick] [-o docs/performance.md]

Each measurement is a process of its own; ours and theirs take turns, and the median of each counts. Exit code 1 if a
row misses its bar. `--quick` measures less, prints its figures and applies no bar.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
from performance_ground import FULL, QUICK, ROOT, Ground, Part
from performance_rows import LIMITS, ROWS

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the document; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description="Measure ratios, side by side in one run.")
    parser.add_argument("--only", help=f"rows (a,b) of: {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="measure less, print, and apply no bar")
    parser.add_argument("-o", "--output", type=Path, help="the document to write (docs/performance.md without --only)")
    options = parser.parse_args(arguments)
    names = options.only.split(",") if options.only else list(ROWS)
    if unknown := set(names) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    clock, parts = time.monotonic(), {}
    with tempfile.TemporaryDirectory(prefix="natfp-performance-") as folder:
        ground = Ground(Path(folder), QUICK if options.quick else FULL)
        for name in names:
            parts[name] = ROWS[name](ground)
            for row in parts[name].rows:
                print(" | ".join(row.cells(not options.quick)), flush=True)
    command = "python benchmarks/performance.py" + (f" --only {options.only}" if options.only else "")
    text = document(parts, LIMITS, command, time.monotonic() - clock, not options.quick)
    print(text)
    if not options.quick and (output := options.output or (None if options.only else DOCUMENT)):
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    missed = [row.what for part in parts.values() for row in part.rows if not row.reached]
    return 1 if missed and not options.quick else 0


if __name__ == "__main__":
    raise SystemExit(main())
