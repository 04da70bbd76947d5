"""YAML as data, with the place of every value: includes, and all faults of a file at once.

ruamel.yaml reads YAML 1.2: `1e-3` is a number, `no` is a word, a duplicate key is an error. Tags are refused, so
nothing in a file can be code.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .errors import SpecError

Key = tuple[str | int, ...]
Scalar = str | int | float | bool

MAX_BYTES = 100_000
"""Size of a file. The library takes a second for each 40 kilobytes, so this is checked before it sees any."""

MAX_SIZE = 20_000
"""A specification is small. More values than this (a long text counts as several) mean a bomb of aliases."""

MAX_DEPTH = 32
"""Deeper nesting is an alias of itself, or a mistake."""

DEEP = f"nested more than {MAX_DEPTH} levels deep"

ENDINGS = (".yaml", ".yml")
"""Files that may be included: the faults of another file would show what is in it."""

SCALARS = frozenset({"str", "int", "float", "bool", "null", "timestamp"})
"""Accepted kinds of YAML scalars; a date is kept as the word that was written, as in YAML 1.2."""

KEYS = frozenset({"str", "int", "float", "timestamp"})
"""Kinds of scalars that may be a key; each key is the word that was written."""

WHOLE = frozenset({"levels"})
"""Mappings that an including file replaces as a whole; all others merge key by key."""


@dataclass(frozen=True)
class YamlSource:
    """Plain data and, for each path into it, the place where it was written (`file:line`).

    faults: of the text itself, such as duplicate keys. unsound: paths of values that could not be read, which are None.
    """

    data: dict[str, Any]
    where: dict[Key, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    unsound: frozenset[Key] = frozenset()

    def place(self, key: Key) -> str:
        """Find where a path was written; if it was not, where the nearest enclosing path was."""
        while key and key not in self.where:
            key = key[:-1]
        return self.where.get(key, "?")

    def fault(self, key: Key, what: str) -> str:
        """Format one fault as `file:line: what`."""
        return f"{self.place(key)}: {what}"

    def over(self, base: YamlSource) -> YamlSource:
        """Merge this source over a base: mappings key by key; the values of this source win."""
        where = dict(base.where)
        data = _merge(self.data, base.data, (), self.where, where)
        return YamlSource(data, where, self.faults + base.faults, self.unsound | base.unsound)


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
    """Paths of a value and of everything below it."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*at, key))


