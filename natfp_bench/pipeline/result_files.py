"""Finding and reading files of results. One that is damaged, or whose parts contradict each other, is refused."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record

from .result import SCHEMA, Result, Score

NAMES = ("result.json", "result.json.gz")
"""Names of a result's file; the compressed one is for results that are kept without their predictions."""

Read = TypeVar("Read", bound=Record)

MOST_BYTES = 2**28
"""Size of the largest file that is read as a result, unpacked."""


def read_json(path: Path) -> Any:
    """Read a JSON file of a result, which may be compressed; raises UserError if it is damaged or too large."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{path}: no result: it has more than {MOST_BYTES:,} bytes")
        data = json.loads(content.decode("utf-8"))
        json.dumps(data, allow_nan=False)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged, it cannot be unpacked ({error})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged, not JSON ({error})") from None
    return data


def parsed(path: Path, kind: type[Read], data: Any, version: int = SCHEMA) -> Read:
    """Make a record of a file's JSON; raises UserError if it is of another schema, or damaged."""
    found = data.get("schema") if isinstance(data, dict) else None
    if type(found) is int and found > version:
        raise UserError(
            f"{path}: not a result of schema {version} (found {found}, which is newer)\n"
            "  pip install --upgrade natfp_bench, or use the version that wrote it"
        )
    if type(found) is not int or found != version:
        raise UserError(f"{path}: not a result of schema {version} (found {found!r})\n  use the version that wrote it")
    try:
        return kind.model_validate_json(json.dumps(data))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: damaged at {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def read(path: Path) -> Result:
    """Read a `result.json`; raises UserError if it is damaged, contradicts itself, or has another schema."""
    found = parsed(path, Result, read_json(path))
    if wrong := next(_contradictions(found), None):
        raise UserError(f"{path}: damaged, it contradicts itself: {wrong}")
    return found


def _contradictions(of: Result) -> Iterator[str]:
    """Say where the parts of a result disagree about what there is."""
    variants, levels = [one.name for one in of.variants], of.factor.levels
    yield from _twice("variants", variants)
    yield from _twice("factor.levels", levels)
    yield from _twice("scores", [f"{one.attributor.name} ({one.target}, {one.split})" for one in of.scores])
    yield from _unknown("level of variants", [one.level for one in of.variants], levels)
    asked: dict[tuple[str, str], set[str]] = {}
    for score in of.scores:
        yield from _score_contradictions(score, levels if score.target == "level" else variants, variants, asked)
    if of.mean_kl:
        yield from _unknown("mean_kl", of.mean_kl.variants, variants)
        yield from _uneven("mean_kl", of.mean_kl.divergence, len(of.mean_kl.variants))
    if of.study and of.study.length and not of.study.length.points:
        yield "study.length: it has no points"


def _score_contradictions(
    of: Score, classes: Sequence[str], variants: Sequence[str], asked: dict[tuple[str, str], set[str]]
) -> Iterator[str]:
    """Say where a score disagrees with the rest.

    asked: the variants that the scores before were on, by target and split; this score's are added.
    """
    who, own = of.attributor.name, {*of.by_variant}
    yield from _twice(f"classes of {who}", of.classes)
    yield from _unknown(f"classes of {who}", of.classes, classes)
    yield from _unknown(f"by_variant of {who}", own, variants)
    if of.bits_by_variant and own != {*of.bits_by_variant}:
        yield f"bits_by_variant of {who}: not the variants of by_variant"
    yield from _uneven(f"confusion of {who}", of.confusion, len(of.classes))
    if of.status == "ok" and own != asked.setdefault((of.target, of.split), own or {*variants}):
        yield f"by_variant of {who}: not the variants of the rest"


def _twice(what: str, names: Sequence[str]) -> Iterator[str]:
    yield from (f"{what}: {name!r} is there twice" for name, n in Counter(names).items() if n > 1)


def _unknown(what: str, names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    yield from (f"{what}: {name!r} is unknown to the rest" for name in sorted({*names} - {*known}))


def _uneven(what: str, rows: Sequence[Sequence[object]] | None, size: int) -> Iterator[str]:
    if rows is not None and [len(row) for row in rows] != [size] * size:
        yield f"{what}: not {size} rows of {size}"


def find(paths: list[Path]) -> list[Path]:
    """Find every result among files and below folders, sorted; raises UserError if a path does not exist.

    A result is a `result.json` or a `result.json.gz`; of a folder that has both, the first.
    """
    found: set[Path] = set()
    for path in paths:
        if path.is_file():
            found.add(path)
        elif path.is_dir():
            there = [one for name in NAMES for one in path.rglob(name)]
            found.update({one.parent: one for one in reversed(there)}.values())
        else:
            raise UserError(f"no results at {str(path)!r}\n  natfp-bench run --task seed_id   makes some")
    return sorted(found)
