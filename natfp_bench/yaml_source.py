"""YAML as data, with every value's place: includes, strict records, all faults of a file at once.

YAML 1.2 through ruamel.yaml: `1e-3` is a number, `no` is a word, a duplicate key is an error. Tags are refused,
so nothing in a file can be code.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from .errors import SpecError, did_you_mean
from .records import Record

Model = TypeVar("Model", bound=Record)
Key = tuple[str | int, ...]

MAX_NODES = 20_000
"""A specification is small; more nodes than this are a bomb of aliases."""

WHOLE = frozenset({"levels"})
"""Mappings that an including file replaces as a whole, where others merge key by key."""


@dataclass(frozen=True)
class Source:
    """Plain data and, for each path into it, the place it was written (`file:line`)."""

    data: dict[str, Any]
    where: dict[Key, str] = field(default_factory=dict)

    def place(self, key: Key) -> str:
        """Find where a path was written, or else the nearest enclosing one."""
        while key and key not in self.where:
            key = key[:-1]
        return self.where.get(key, "?")

    def fault(self, key: Key, what: str) -> str:
        """Format one fault as `file:line: what`."""
        return f"{self.place(key)}: {what}"

    def over(self, base: Source) -> Source:
        """Merge this source over a base: mappings key by key, this one's values winning."""
        where = dict(base.where)
        data = _merge(self.data, base.data, (), self.where, where)
        return Source(data, where)

    def at(self, key: str) -> Source:
        """Take the mapping under a top-level key as a source of its own."""
        where = {path[1:]: place for path, place in self.where.items() if path[:1] == (key,)}
        return Source(self.data.get(key) or {}, where)


def _merge(
    top: dict[str, Any], base: dict[str, Any], at: Key, top_where: dict[Key, str], where: dict[Key, str]
) -> dict[str, Any]:
    merged = dict(base)
    if at in top_where:
        where[at] = top_where[at]
    for key, value in top.items():
        path = (*at, key)
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict) and key not in WHOLE:
            merged[key] = _merge(value, below, path, top_where, where)
            continue
        merged[key] = value
        for stale in [known for known in where if known[: len(path)] == path]:
            del where[stale]
        where.update({known: place for known, place in top_where.items() if known[: len(path)] == path})
    return merged