def show_path(path: Path) -> str:
    """Show a path as the user would type it: relative to the working folder if it is below that folder."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)


def load(path: Path) -> YamlSource:
    """Read a YAML file and the file that it includes (`include: other.yaml`, relative to it; its own keys win).

    Raises SpecError for an unreadable or too large file, a syntax fault, a duplicate key, a tag, a key that is not a
    word, or a cycle of includes.
    """
    return _sound(examine(path))


def examine(path: Path, _parents: tuple[Path, ...] = ()) -> YamlSource:
    """Read a file as `load` does, and note the faults after which the other values can still be checked."""
    source = _copied(_parsed(_text(path), show_path(path)))
    if "include" not in source.data:
        return source
    key, include = ("include",), source.data.pop("include")
    if not isinstance(include, str):
        raise SpecError([source.fault(key, "'include' must name one file")])
    target, chain = path.parent / include, (*_parents, path.resolve())
    if not _is_file(target):
        raise SpecError([source.fault(key, f"the included file {brief(include)} does not exist")])
    if target.resolve().suffix not in ENDINGS:
        raise SpecError([source.fault(key, f"the included file {brief(include)} is no {' or '.join(ENDINGS)} file")])
    if target.resolve() in chain:
        shown = " -> ".join(show_path(parent) for parent in (*chain, target.resolve()))
        raise SpecError([source.fault(key, f"include cycle: {shown}")])
    return source.over(examine(target, chain))


def _sound(source: YamlSource) -> YamlSource:
    if source.faults:
        raise SpecError(source.faults)
    return source


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system
        return False


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise SpecError([f"{show_path(path)}: larger than {MAX_BYTES:,} bytes, the most that such a file may have"])
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError([f"{show_path(path)}: not UTF-8 text (byte {error.start})"]) from None
    except OSError as error:
        raise SpecError([f"{show_path(path)}: cannot be read ({error.strerror})"]) from None


def parse(text: str, shown: str) -> YamlSource:
    """Parse YAML text whose top level is a mapping; `shown` names the file in places and faults."""
    return _copied(_sound(_parsed(text, shown)))


def _copied(known: YamlSource) -> YamlSource:
    return replace(known, data=copy.deepcopy(known.data))


@functools.lru_cache(maxsize=512)
def _parsed(text: str, shown: str) -> YamlSource:
    """Parse a text only once, even if many files include it, or if commands read all task files one after another."""
    plain = _Plain(lambda line: f"{shown}:{line}")
    data = plain.document(text)
    if not isinstance(data, dict):
        raise SpecError(plain.faults or [f"{shown}:1: the file must be a mapping of keys to values"])
    return YamlSource(data, plain.where | {(): f"{shown}:1"}, tuple(plain.faults), frozenset(plain.unsound))


def scalar(text: str, *, shown: str) -> Scalar:
    """Read the value of a `key=value` option as YAML reads it: a number, a boolean or a word.

    Raises SpecError for anything else; `shown` is the place that its message names.
    """
    plain = _Plain(lambda _: shown)
    value = plain.document(text)
    if not plain.faults and (value is None or isinstance(value, dict | list)):
        plain.faults.append(f"{shown}: the value must be a number, true, false or a word")
    if plain.faults:
        raise SpecError(plain.faults)
    word: Scalar = value
    return word


class _Plain:
    """Turns YAML nodes into plain data, and notes the place of each value and every fault."""

    def __init__(self, place: Callable[[int], str]) -> None:
        self.place = place
        self.where: dict[Key, str] = {}
        self.faults: list[str] = []
        self.unsound: set[Key] = set()
        self.size = 0
        self.yaml = YAML(typ="safe", pure=True, plug_ins=[])
        self.yaml.max_depth = MAX_DEPTH + 1  # of nodes; the document itself is one
        self.yaml.composer.warn_double_anchors = False

    def document(self, text: str) -> Any:
        # The library only composes nodes and constructs no objects, so no tag can run code.
        try:
            node = self.yaml.compose(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = DEEP if isinstance(error, MaxDepthExceededError) else f"not valid YAML: {_problem(error)}"
            self.fault(mark.line + 1 if mark else 1, what)
        except (YAMLError, ValueError) as error:
            self.faults.append(f"{self.place(1)}: not valid YAML: {str(error).splitlines()[0]}")
        else:
            with contextlib.suppress(_TooLarge):
                return None if node is None else self.value(node, (), 1)
        return None

    def fault(self, line: int, what: str) -> None:
        self.faults.append(f"{self.place(line)}: {what}")

    def value(self, node: Node, path: Key, line: int) -> Any:
        """Value of a node; line: the line of its key, because users look for the key."""
        self.where[path] = self.place(line)
        self.size += 1 + (len(node.value) // 100 if isinstance(node, ScalarNode) else 0)
        if self.size > MAX_SIZE or len(path) > MAX_DEPTH:
            self.fault(line, f"more than {MAX_SIZE:,} values, or {DEEP} (aliases that multiply?)")
            raise _TooLarge
        kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
        match node:
            case MappingNode() if kind == "map":
                return self.mapping(node, path)
            case SequenceNode() if kind == "seq":
                return [self.value(item, (*path, i), _line(item)) for i, item in enumerate(node.value)]
            case ScalarNode() if kind in SCALARS:
                return self.scalar(node, kind, path, line)
        self.refuse(path, line, f"tag {kind!r} is not allowed: a specification is data, never code")
        return None

    def refuse(self, path: Key, line: int, what: str) -> None:
        self.unsound.add(path)
        self.fault(line, what)

    def mapping(self, node: MappingNode, path: Key) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, item in node.value:
            line, key = _line(key_node), key_node.value
            kind = str(key_node.tag).removeprefix("tag:yaml.org,2002:")
            if kind == "merge":
                self.fault(line, "merge keys ('<<') are not allowed; use 'include', or write the keys out")
            elif not isinstance(key_node, ScalarNode) or kind not in KEYS or not _is_text(key):
                shown = key if isinstance(key_node, ScalarNode) else "of several values"
                self.fault(line, f"key {brief(shown)} is not a word (if you mean a word, put it in quotes)")
            elif key in data:
                self.fault(line, f"duplicate key {key!r}")
            else:
                data[key] = self.value(item, (*path, key), line)
        return data

    def scalar(self, node: ScalarNode, kind: str, path: Key, line: int) -> Scalar | None:
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
            pass  # a tag that does not fit its text: `!!int x`
        self.refuse(path, line, f"{brief(text)} is not a value that a specification can hold")
        return None


class _TooLarge(Exception):  # noqa: N818  a way out of the walk, not an error by itself
    """The document is larger than any specification."""


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _is_text(text: str) -> bool:
    """Whether a string has no lone surrogates: escapes can write them, and no encoding can hold them."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _problem(error: MarkedYAMLError) -> str:
    return str(error.problem or error.context).splitlines()[0]


def brief(value: Any) -> str:
    """Show a value as JSON, shortened to 60 characters."""
    shown = json.dumps(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
