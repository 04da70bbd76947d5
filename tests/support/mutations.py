"""Mutations of bytes, lines, trees of values and tables, for the tests that fuzz."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

Node = str | list[Any]
"""A value in writing: the text of a scalar, or a list whose items are nodes, or pairs of a key's text and a node."""

NUMBERS = ("0", "-1", "1", "2", "3.5", "1e-320", "1e400", "-0.0", "1000000000", str(2**53 + 1), str(2**62), "9" * 400)

WORDS = (
    "",
    " ",
    "..",
    "../x",
    "/dev/zero",
    "~",
    "a,b",
    "a=b",
    "x" * 3000,
    "naïve ☃ \U0001f600",
    "\u202e\u200b\u0301",
    "[bold]x[/] [/]",
    "| `x` <b> & $x$",
    "\ud800",
    "a\0b",
    "\x1b[2J\x07\r\n\t\x85\u2028",
)

JSON_SCALARS = (*NUMBERS, "null", "true", "false", "NaN", "-Infinity", str(2**64), *map(json.dumps, WORDS))

JSON_NESTED = ("[]", "{}", "[[1]]", '{"a": {"b": null}}', "[" * 50 + "]" * 50, "[" * 3000)

YAML_SCALARS = (
    *NUMBERS,
    *map(json.dumps, WORDS),
    *("null", "~", "true", "no", "", ".nan", "-.inf", "0x10", "0o17", "1_000", str(2**63), "2024-99-99", "12:30"),
    *("x4", "x0", "x0.5", "x" + "9" * 400, "match", "text:../x", "hf:x", "checkpoint", "lm_eval", "texts", "train"),
    *("{replicate}", "'{replicate}'", "auto", "unseen_replicate", "adafactor", "bfloat16", "seeds.init", "model.width"),
    *("!!python/object/apply:os.system [exit]", "!!python/name:os.system", "!function f.g", "!!binary aGk=", "!!int x"),
    *(
        "!!set {a}",
        "!x",
        "!",
        "*a",
        "&a x",
        "&a [*a]",
        "&a {b: *a}",
        "<<",
        "=",
        "- x",
        "|",
        "> x",
        "'",
        '"',
        "%",
        "@",
        "?",
    ),
    "[&a [x, x, x, x, x, x, x, x], &b [*a, *a, *a, *a, *a, *a, *a, *a], &c [*b, *b, *b, *b, *b, *b, *b, *b], [*c, *c]]",
)

YAML_NESTED = ("[]", "{}", "[a, [b]]", "{a: {b: 1}}", "[" * 40 + "]" * 40, "[" * 3000 + "]" * 3000, "{a: " * 40)


def node(value: Any) -> Node:
    """Write plain data as a node."""
    if not value or not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return [(json.dumps(key), node(item)) for key, item in value.items()]
    return [node(item) for item in value]


def written(tree: Node) -> str:
    """Write a node as JSON, which is also YAML."""
    if isinstance(tree, str):
        return tree
    items = [f"{item[0]}: {written(item[1])}" if isinstance(item, tuple) else written(item) for item in tree]
    is_mapping = any(isinstance(item, tuple) for item in tree)
    return f"{{{', '.join(items)}}}" if is_mapping else f"[{', '.join(items)}]"


def as_yaml(tree: Node) -> str:
    """Write a mapping with one line per key."""
    lines = [f"{item[0]}: {written(item[1])}" if isinstance(item, tuple) else written(item) for item in tree]
    return "\n".join(lines) + "\n"


