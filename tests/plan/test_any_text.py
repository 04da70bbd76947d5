"""Any text, and any data, gives a plan or a fault of the user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from plan_tasks import TASK
from ruamel.yaml import YAML

from natfp_bench.base import resources
from natfp_bench.base.errors import UserError
from natfp_bench.plan import make_plan

BUNDLED = [path.read_text() for path in sorted(resources.tasks().glob("*.yaml"))]


SPLICES = [
    *"{}[]:,-#&*!|>'\"%@`\n\t \\?~=0é\u2028\x85\x00",
    *("<<", "!!", "- ", ": ", "\n  ", "&a ", "*a", "---", "1e999", ".nan", "null", "true", "{a: 1}", "[1]", "-1"),
    *("include: t.yaml\n", "settings: ", "seeds.init", "x0.5", "x0", "match", "0x" + "f" * 40),
]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from([*BUNDLED, TASK]))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.sampled_from([0, 0, 0, 1, 2, 8, 30])))
        splice = draw(st.sampled_from(SPLICES) | st.text(max_size=3) | st.sampled_from(text.split() or [""]))
        text = text[:start] + splice + text[stop:]
    return text


def outcome(folder: Path, text: str) -> str:
    """Plan a text as a task: the size of the plan, or the message of a user's fault; other errors are raised."""
    path = folder / "t.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        return f"{len(make_plan.make_plan(path, 'smoke').variants)} variants"
    except UserError as error:
        return str(error)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutated())
@example("? [a]\n: 1")
@example("a: &a\n  b: *a")
@example("factor: {levels: {? {a: 1} : 2}}")
def test_any_text_gives_a_plan_or_a_fault(folder: Path, text: str) -> None:
    assert 5 < len(outcome(folder, text)) < 20_000


VALUES = st.sampled_from([None, True, 0, 1, -1, 3.5, 1e300, 2**70, "", "x", "seeds.init", "model", "\ud800", [], {}])
VALUES |= st.sampled_from(["x2", "x0", "x" + "9" * 400, "match"])
VALUES |= st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner))


def _replace(draw: st.DrawFn, value: Any) -> Any:
    """Replace or remove a value at a random place."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        match draw(st.integers(0, 8)):
            case 0:
                return {name: item for name, item in value.items() if name != key}
            case 1:
                return value | {draw(st.sampled_from(["x", "name", "optimizer", "lr", "include", ""])): draw(VALUES)}
            case _:
                return value | {key: _replace(draw, value[key])}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [_replace(draw, value[0]), *value[1:]]
    return draw(VALUES)


@st.composite
def mutated_data(draw: st.DrawFn) -> str:
    data = YAML(typ="safe", pure=True).load(TASK)
    data["settings"] = {"model": {"width": 32, "dropout": 0.1}, "corpus": {"name": "chronicle"}}
    for _ in range(draw(st.integers(1, 3))):
        data = _replace(draw, data)
    return json.dumps(data)  # JSON is YAML


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutated_data())
def test_any_data_gives_a_plan_or_a_fault(folder: Path, text: str) -> None:
    assert 5 < len(outcome(folder, text)) < 20_000


def test_the_fuzz_reaches_plans(folder: Path) -> None:
    assert outcome(folder, json.dumps(YAML(typ="safe", pure=True).load(TASK))) == "4 variants"
