"""Task and preset files: what they may say, and every way of saying it wrong."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from natfp_bench.attributors import transforms
from natfp_bench.base import resources
from natfp_bench.base.errors import SpecError, UserError
from natfp_bench.plan import make_plan
from natfp_bench.plan import task_files as spec
from natfp_bench.plan.settings import Settings

TASK = """\
task: t
version: 1
summary: A task of the tests.
factor:
  name: peak learning rate
  fields: [optimizer.lr]
  levels:
    low: 1e-3
    high: 1e-2
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, so that places read `t.yaml:line`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def faults(text: str, name: str = "t") -> list[str]:
    path = Path(f"{name}.yaml")
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        make_plan.plan_file(path, "smoke")
    return list(caught.value.faults)


def test_a_sound_task(folder: Path) -> None:
    Path("t.yaml").write_text(TASK)
    task, source = spec.load_task(Path("t.yaml"))
    assert task.factor.fields == ("optimizer.lr",)
    assert task.factor.levels == {"low": 0.001, "high": 0.01}
    assert [task.factor.values(level) for level in task.factor.levels] == [
        {"optimizer.lr": 0.001},
        {"optimizer.lr": 0.01},
    ]
    assert source.place(("factor", "levels", "high")) == "t.yaml:9"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # two factors at once
        (
            "[optimizer.lr]",
            "[optimizer.lr, model.width]",
            ["t.yaml:6: two factors varied at once: fields of model and optimizer; a task has one"],
        ),
        (
            "low: 1e-3",
            "low: {optimizer.lr: 1e-3, model.width: 32}",
            ["t.yaml:8: two factors varied at once: level 'low' sets 'model.width', which is none of factor.fields"],
        ),
        # levels
        ("low: 1e-3", "low: -1", ["t.yaml:8: settings.optimizer.lr must be greater than 0, not -1 (level 'low')"]),
        (
            "low: 1e-3\n    high: 1e-2",
            "low: no\n    high: []",
            [
                "t.yaml:9: factor.levels.high must be a valid string, or a valid integer, or a valid number, "
                "or a valid boolean, or a mapping of keys to values"
            ],
        ),
        (
            "high: 1e-2",
            "high: no",
            ["t.yaml:9: settings.optimizer.lr must be a valid number, not \"no\" (level 'high')"],
        ),
        ("    high: 1e-2\n", "", ["t.yaml:7: factor.levels holds 1, and must hold 2 or more"]),
        (
            "    high: 1e-2\n",
            "".join(f"    high{i}: {i + 1}\n" for i in range(128)),
            ["t.yaml:7: factor.levels holds 129, and must hold 128 or fewer"],
        ),
        ("high: 1e-2", "high: 0.001", ["t.yaml:9: levels 'low' and 'high' are the same"]),
        ("high: 1e-2", "high: 1e-2\n    more: {}", ["t.yaml:10: level 'more' gives no value to 'optimizer.lr'"]),
        (
            "high: 1e-2",
            "a b: 1e-2",
            ["t.yaml:9: level 'a b' is no plain word (letters, digits, _.- and at most 64 of them)"],
        ),
        (
            "high: 1e-2",
            "../x: 1e-2",
            ["t.yaml:9: level '../x' is no plain word (letters, digits, _.- and at most 64 of them)"],
        ),
        ("high: 1e-2", "low: 1e-2", ["t.yaml:9: duplicate key 'low'"]),
        # fields
        ("[optimizer.lr]", "[]", ["t.yaml:6: factor.fields holds 0, and must hold 1 or more"]),
        ("[optimizer.lr]", "optimizer.lr", ['t.yaml:6: factor.fields must be a list, not "optimizer.lr"']),
        ("[optimizer.lr]", "[width]", ["t.yaml:6: unknown field 'width' (did you mean 'model.width'?)"]),
        (
            "[optimizer.lr]",
            "[lr]",
            ["t.yaml:6: unknown field 'lr' (did you mean 'optimizer.lr' or 'finetune.lr'?)"],
        ),
        ("[optimizer.lr]", "[optimizer]", ["t.yaml:6: unknown field 'optimizer' (did you mean 'optimizer.lr'?)"]),
        ("[optimizer.lr]", "[optimizer.lr, optimizer.lr]", ["t.yaml:6: field 'optimizer.lr' stands twice"]),
        (
            "[optimizer.lr]",
            "[sampling.texts]",
            ["t.yaml:6: 'sampling.texts' is no factor: it says how much is drawn, not from what"],
        ),
        (
            "[optimizer.lr]",
            "[tokenizer.train_bytes]",
            ["t.yaml:6: 'tokenizer.train_bytes' is no factor: it says how much a tokenizer is learnt from, not which"],
        ),
        # the rest of the file
        ("task: t\n", "task: other\n", ["t.yaml:1: the task is called 'other' and its file 't'"]),
        ("version: 1", "version: 1.5", ["t.yaml:2: version must be a valid integer, not 1.5"]),
        ("version: 1", "version: 0", ["t.yaml:2: version must be greater than 0, not 0"]),
        (
            "summary",
            "sumary",
            ["t.yaml:1: missing key 'summary'", "t.yaml:3: unknown key 'sumary' (did you mean 'summary'?)"],
        ),
        ("task: t\n", "task: t\nreplicates: 0\n", ["t.yaml:2: replicates must be greater than 0, not 0"]),
        (
            "task: t\n",
            "task: t\ncontrol: negativ\n",
            ["t.yaml:2: control: \"negativ\" is none of negative, positive (did you mean 'negative'?)"],
        ),
        # settings
        (
            "task: t\n",
            "task: t\nsettings: {optimizer: {lr: 1}}\n",
            ["t.yaml:2: 'optimizer.lr' is the factor's field; its values stand in factor.levels"],
        ),
        (
            "task: t\n",
            "task: t\nsettings:\n  model:\n    layes: 1\n  modle: {}\n",
            [
                "t.yaml:4: unknown setting 'model.layes' (did you mean 'model.layers'?)",
                "t.yaml:5: unknown setting 'modle'",
            ],
        ),
        (
            "task: t\n",
            "task: t\nsettings:\n  model: 3\n",
            ["t.yaml:3: settings.model must be a mapping of keys to values"],
        ),
        (
            "task: t\n",
            "task: t\nsettings:\n  model.width: 32\n",
            ["t.yaml:3: unknown key 'model.width' (did you mean 'model'?)"],
        ),
        (
            "task: t\n",
            "task: t\nsettings:\n  model:\n    width: wide\n    heads: 0\n",
            [
                't.yaml:4: settings.model.width must be a valid integer, not "wide"',
                "t.yaml:5: settings.model.heads must be greater than 0, not 0",
            ],
        ),
        (
            "task: t\n",
            "task: t\nsettings:\n  model: {width: 30}\n",
            ["t.yaml:3: settings.model: width / heads is 15; rotary positions need an even number"],
        ),
        (
            "task: t\n",
            "task: t\nsettings:\n  model: {width: 31}\n",
            ["t.yaml:3: settings.model: width 31 is not a multiple of heads 2"],
        ),
    ],
)
def test_faults_of_a_task(old: str, new: str, expected: list[str]) -> None:
    assert old in TASK
    assert sorted(faults(TASK.replace(old, new, 1))) == expected


