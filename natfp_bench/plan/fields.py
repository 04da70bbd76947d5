"""Kinds of fields that settings are made of."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import Field

from natfp_bench.base.records import Record

Count = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


def separated(listed: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(name.strip() for name in listed.split(",") if name.strip())


Part = TypeVar("Part", bound=Record)


def narrowed(kind: type[Part], whole: Record) -> Part:
    """Make a smaller record from the fields that a larger one shares with it."""
    return kind(**{name: getattr(whole, name) for name in kind.model_fields})
