"""YAML as strict records: validation, with each fault in words and with its place."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from .errors import SpecError, did_you_mean
from .records import Record
from .yaml_source import Key, YamlSource, brief, examine

Model = TypeVar("Model", bound=Record)


def read(path: Path, model: type[Model]) -> Model:
    """Load a file with its includes and validate it as a record; raises SpecError with every fault."""
    return validate(examine(path), model)


def validate(source: YamlSource, model: type[Model]) -> Model:
    """Validate a source as a record; raises SpecError with every fault, those of the text included."""
    if found := [*source.faults, *(source.fault(key, what) for key, what in faults(source, model))]:
        raise SpecError(found)
    return _validated(source, model)


def faults(source: YamlSource, model: type[Record]) -> list[tuple[Key, str]]:
    """List the faults of a source as a record, as (path, what) for `YamlSource.fault`; empty if it is valid.

    Values that could not be read have no further faults.
    """
    try:
        _validated(source, model)
    except ValidationError as error:
        return [(key, what) for key, what in _faults(error, source, model) if not _within(key, source.unsound)]
    return []


def _within(key: Key, paths: Set[Key]) -> bool:
    return any(key[:depth] in paths for depth in range(len(key) + 1))


def _validated(source: YamlSource, model: type[Model]) -> Model:
    # Through JSON: pydantic's strict JSON mode accepts a list as a tuple, and still no string as a number.
    return model.model_validate_json(json.dumps(source.data))


def _faults(error: ValidationError, source: YamlSource, model: type[Record]) -> list[tuple[Key, str]]:
    """Put pydantic's errors into words; the errors of the members of one union become one message."""
    unions: dict[Key, list[str]] = {}
    found: dict[tuple[Key, str], None] = {}
    for one in error.errors():
        path = _real(one["loc"], source.data)
        if len(path) < len(one["loc"]) and one["type"] not in ("missing", "extra_forbidden"):
            unions.setdefault(path, []).append(_wanted(one))
        else:
            found[path, _what(one, model)] = None
    for path, wanted in unions.items():
        # An error further inside says more than one about the whole value.
        if not any(other[: len(path)] == path for other in unions if len(other) > len(path)):
            found[path, f"{_dotted(path)} must be {', or '.join(dict.fromkeys(wanted))}"] = None
    return list(found)


def _real(loc: Key, data: Any) -> Key:
    """Drop the parts that pydantic adds to a location (names of union members); keep the path in the file."""
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
            return f"{dotted}: {brief(given)} is not one of {', '.join(allowed)}{near}"
        case "too_short":
            return f"{dotted} must have {error['ctx']['min_length']} or more entries, not {len(given)}"
        case "too_long":
            return f"{dotted} must have {error['ctx']['max_length']} or fewer entries, not {len(given)}"
        case "value_error":
            message = str(error["ctx"]["error"])
            return f"{dotted}: {message}" if dotted else message
        case _:
            shown = "" if isinstance(given, dict | list) else f", not {brief(given)}"
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
    """Keys of the record at a path below a record type; none if there is no record at that path."""
    at: Any = model
    for part in path:
        fields = getattr(at, "model_fields", {})
        if part not in fields:
            return []
        at = _record_type(fields[part].annotation)
    return [info.alias or name for name, info in getattr(at, "model_fields", {}).items()]


def _record_type(annotation: Any) -> Any:
    """Unwrap `X | None` to X; return anything else unchanged."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        return members[0] if len(members) == 1 else annotation
    return annotation
