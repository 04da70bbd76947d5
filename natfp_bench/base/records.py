"""Frozen records and their digests: the vocabulary in which stages speak to each other."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Record(BaseModel):
    """An immutable, strictly typed value; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, serialize_by_alias=True)


def canonical_json(value: Any) -> str:
    """Serialise a value to its one JSON text: keys sorted, no spaces, no NaN or infinity.

    Raises ValueError for a number that JSON cannot hold and TypeError for an object that it cannot.
    """
    options: dict[str, Any] = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}
    return json.dumps(value, default=_plain, allow_nan=False, **options)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no place in canonical JSON")


def canonical(value: Any) -> Any:
    """Return the form of a value that is hashed, as JSON.

    Records and dataclasses lose each field that has its default, so that a field added later, with a default, changes
    no digest. An object with a property `identity` is replaced by it: what it is, not where it lies.
    """
    if hasattr(type(value), "identity"):
        return canonical(value.identity)
    if isinstance(value, Record):
        known = type(value).model_fields.items()
        return {
            info.alias or name: canonical(own)
            for name, info in known
            if not _is_default(own := getattr(value, name), info)
        }
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return fields_of(value)
    if isinstance(value, Mapping):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return value


def fields_of(value: Any) -> dict[str, Any]:
    """Return a dataclass's canonical fields, those that have their default left out."""
    own = {field: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {field.name: canonical(item) for field, item in own.items() if not _same(item, field.default)}


def _is_default(value: Any, info: FieldInfo) -> bool:
    return not info.is_required() and _same(value, info.get_default(call_default_factory=True, validated_data={}))


def _same(value: Any, default: Any) -> bool:
    # True == 1 in Python, and they are different settings.
    return type(value) is type(default) and bool(value == default)


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical form, in hexadecimal."""
    return hashlib.sha256(canonical_json(canonical(value)).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, read in bounded memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path, *, without: Collection[str] = ()) -> str:
    """SHA-256 over the relative names and bytes of a folder's files, caches, hidden files and some others left out."""
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    kept = [name for name in names if not any(part == "__pycache__" or part.startswith(".") for part in name.parts)]
    return digest([[name.as_posix(), file_digest(folder / name)] for name in kept if name.as_posix() not in without])


def flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Walk a nested mapping as (dotted path, leaf); lists are leaves."""
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from flatten(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item