@st.composite
def bytewise(draw: st.DrawFn, sound: bytes) -> bytes:
    """Flip bits, and cut, insert, repeat and truncate bytes."""
    found = bytearray(sound)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(found)))
        to = min(len(found), at + draw(st.sampled_from((1, 2, 7, 100))))
        match draw(st.sampled_from(("flip", "cut", "insert", "repeat", "truncate"))):
            case "flip" if at < len(found):
                found[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del found[at:to]
            case "insert":
                odd = (b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b'"', b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\t")
                found[at:at] = draw(st.sampled_from(odd) | st.binary(max_size=8))
            case "repeat":
                found[at:at] = found[at:to] * draw(st.sampled_from((1, 2, 50)))
            case "truncate" if draw(st.booleans()):
                del found[at:]
    return bytes(found)


@st.composite
def linewise(draw: st.DrawFn, sound: str, odd: Sequence[str]) -> str:
    """Drop, repeat, swap and indent lines, and change the ends of some."""
    lines = sound.split("\n")
    for _ in range(draw(st.integers(1, 3))):
        if not lines:
            break
        at = draw(st.sampled_from(range(len(lines))))
        match draw(st.sampled_from(("drop", "repeat", "swap", "indent", "value", "insert"))):
            case "drop":
                del lines[at]
            case "repeat":
                lines.insert(at, lines[at])
            case "swap":
                lines[at - 1], lines[at] = lines[at], lines[at - 1]
            case "indent":
                lines[at] = draw(st.sampled_from(("  ", " ", "\t", "- ", "? ", "# "))) + lines[at]
            case "value":
                key, colon, _ = lines[at].partition(":")
                lines[at] = f"{key}{colon} {draw(st.sampled_from(NUMBERS) | st.sampled_from(odd))}"
            case "insert":
                lines.insert(at, draw(st.sampled_from(odd)))
    return "\n".join(lines)


@st.composite
def treewise(
    draw: st.DrawFn, sound: Any, odd: Sequence[str], nested: Sequence[str], write: Callable[[Node], str] = written
) -> str:
    """Replace, drop, repeat, move, wrap and insert values and keys anywhere in plain data."""
    tree = node(sound)
    values = st.sampled_from(NUMBERS) | st.sampled_from(odd) | st.sampled_from(nested)
    keys = st.sampled_from([json.dumps(word) for word in WORDS] + [word for word in odd if len(word) < 100])
    for _ in range(draw(st.integers(1, 3))):
        at, index = _walk(draw, tree)
        if not at:
            continue
        key, value = at[index] if isinstance(at[index], tuple) else (None, at[index])

        def put(new: Node, key: str | None = key) -> Any:
            return new if key is None else (key, new)

        match draw(st.sampled_from(("replace", "replace", "drop", "repeat", "move", "wrap", "insert", "key"))):
            case "replace":
                at[index] = put(draw(values))
            case "drop":
                del at[index]
            case "repeat":
                at[index:index] = [at[index]] * draw(st.sampled_from((1, 1, 30)))
            case "move":
                other, place = _walk(draw, tree)
                moved = other[place] if other else "null"
                # As text, so that no list comes to hold itself.
                at[index] = put(written(moved[1] if isinstance(moved, tuple) else moved))
            case "wrap":
                at[index] = put(draw(st.sampled_from(([value], [("a", value)], [value, value]))))
            case "insert":
                at.insert(index, draw(values) if key is None else (draw(keys), draw(values)))
            case "key" if key is not None:
                at[index] = (draw(keys), value)
    return write(tree)


def _walk(draw: st.DrawFn, tree: Node) -> tuple[list[Any], int]:
    """Walk from the top to a random place; returns the list that it is in (empty if there is none), and its index."""
    at: list[Any] = tree if isinstance(tree, list) else []
    while at:
        index = draw(st.sampled_from(range(len(at))))
        below = at[index][1] if isinstance(at[index], tuple) else at[index]
        if not isinstance(below, list) or not below or draw(st.sampled_from((True, False, False, False))):
            return at, index
        at = below
    return [], 0


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


CELLS = [
    pa.array([1, 2], pa.int64()),
    pa.array([2**64 - 1, 0], pa.uint64()),
    pa.array([-1, 2], pa.int8()),
    pa.array([float("nan"), 1e308], pa.float64()),
    pa.array([None, None]),
    pa.array(["a", None]),
    pa.array(["", "../x"]),
    pa.array(["a", "b"], pa.large_string()),
    pa.array(["a", "b"]).dictionary_encode(),
    pa.array([b"\xff", b"a"]),
    pa.array([["a"], None]),
    pa.array([[0.5, None], [float("nan"), 2.0]]),
    pa.array([[], [1.0]], pa.list_(pa.float64())),
    pa.array([{"a": 1}, None]),
    pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
    pa.array([0, 2**60], pa.timestamp("us")),
    pa.array([True, None]),
    pa.array([1, 2], pa.decimal128(5)),
]
"""Columns of odd types and values, which are repeated as often as there are rows."""


@st.composite
def tables(draw: st.DrawFn, sound: pa.Table) -> bytes:
    """Mutate a table: columns of other types and values, without some rows or columns, columns twice."""
    table = sound
    for _ in range(draw(st.integers(1, 2))):
        column = draw(st.sampled_from(range(table.num_columns))) if table.num_columns else 0
        match draw(st.sampled_from(("type", "type", "null", "drop", "twice", "rows", "order"))):
            case "type" if table.num_columns:
                cells = draw(st.sampled_from(CELLS)).take(pa.array(np.arange(len(table)) % 2))
                table = table.set_column(column, table.schema.field(column).name, cells)
            case "null" if len(table) and table.num_columns:
                gone = pa.array(np.arange(len(table)) == draw(st.integers(0, len(table) - 1)))
                kept = pa.array([None if one else place for place, one in enumerate(gone.to_pylist())], pa.int64())
                table = table.set_column(column, table.schema.field(column).name, table[column].take(kept))
            case "drop" if table.num_columns:
                table = table.remove_column(column)
            case "twice" if table.num_columns:
                table = table.append_column(table.schema.field(column).name, table[column])
            case "rows":
                table = table.slice(draw(st.integers(0, 3)), draw(st.integers(0, len(table))))
            case "order":
                table = table.take(pa.array(np.arange(len(table))[::-1]))
    found = io.BytesIO()
    pq.write_table(table, found)
    return found.getvalue()