def varying(fields: str, levels: str, more: str = "") -> str:
    """A task of some fields and levels, told from line 6 on."""
    lines = [f"    {level}\n" for level in levels.split("; ")]
    text = "task: t\nversion: 1\nsummary: s\nfactor:\n  name: f\n"
    return f"{text}  fields: [{fields}]\n  levels:\n{''.join(lines)}{more}"


@pytest.mark.parametrize(
    ("fields", "levels", "expected"),
    [
        # relative values
        (
            "optimizer.name",
            "a: adamw; b: x2",
            ["t.yaml:9: optimizer.name: 'x2' is relative, and the preset's 'adamw' is no number (level 'b')"],
        ),
        (
            "model.tied_embeddings",
            "a: x2; b: true",
            ["t.yaml:8: model.tied_embeddings: 'x2' is relative, and the preset's True is no number (level 'a')"],
        ),
        (
            "optimizer.lr",
            "a: x0; b: x1e3",
            [
                "t.yaml:8: settings.optimizer.lr must be greater than 0, not 0.0 (level 'a')",
                "t.yaml:9: settings.optimizer.lr must be a valid number, not \"x1e3\" (level 'b')",
            ],
        ),
        (
            "model.heads",
            "a: x0.5; b: x1.5",
            ["t.yaml:9: settings.model: width 32 is not a multiple of heads 3 (level 'b')"],
        ),
        (
            "model.width",
            "a: x1; b: x" + "9" * 400,
            [f"t.yaml:9: model.width: 'x{'9' * 400}' of the preset's 32 is no number (level 'b')"],
        ),
        # levels that only differ on paper
        ("optimizer.lr", "a: 4e-3; b: x2; c: x1", ["t.yaml:10: levels 'a' and 'c' are the same at this preset"]),
        ("model.layers", "a: x1; b: x1.1", ["t.yaml:9: levels 'a' and 'b' are the same at this preset"]),
        ("model.feed_forward", "a: match; b: x1", ["t.yaml:9: levels 'a' and 'b' are the same at this preset"]),
        # sizes that match
        (
            "schedule.name",
            "a: cosine; b: match",
            ["t.yaml:9: schedule.name: 'match' is for model.feed_forward, whose size is found for it (level 'b')"],
        ),
        (
            "model.layers, model.feed_forward",
            "a: {model.layers: 40, model.feed_forward: match}; b: {model.layers: 1, model.feed_forward: match}",
            [
                "t.yaml:8: model.feed_forward: nothing matches the preset's parameters "
                "(the rest of the model is larger already) (level 'a')"
            ],
        ),
        (
            "model.layers, model.feed_forward",
            "a: {model.layers: x0, model.feed_forward: match}; b: {model.layers: 1, model.feed_forward: match}",
            ["t.yaml:8: settings.model.layers must be greater than 0, not 0 (level 'a')"],
        ),
        (
            "model.architecture, model.feed_forward",
            "a: {model.architecture: gpt3, model.feed_forward: match}; b: {model.architecture: gpt2, "
            "model.feed_forward: match}",
            [
                't.yaml:8: settings.model.architecture: "gpt3" is none of llama, gpt2, gpt_neox '
                "(did you mean 'gpt2'?) (level 'a')"
            ],
        ),
        (
            "model.width, model.feed_forward",
            "a: {model.width: 1e300, model.feed_forward: match}; b: {model.width: x0.5, model.feed_forward: match}",
            ["t.yaml:8: settings.model.width must be a valid integer, not 1e+300 (level 'a')"],
        ),
        # data
        (
            "budget.batch",
            "a: 16; b: 7",
            ["t.yaml:7: batch sizes must divide the token budget, or the models would not read the same data"],
        ),
        (
            "budget.batch",
            "a: 16; b: x0.7",
            ["t.yaml:7: batch sizes must divide the token budget, or the models would not read the same data"],
        ),
        (
            "budget.epochs",
            "a: 1; b: 5",
            ["t.yaml:9: settings.budget.epochs must be less than or equal to 4, not 5 (level 'b')"],
        ),
        # parts of a run
        (
            "budget.stop",
            "a: 0.001; b: 1.0",
            ["t.yaml:8: settings: budget.stop 0.001 ends the run before its first of 120 steps (level 'a')"],
        ),
        (
            "budget.stop",
            "a: 0; b: 1.01",
            [
                "t.yaml:8: settings.budget.stop must be greater than 0, not 0 (level 'a')",
                "t.yaml:9: settings.budget.stop must be less than or equal to 1, not 1.01 (level 'b')",
            ],
        ),
        (
            "finetune.share",
            "a: 0; b: 0.001",
            ["t.yaml:9: settings: finetune.share 0.001 is less than one step of 512 tokens (level 'b')"],
        ),
        ("finetune.seed", "a: 0; b: 1", ["t.yaml:6: 'finetune.seed' changes nothing while finetune.share is 0"]),
        ("finetune.lr", "a: 0.5; b: 1", ["t.yaml:6: 'finetune.lr' changes nothing while finetune.share is 0"]),
        (
            "optimizer.momentum",
            "a: 0.5; b: 0.9",
            ["t.yaml:6: 'optimizer.momentum' changes nothing while optimizer.name is adamw"],
        ),
        (
            "corpus.topics",
            "a: mill; b: voyge",
            [
                "t.yaml:9: settings.corpus.topics: unknown topic 'voyge' (did you mean 'voyage'?); known: harvest, "
                "voyage, mill, market, school, court, mountain, illness, music, hunt (level 'b')"
            ],
        ),
        (
            "corpus.topics",
            "a: mill; b: 'voyage,voyage'",
            ["t.yaml:9: settings.corpus.topics: a topic stands twice in 'voyage,voyage' (level 'b')"],
        ),
        # what is no factor
        (
            "corpus.name",
            "a: chronicle; b: text:x",
            [
                "t.yaml:6: 'corpus.name' is no factor: models of different corpora differ in everything; "
                "a corpus's topics can be a factor"
            ],
        ),
        (
            "sampling.max_tokens",
            "a: 16; b: 32",
            ["t.yaml:6: 'sampling.max_tokens' is no factor: texts are compared at one length"],
        ),
    ],
)
def test_faults_of_levels(fields: str, levels: str, expected: list[str]) -> None:
    assert sorted(faults(varying(fields, levels))) == expected


