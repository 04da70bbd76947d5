"""Kinds of fields that settings are made of."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from natfp_bench.base.records import Record

Count = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]

MAX_LEVELS = 128
"""Most levels of a factor."""


class Extended(Record):
    """A record with fields that came later: not shown at their default, so that what was made before stays valid."""

    later: ClassVar[tuple[str, ...]]

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        shown: dict[str, Any] = serialize(self)
        plain = {name for name in self.later if getattr(self, name) == type(self).model_fields[name].default}
        return {name: value for name, value in shown.items() if name not in plain}


def separated(listed: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(name.strip() for name in listed.split(",") if name.strip())


Part = TypeVar("Part", bound=Record)


def narrowed(kind: type[Part], whole: Record) -> Part:
    """Make a smaller record from the fields that a larger one shares with it."""
    return kind(**{name: getattr(whole, name) for name in kind.model_fields})
