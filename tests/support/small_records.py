"""Small records that tests read YAML files as, and the faults of a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from natfp_bench.base import yaml_source
from natfp_bench.base.errors import SpecError
from natfp_bench.base.records import Record


class Inner(Record):
    size: int
    kind: str = "plain"


class Outer(Record):
    name: str
    inner: Inner
    maybe: Inner | None = None
    levels: dict[str, int | str] = Field({})
    words: tuple[str, ...] = ()


def load_faults(path: Path) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        yaml_source.load(path)
    return caught.value.faults