def test_a_run_that_is_stopped_early_is_not_fine_tuned() -> None:
    assert faults(varying("budget.stop", "a: 0.5; b: 1.0", "settings: {finetune: {share: 0.5}}\n")) == [
        "t.yaml:8: settings: a run that is stopped early (budget.stop) is not fine-tuned (finetune.share) (level 'a')"
    ]


def test_sizes_that_break_their_promise_are_a_fault() -> None:
    text = varying(
        "model.width, model.heads", "a: {model.width: 32, model.heads: 2}; b: {model.width: 64, model.heads: 4}"
    )
    text = text.replace("  name: f\n", "  name: f\n  matched: 0.05\n")
    assert faults(text) == ["t.yaml:6: parameters are promised to agree within 0.05: a 30,880, b 78,144"]
    Path("t.yaml").write_text(text.replace("0.05", "0.99").replace("64", "40"))
    assert len(make_plan.plan_file(Path("t.yaml"), "smoke").variants) == 4


def test_what_is_wrong_with_the_preset_is_not_told_of_levels_that_are_relative_to_it() -> None:
    text = varying("optimizer.lr", "a: x0.5; b: x2", "settings: {model: {width: wide}}\n")
    assert faults(text) == ['t.yaml:10: settings.model.width must be a valid integer, not "wide"']
    text = varying("model.context", "a: x2; b: x4", "settings: {sampling: {max_tokens: 64}}\n")
    assert faults(text) == ["t.yaml:10: settings: sampling.max_tokens 64 is over model.context's room of 32"]


