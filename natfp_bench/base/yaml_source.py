"""YAML as data, with every value's place: includes, strict records, all faults of a file at once.

YAML 1.2 through ruamel.yaml: `1e-3` is a number, `no` is a word, a duplicate key is an error. Tags are refused,
so nothing in a file can be code.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .errors import SpecError, did_you_mean
from .records import Record

Model = TypeVar("Model", bound=Record)
Key = tuple[str | int, ...]
Scalar = str | int | float | bool

MAX_SIZE = 20_000
"""A specification is small; more values than this (long texts count as several) are a bomb of aliases."""

MAX_DEPTH = 32
"""What nests deeper is an alias of itself, or a mistake."""

SCALARS = frozenset({"str", "int", "float", "bool", "null", "timestamp"})
"""YAML's kinds of scalar that are taken; a date is the word that was written, as YAML 1.2 has it."""

KEYS = frozenset({"str", "int", "float", "timestamp"})
"""Kinds of scalar that may be a key, as the word that was written."""

WHOLE = frozenset({"levels"})
"""Mappings that an including file replaces as a whole, where others merge key by key."""


@dataclass(frozen=True)
class YamlSource:
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

    def over(self, base: YamlSource) -> YamlSource:
        """Merge this source over a base: mappings key by key, this one's values winning."""
        where = dict(base.where)
        data = _merge(self.data, base.data, (), self.where, where)
        return YamlSource(data, where)

    def at(self, key: str) -> YamlSource:
        """Take the mapping under a top-level key as a source of its own."""
        where = {path[1:]: place for path, place in self.where.items() if path[:1] == (key,)}
        return YamlSource(self.data.get(key) or {}, where)


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
        for stale in _paths(below, path):
            where.pop(stale, None)
        where.update({known: top_where[known] for known in _paths(value, path) if known in top_where})
    return merged


def _paths(value: Any, at: Key) -> Iterator[Key]:
    """Paths of a value and of all that lies below it."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*at, key))


def show_path(path: Path) -> str:
    """Print a path as the user would type it: relative to the working folder where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)


def load(path: Path, _parents: tuple[Path, ...] = ()) -> YamlSource:
    """Read a YAML file and what it includes (`include: other.yaml`, relative to the file; its own keys win).

    Raises SpecError for an unreadable file, a syntax fault, a duplicate key, a tag, a key that is no word,
    or a cycle of includes.
    """
    source = parse(_text(path), show_path(path))
    if "include" not in source.data:
        return source
    key, include = ("include",), source.data.pop("include")
    if not isinstance(include, str):
        raise SpecError([source.fault(key, "'include' names one file")])
    target, chain = path.parent / include, (*_parents, path.resolve())
    if not _is_file(target):
        raise SpecError([source.fault(key, f"no file {_brief(include)} to include")])
    if target.resolve() in chain:
        shown = " -> ".join(show_path(parent) for parent in (*chain, target.resolve()))
        raise SpecError([source.fault(key, f"include cycle: {shown}")])
    return source.over(load(target, chain))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError([f"{show_path(path)}: not UTF-8 text (byte {error.start})"]) from None
    except OSError as error:
        raise SpecError([f"{show_path(path)}: cannot be read ({error.strerror})"]) from None


def parse(text: str, shown: str) -> YamlSource:
    """Parse YAML text whose top is a mapping; `shown` names the file in places and faults."""
    known = _parsed(text, shown)
    return YamlSource(copy.deepcopy(known.data), known.where)


@functools.lru_cache(maxsize=64)
def _parsed(text: str, shown: str) -> YamlSource:
    """Parse once what many files include."""
    plain = _Plain(lambda line: f"{shown}:{line}")
    data = plain.document(text)
    if not plain.faults and not isinstance(data, dict):
        plain.faults.append(f"{shown}:1: the file is no mapping of keys to values")
    if plain.faults:
        raise SpecError(plain.faults)
    return YamlSource(data, plain.where | {(): f"{shown}:1"})


