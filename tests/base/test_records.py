"""Records and digests: one JSON text for one value."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from natfp_bench.base.records import Record, canonical_json, digest, file_digest, flatten, folder_digest


class Point(Record):
    x: int
    y: float = 0.5


def test_golden_digests_never_change() -> None:
    # Every key of every store is made of these.
    assert canonical_json({"b": [1, 2.5, None], "a": "ß", "c": {"z": True, "y": 1e-8}}) == (
        '{"a":"ß","b":[1,2.5,null],"c":{"y":1e-08,"z":true}}'
    )
    assert digest({}) == hashlib.sha256(b"{}").hexdigest()
    assert digest({"b": [1, 2.5, None], "a": "ß", "c": {"z": True, "y": 1e-8}}) == (
        hashlib.sha256('{"a":"ß","b":[1,2.5,null],"c":{"y":1e-08,"z":true}}'.encode()).hexdigest()
    )
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert digest(Point(x=3)) == digest({"x": 3}), "what has its default is left out"
    assert digest(Point(x=3, y=1.0)) == digest({"x": 3, "y": 1.0})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('aß☃ "\\\n'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=12,
)


def _reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reordered(item) for key, item in reversed(value.items())}
    return [_reordered(item) for item in value] if isinstance(value, list) else value


@given(values)
def test_canonical_json_is_json_without_order_or_spaces(value: Any) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(_reordered(value)) == text
    assert canonical_json(json.loads(text)) == text


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_no_nan_in_json(number: float) -> None:
    for value in (number, [number], {"a": {"b": number}}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical_json(value)


@pytest.mark.parametrize("value", [{1, 2}, b"x", Path("x"), np.int64(1), np.zeros(2), object()])
def test_no_foreign_object_in_json(value: object) -> None:
    with pytest.raises(TypeError, match="no place in canonical JSON"):
        canonical_json({"a": value})


def test_what_json_tells_apart_has_digests_apart() -> None:
    distinct: list[Any] = [1, 1.5, "1", True, None, [], {}, [1], {"a": 1}, {"a": [1]}, "", [[]], 0, -1]
    assert len({digest(value) for value in distinct}) == len(distinct)
    assert digest((1, 2)) == digest([1, 2])


def test_records_are_frozen_strict_and_closed() -> None:
    point = Point(x=1)
    with pytest.raises(ValidationError, match="frozen"):
        point.x = 2  # type: ignore[misc]
    for wrong in ({"x": "1"}, {"x": 1.0}, {"x": 1, "z": 2}, {"x": True}, {"x": 1, "y": math.nan}, {"x": 1, "y": "2"}):
        with pytest.raises(ValidationError):
            Point.model_validate(wrong)


def test_file_digest(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 100_000)
    assert file_digest(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()


def _folder(at: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_text(text)
    return at


def test_folder_digest_sees_names_and_bytes_and_no_caches(tmp_path: Path) -> None:
    files = {"a.py": "1", "sub/b.txt": "2", "a/c": "3"}
    plain = folder_digest(_folder(tmp_path / "plain", files))
    caches = {"__pycache__/a.pyc": "x", "sub/__pycache__/b.pyc": "y", ".DS_Store": "z", ".git/config": "w"}
    assert folder_digest(_folder(tmp_path / "caches", files | caches)) == plain
    # Where the folder lies does not matter, not even below a cache or a hidden folder.
    assert folder_digest(_folder(tmp_path / ".hidden" / "__pycache__" / "x", files)) == plain
    others = [files | {"a.py": "2"}, files | {"d": ""}, {"a.py": "1", "sub/b.txt": "2", "c": "3"}, {"a.py": "1"}]
    digests = {folder_digest(_folder(tmp_path / str(i), other)) for i, other in enumerate(others)}
    assert len(digests | {plain}) == 5


def test_flatten() -> None:
    nested = {"a": {"b": 1, "c": {"d": [1, {"e": 2}]}}, "f": {}, "g": None}
    assert dict(flatten(nested)) == {"a.b": 1, "a.c.d": [1, {"e": 2}], "f": {}, "g": None}