def test_a_preset_may_name_known_transforms_alone(folder: Path) -> None:
    (folder / "presets").mkdir()
    text = (resources.tasks() / "presets" / "quick.yaml").read_text()
    known = [name for name in transforms.TRANSFORMS if name in text]
    assert len(known) == 6
    assert set(typing.get_args(spec.TransformName)) == set(transforms.TRANSFORMS)
    Path("presets/mine.yaml").write_text(text.replace("lower_case", "upper_case"))
    Path("t.yaml").write_text(TASK)
    with pytest.raises(SpecError) as caught:
        make_plan.plan_file(Path("t.yaml"), "mine", include=[folder])
    assert caught.value.faults == (
        'presets/mine.yaml:11: analysis.transforms.0: "upper_case" is none of lower_case, no_punctuation, '
        "shuffled_words, truncated, function_words, content_words (did you mean 'lower_case'?)",
    )


def test_a_field_that_no_level_moves_is_a_fault() -> None:
    text = TASK.replace("[optimizer.lr]", "[optimizer.lr, optimizer.beta1]").replace("version: 1", "version: 2")
    text = text.replace("low: 1e-3", "low: {optimizer.lr: 1e-3, optimizer.beta1: 0.8}")
    text = text.replace("high: 1e-2", "high: {optimizer.lr: 1e-2, optimizer.beta1: 0.8}")
    assert faults(text) == ["t.yaml:6: 'optimizer.beta1' is the same at every level, so it is no factor"]