def scalar(text: str, *, shown: str) -> Scalar:
    """Read the value of a `key=value` option as YAML would: a number, a boolean or a word.

    Raises SpecError, placed at `shown`, for anything else.
    """
    plain = _Plain(lambda _: shown)
    value = plain.document(text)
    if not plain.faults and (value is None or isinstance(value, dict | list)):
        plain.faults.append(f"{shown}: takes a number, true, false or a word")
    if plain.faults:
        raise SpecError(plain.faults)
    word: Scalar = value
    return word


class _Plain:
    """Turns YAML's nodes into plain data, noting each value's place and every fault."""

    def __init__(self, place: Callable[[int], str]) -> None:
        self.place = place
        self.where: dict[Key, str] = {}
        self.faults: list[str] = []
        self.size = 0
        self.yaml = YAML(typ="safe", pure=True, plug_ins=[])
        self.yaml.composer.warn_double_anchors = False

    def document(self, text: str) -> Any:
        # Only composed, never constructed by the library: what a tag may do is decided here.
        try:
            node = self.yaml.compose(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.faults.append(f"{self.place(mark.line + 1 if mark else 1)}: not valid YAML: {_problem(error)}")
        except (YAMLError, ValueError, RecursionError) as error:
            self.faults.append(f"{self.place(1)}: not valid YAML: {str(error).splitlines()[0]}")
        else:
            with contextlib.suppress(_TooLarge):
                return None if node is None else self.value(node, (), 1)
        return None

    def fault(self, line: int, what: str) -> None:
        self.faults.append(f"{self.place(line)}: {what}")

    def value(self, node: Node, path: Key, line: int) -> Any:
        """Value of a node; line: of its key, since what a user looks for is the key."""
        self.where[path] = self.place(line)
        self.size += 1 + (len(node.value) // 100 if isinstance(node, ScalarNode) else 0)
        if self.size > MAX_SIZE or len(path) > MAX_DEPTH:
            self.fault(line, "too many values, or nested too deeply (aliases that multiply?)")
            raise _TooLarge
        kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
        match node:
            case MappingNode() if kind == "map":
                return self.mapping(node, path)
            case SequenceNode() if kind == "seq":
                return [self.value(item, (*path, i), _line(item)) for i, item in enumerate(node.value)]
            case ScalarNode() if kind in SCALARS:
                return self.scalar(node, kind, line)
        self.fault(line, f"tag {kind!r} is refused: a specification is data, never code")
        return None

    def mapping(self, node: MappingNode, path: Key) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, item in node.value:
            line, key = _line(key_node), key_node.value
            kind = str(key_node.tag).removeprefix("tag:yaml.org,2002:")
            if kind == "merge":
                self.fault(line, "merge keys ('<<') are not taken; use 'include', or write the keys out")
            elif not isinstance(key_node, ScalarNode) or kind not in KEYS or not _is_text(key):
                shown = key if isinstance(key_node, ScalarNode) else "of several values"
                self.fault(line, f"key {_brief(shown)} is no word (quote it if it is meant as one)")
            elif key in data:
                self.fault(line, f"duplicate key {key!r}")
            else:
                data[key] = self.value(item, (*path, key), line)
        return data

    def scalar(self, node: ScalarNode, kind: str, line: int) -> Scalar | None:
        text = str(node.value)
        try:
            match kind:
                case "int" if abs(whole := int(self.yaml.constructor.construct_yaml_int(node))) < 2**63:
                    return whole
                case "float" if math.isfinite(real := float(self.yaml.constructor.construct_yaml_float(node))):
                    return real
                case "bool":
                    return bool(self.yaml.constructor.construct_yaml_bool(node))
                case "null":
                    return None
                case "str" | "timestamp" if _is_text(text):
                    return text
        except (ValueError, KeyError, IndexError):
            pass  # a tag that its text does not bear out: `!!int x`
        self.fault(line, f"{_brief(text)} is no value that a specification can hold")
        return None


class _TooLarge(Exception):  # noqa: N818  a way out of the walk, not an error by itself
    """The document is larger than any specification."""


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _is_text(text: str) -> bool:
    """Whether a string is free of lone surrogates, which escapes can make and no encoding can hold."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _problem(error: MarkedYAMLError) -> str:
    return str(error.problem or error.context).splitlines()[0]


def _brief(value: Any) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def read(path: Path, model: type[Model]) -> Model:
    """Load a file with its includes and validate it as a record; raises SpecError with every fault."""
    return validate(load(path), model)


def validate(source: YamlSource, model: type[Model]) -> Model:
    """Validate a source as a record; raises SpecError with every fault, each with its place."""
    try:
        return _validated(source, model)
    except ValidationError as error:
        raise SpecError([source.fault(key, what) for key, what in _faults(error, source, model)]) from None


def faults(source: YamlSource, model: type[Record]) -> list[tuple[Key, str]]:
    """Find what keeps a source from being a record, as (path, what) for `YamlSource.fault`; empty if it is one."""
    try:
        _validated(source, model)
    except ValidationError as error:
        return _faults(error, source, model)
    return []


def _validated(source: YamlSource, model: type[Model]) -> Model:
    # Through JSON, because strict JSON mode takes a list for a tuple and still no string for a number.
    return model.model_validate_json(json.dumps(source.data))


def _faults(error: ValidationError, source: YamlSource, model: type[Record]) -> list[tuple[Key, str]]:
    """Put pydantic's errors in words, those of the members of a union as one."""
    unions: dict[Key, list[str]] = {}
    found: dict[tuple[Key, str], None] = {}
    for one in error.errors():
        path = _real(one["loc"], source.data)
        if len(path) < len(one["loc"]) and one["type"] not in ("missing", "extra_forbidden"):
            unions.setdefault(path, []).append(_wanted(one))
        else:
            found[path, _what(one, model)] = None
    for path, wanted in unions.items():
        # A member that looked deeper says more than one that refused the whole.
        if not any(other[: len(path)] == path for other in unions if len(other) > len(path)):
            found[path, f"{_dotted(path)} must be {', or '.join(dict.fromkeys(wanted))}"] = None
    return list(found)


def _real(loc: Key, data: Any) -> Key:
    """Drop what pydantic adds to a location (names of union members), keeping what the file has."""
    path: list[str | int] = []
    for part in loc:
        in_list = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if in_list or (isinstance(data, Mapping) and part in data):
            data = data[part]
            path.append(part)
    return tuple(path)


def _dotted(path: Key) -> str:
    return ".".join(map(str, path))


def _what(error: Any, model: type[Record]) -> str:
    dotted, name = _dotted(error["loc"]), str(error["loc"][-1]) if error["loc"] else ""
    given = error["input"]
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key {name!r}{did_you_mean(name, known_keys(model, error['loc'][:-1]))}"
        case "missing":
            return f"missing key {dotted!r}"
        case "literal_error":
            allowed = [word.strip(" '") for word in error["ctx"]["expected"].replace(" or ", ",").split(",")]
            near = did_you_mean(str(given), allowed)
            return f"{dotted}: {_brief(given)} is none of {', '.join(allowed)}{near}"
        case "too_short":
            return f"{dotted} holds {error['ctx']['actual_length']}, and must hold {error['ctx']['min_length']} or more"
        case "too_long":
            return f"{dotted} holds {len(given)}, and must hold {error['ctx']['max_length']} or fewer"
        case "value_error":
            message = str(error["ctx"]["error"])
            return f"{dotted}: {message}" if dotted else message
        case _:
            shown = "" if isinstance(given, dict | list) else f", not {_brief(given)}"
            return f"{dotted} must be {_wanted(error)}{shown}"


def _wanted(error: Any) -> str:
    match error["type"]:
        case "tuple_type":
            return "a list"
        case "dict_type" | "model_type":
            return "a mapping of keys to values"
        case _:
            return str(error["msg"]).removeprefix("Input should be ")


def known_keys(model: type[Record], path: Key) -> list[str]:
    """Keys of the record that lies at a path below a record type; none where there is none."""
    at: Any = model
    for part in path:
        fields = getattr(at, "model_fields", {})
        if part not in fields:
            return []
        at = _record_type(fields[part].annotation)
    return [info.alias or name for name, info in getattr(at, "model_fields", {}).items()]


def _record_type(annotation: Any) -> Any:
    """Unwrap `X | None` to X; anything else as it is."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        return members[0] if len(members) == 1 else annotation
    return annotation
