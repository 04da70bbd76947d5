"""The defaults of settings are frozen, because keys leave them out."""

from __future__ import annotations

from typing import Any

from natfp_bench.base.records import Record, canonical
from natfp_bench.plan.defaults import DEFAULTS, LATER
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.settings import Settings

HOW = "keys leave out fields that have their default: read plan/defaults.py before you change one"


def defaults(kind: type[Record]) -> dict[str, Any]:
    """Default of each plain field that has one; a section is a mapping of its own fields."""
    found: dict[str, Any] = {}
    for name, info in kind.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, Record):
            found[name] = defaults(inner)
        elif not info.is_required():
            found[name] = info.default
    return found


def together(first: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    sections = {name: value if isinstance(value, dict) else {} for name, value in later.items()}
    return {
        **sections,
        **{
            name: {**value, **later.get(name, {})} if isinstance(value, dict) else value
            for name, value in first.items()
        },
    }


def test_defaults_are_frozen() -> None:
    assert defaults(Settings) == together(DEFAULTS, LATER), HOW


def test_a_field_that_has_its_default_is_not_hashed() -> None:
    settings = make_plan("seed_id", "smoke").variants[0].settings
    shown = canonical(settings)
    assert "source" not in shown
    assert "top_k" not in shown["sampling"]
    other = settings.model_copy(update={"sampling": settings.sampling.model_copy(update={"top_k": 5})})
    assert canonical(other)["sampling"] == {**shown["sampling"], "top_k": 5}


def test_a_value_that_equals_its_default_in_another_type_is_hashed() -> None:
    class Switch(Record):
        on: bool | int = True

    assert canonical(Switch()) == {}
    assert canonical(Switch(on=1)) == {"on": 1}