def test_all_faults_of_a_task_at_once() -> None:
    text = TASK.replace("task: t\n", "task: u\nsettings: {optimizer: {lr: 1}, zzz: 1}\n").replace("low:", "l w:")
    text = text.replace("[optimizer.lr]", "[optimizer.lr, model.width, sampling.txts]")
    assert sorted(fault.split(": ")[1][:28] for fault in faults(text)) == [
        "'optimizer.lr' is the factor",
        "level 'l w' is no plain word",
        "the task is called 'u' and i",
        "two factors varied at once",
        "unknown field 'sampling.txts",
        "unknown setting 'zzz'",
    ]


def test_a_misspelt_key_hides_no_other_fault() -> None:
    text = TASK.replace("task: t\n", "task: t\nsumary: twice\n").replace(
        "[optimizer.lr]", "[optimizer.lr, model.width]"
    )
    found = faults(text.replace("version: 1", "version: one"))
    assert [fault.split(": ", 1)[1].split(":")[0] for fault in found] == [
        'version must be a valid integer, not "one"',
        "unknown key 'sumary' (did you mean 'summary'?)",
        "two factors varied at once",
    ]


def test_an_included_task_replaces_levels_whole_and_keeps_the_rest() -> None:
    Path("_common.yaml").write_text(TASK.replace("task: t\n", ""))
    Path("t.yaml").write_text("include: _common.yaml\ntask: t\nfactor:\n  levels: {a: 1e-3, b: 2e-3, c: 4e-3}\n")
    task, _ = spec.load_task(Path("t.yaml"))
    assert list(task.factor.levels) == ["a", "b", "c"]
    assert task.factor.fields == ("optimizer.lr",)
    Path("_common.yaml").write_text(TASK.replace("task: t\n", "").replace("[optimizer.lr]", "[optimizer.lrr]"))
    with pytest.raises(SpecError, match=r"^_common\.yaml:5: unknown field 'optimizer\.lrr'"):
        spec.load_task(Path("t.yaml"))


def test_files_are_found_by_name(folder: Path) -> None:
    mine = folder / "mine"
    (mine / "presets").mkdir(parents=True)
    (mine / "t.yaml").write_text(TASK)
    (mine / "_common.yaml").write_text("x: 1\n")
    (mine / "presets" / "tiny.yaml").write_text("x: 1\n")
    bundled, found = spec.task_files(), spec.task_files([mine])
    assert set(found) - set(bundled) == {"t"}
    assert set(spec.preset_files([mine])) - set(spec.preset_files()) == {"tiny"}
    assert set(spec.preset_files()) == {"smoke", "quick", "standard", "paper"}
    with pytest.raises(UserError, match="no folder"):
        spec.task_files([folder / "none"])
    (mine / "seed_id.yaml").write_text(TASK)
    with pytest.raises(UserError, match="two tasks are called 'seed_id'"):
        spec.task_files([mine])
    with pytest.raises(UserError, match=r"unknown task 'sed_id'\n  did you mean: seed_id\n  natfp-bench list tasks"):
        spec.find("task", "sed_id", bundled)


def _yaml(path: Path) -> Any:
    """The file as plain JSON data by the library's own safe loader, so that the schema meets what people wrote."""
    return YAML(typ="safe", pure=True).load(path.read_text())