def show_path(path: Path) -> str:
    """Print a path as the user would type it: relative to the working folder where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)


def load(path: Path, _parents: tuple[Path, ...] = ()) -> Source:
    """Read a YAML file and what it includes (`include: other.yaml`, relative to the file; its own keys win).

    Raises SpecError for an unreadable file, a syntax fault, a duplicate key, a tag, a key that is no word,
    or a cycle of includes.
    """
    shown = show_path(path)
    if path.resolve() in _parents:
        chain = " -> ".join(show_path(parent) for parent in (*_parents, path.resolve()))
        raise SpecError([f"{shown}:1: include cycle: {chain}"])
    source = parse(_text(path), shown)
    include = source.data.pop("include", None)
    if include is None:
        return source
    if not isinstance(include, str):
        raise SpecError([source.fault(("include",), "'include' names one file")])
    target = path.parent / include
    if not target.is_file():
        raise SpecError([source.fault(("include",), f"no file {include!r} to include")])
    return source.over(load(target, (*_parents, path.resolve())))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SpecError([f"{show_path(path)}: not UTF-8 text (byte {error.start})"]) from None
    except OSError as error:
        raise SpecError([f"{show_path(path)}: cannot be read ({error.strerror})"]) from None


def parse(text: str, shown: str) -> Source:
    """Parse YAML text whose top is a mapping; `shown` names the file in places and faults."""
    try:
        tree = YAML(typ="rt", pure=True).load(text)
    except DuplicateKeyError as error:
        what = str(error.problem).split(" with value")[0].replace("found ", "").replace('"', "'")
        raise SpecError([f"{shown}:{_line(error)}: {what}"]) from None
    except MarkedYAMLError as error:
        raise SpecError([f"{shown}:{_line(error)}: not valid YAML: {error.problem or error.context}"]) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise SpecError([f"{shown}: not valid YAML: {str(error).splitlines()[0]}"]) from None
    if not isinstance(tree, CommentedMap):
        raise SpecError([f"{shown}:1: the file is no mapping of keys to values"])
    where: dict[Key, str] = {(): f"{shown}:1"}
    return Source(_Plain(shown, where).value(tree, (), 1), where)


def _line(error: MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


class _Plain:
    """Turns ruamel's annotated tree into plain data, noting each value's line."""

    def __init__(self, shown: str, where: dict[Key, str]) -> None:
        self.shown, self.where, self.nodes = shown, where, 0

    def value(self, node: Any, path: Key, line: int) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise SpecError([f"{self.shown}:{line}: more than {MAX_NODES} values (aliases that multiply?)"])
        self.where[path] = f"{self.shown}:{line}"
        tag = getattr(getattr(node, "tag", None), "value", None)
        if isinstance(node, TaggedScalar) or (tag and not str(tag).startswith("tag:yaml.org,2002:")):
            raise SpecError([f"{self.shown}:{line}: tag {tag!s} is refused: a specification is data, never code"])
        if isinstance(node, CommentedMap):
            return {
                (name := self.key(key, node.lc.key(key)[0] + 1)): self.value(
                    item, (*path, name), node.lc.key(key)[0] + 1
                )
                for key, item in node.items()
            }
        if isinstance(node, CommentedSeq):
            return [self.value(item, (*path, i), node.lc.item(i)[0] + 1) for i, item in enumerate(node)]
        for kind in (bool, int, float, str):
            if isinstance(node, kind):
                return kind(node)
        if node is None:
            return None
        # A YAML timestamp and the like: hand on what was written, and let the record refuse or take it.
        return str(node)

    def key(self, key: Any, line: int) -> str:
        if isinstance(key, str):
            return str(key)
        if isinstance(key, int | float) and not isinstance(key, bool):
            return str(key)
        raise SpecError([f"{self.shown}:{line}: key {key!r} is no word"])


def read(path: Path, model: type[Model]) -> Model:
    """Load a file with its includes and validate it as a record; raises SpecError with every fault."""
    return validate(load(path), model)


def validate(source: Source, model: type[Model]) -> Model:
    """Validate a source as a record; raises SpecError with every fault, each with its place."""
    try:
        # Through JSON, because strict JSON mode takes a list for a tuple and still no string for a number.
        return model.model_validate_json(json.dumps(source.data))
    except ValidationError as error:
        faults = [source.fault(_real(item["loc"], source.data), _what(item, model)) for item in error.errors()]
        raise SpecError(list(dict.fromkeys(faults))) from None


def _real(loc: Key, data: Any) -> Key:
    """Drop what pydantic adds to a location (names of union members), keeping what the file has."""
    path: list[str | int] = []
    for part in loc:
        in_list = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if in_list or (isinstance(data, Mapping) and part in data):
            data = data[part]
            path.append(part)
    return tuple(path)


def _what(error: Any, model: type[Record]) -> str:
    dotted, name = ".".join(map(str, error["loc"])), str(error["loc"][-1]) if error["loc"] else ""
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key {name!r}{did_you_mean(name, known_keys(model, error['loc'][:-1]))}"
        case "missing":
            return f"missing key {dotted!r}"
        case "literal_error":
            allowed = [word.strip(" '") for word in error["ctx"]["expected"].replace(" or ", ",").split(",")]
            near = did_you_mean(str(error["input"]), allowed)
            return f"{dotted}: {error['input']!r} is none of {', '.join(allowed)}{near}"
        case "value_error":
            message = str(error["ctx"]["error"])
            return f"{dotted}: {message}" if dotted else message
        case _:
            message = error["msg"].removeprefix("Input should be ").removeprefix("a valid ")
            given = error["input"]
            shown = "" if isinstance(given, dict | list) else f", not {json.dumps(given)}"
            return f"{dotted} must be {message}{shown}"


def known_keys(model: type[Record], path: Key) -> list[str]:
    """Names of the fields of the record that lies at a path below a record type; none where there is none."""
    at: Any = model
    for part in path:
        fields = getattr(at, "model_fields", {})
        if part not in fields:
            return []
        at = record_type(fields[part].annotation)
    return list(getattr(at, "model_fields", {}))


def record_type(annotation: Any) -> Any:
    """Unwrap `X | None` to X; anything else as it is."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        return members[0] if len(members) == 1 else annotation
    return annotation


def scalar(text: str, *, shown: str) -> Any:
    """Read the value of a `key=value` option as YAML would: numbers, booleans, null, lists, words."""
    return parse(f"value: {text}\n", shown).data.get("value")


def collect(checks: list[Callable[[], None]]) -> None:
    """Run every check and raise one SpecError with the faults of all that failed."""
    faults: list[str] = []
    for check in checks:
        try:
            check()
        except SpecError as error:
            faults.extend(error.faults)
    if faults:
        raise SpecError(faults)