def _validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = spec.schemas()[kind]
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


TASKS = sorted(spec.task_files().values())


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_bundled_tasks_meet_the_schema(path: Path) -> None:
    data = _yaml(path)
    validator = _validator("task")
    assert list(validator.iter_errors(data)) == []
    for broken in (
        {key: value for key, value in data.items() if key != "factor"},
        {**data, "version": "one"},
        {**data, "version": 0},
        {**data, "unknown": 1},
        {**data, "control": "other"},
        {**data, "factor": {**data["factor"], "fields": []}},
        {**data, "factor": {**data["factor"], "levels": {"one": 1}}},
        {**data, "factor": {**data["factor"], "levels": {"one": 1, "two": [2]}}},
    ):
        assert not validator.is_valid(broken)


@pytest.mark.parametrize("name", sorted(spec.preset_files()))
def test_bundled_presets_meet_the_schema(name: str) -> None:
    from natfp_bench.base import yaml_source

    data = yaml_source.load(spec.preset_files()[name]).data
    validator = _validator("preset")
    assert list(validator.iter_errors(data)) == []
    settings = data["settings"]
    for broken in (
        {**data, "setings": {}},
        {**data, "replicates": 0},
        {**data, "settings": {**settings, "model": {**settings["model"], "width": "wide"}}},
        {**data, "settings": {key: value for key, value in settings.items() if key != "budget"}},
        {**data, "settings": {**settings, "optimizer": {"lr": 0}}},
        {**data, "settings": {**settings, "schedule": {"name": "cosin", "warmup_tokens": 1}}},
    ):
        assert not validator.is_valid(broken)


def test_leaves_are_the_dotted_paths_of_all_settings() -> None:
    known = spec.leaves(Settings)
    assert {"optimizer.lr", "seeds.init", "rerun", "sampling.texts", "model.width"} <= set(known)
    assert len(known) == len(set(known))
    assert not {"model", "seeds", "steps"} & set(known)


BUNDLED = [path.read_text() for path in sorted(resources.tasks().glob("*.yaml"))]
SPLICES = [
    *"{}[]:,-#&*!|>'\"%@`\n\t \\?~=0é\u2028\x85\x00",
    "<<",
    "!!",
    "- ",
    ": ",
    "\n  ",
    "&a ",
    "*a",
    "---",
    "1e999",
]
SPLICES += [
    ".nan",
    "null",
    "true",
    "include: t.yaml\n",
    "settings: ",
    "{a: 1}",
    "[1]",
    "seeds.init",
    "-1",
    "x0.5",
    "x0",
    "match",
    "0x" + "f" * 40,
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
    """Plan the task that a text is; anything but a plan or a told fault goes through."""
    path = folder / "t.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        return f"{len(make_plan.plan_file(path, 'smoke').variants)} variants"
    except UserError as error:
        return str(error)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutated())
@example("? [a]\n: 1")
@example("a: &a\n  b: *a")
@example("factor: {levels: {? {a: 1} : 2}}")
def test_any_text_is_a_plan_or_a_fault_that_is_told(folder: Path, text: str) -> None:
    assert 5 < len(outcome(folder, text)) < 20_000


VALUES = st.sampled_from([None, True, 0, 1, -1, 3.5, 1e300, 2**70, "", "x", "seeds.init", "model", "\ud800", [], {}])
VALUES |= st.sampled_from(["x2", "x0", "x" + "9" * 400, "match"])
VALUES |= st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner))


def _replace(draw: st.DrawFn, value: Any) -> Any:
    """Go down a random way and put something else, or nothing, there."""
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
def test_any_data_is_a_plan_or_a_fault_that_is_told(folder: Path, text: str) -> None:
    assert 5 < len(outcome(folder, text)) < 20_000


def test_the_fuzz_reaches_plans(folder: Path) -> None:
    assert outcome(folder, json.dumps(YAML(typ="safe", pure=True).load(TASK))) == "4 variants"
