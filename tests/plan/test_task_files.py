"""Task and preset files: what they may hold, and the message for each fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from plan_tasks import TASK, cases, task_faults
from ruamel.yaml import YAML

from natfp_bench.base.errors import SpecError, UserError
from natfp_bench.plan import task_files as spec
from natfp_bench.plan.settings import Settings

pytestmark = pytest.mark.usefixtures("folder")


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


FAULTS = r"""
# two factors at once
[optimizer.lr] | [optimizer.lr, model.width]
  6: two factors vary at once: fields of model and optimizer; a task varies one
low: 1e-3 | low: {optimizer.lr: 1e-3, model.width: 32}
  8: two factors vary at once: level 'low' sets 'model.width', which is not in factor.fields
# levels
low: 1e-3 | low: -1
  8: settings.optimizer.lr must be greater than 0, not -1 (level 'low')
low: 1e-3\n    high: 1e-2 | low: no\n    high: []
  9: factor.levels.high must be a valid string, or a valid integer, or a valid number, or a valid boolean, or a \
    mapping of keys to values
high: 1e-2 | high: no
  9: settings.optimizer.lr must be a valid number, not "no" (level 'high')
\n    high: 1e-2\n | \n
  7: factor.levels must have 2 or more entries, not 1
high: 1e-2 | high: 0.001
  9: levels 'low' and 'high' are the same
high: 1e-2 | high: 1e-2\n    more: {}
  10: level 'more' has no value for 'optimizer.lr'
high: 1e-2 | a b: 1e-2
  9: level 'a b' is not a plain word (at most 64 letters, digits, and _.-)
high: 1e-2 | ../x: 1e-2
  9: level '../x' is not a plain word (at most 64 letters, digits, and _.-)
high: 1e-2 | low: 1e-2
  7: factor.levels must have 2 or more entries, not 1
  9: duplicate key 'low'
# fields
[optimizer.lr] | []
  6: factor.fields must have 1 or more entries, not 0
[optimizer.lr] | optimizer.lr
  6: factor.fields must be a list, not "optimizer.lr"
[optimizer.lr] | [width]
  6: unknown field 'width' (did you mean 'model.width'?)
[optimizer.lr] | [lr]
  6: unknown field 'lr' (did you mean 'optimizer.lr' or 'finetune.lr'?)
[optimizer.lr] | [optimizer]
  6: unknown field 'optimizer' (did you mean 'optimizer.lr'?)
[optimizer.lr] | [optimizer.lr, optimizer.lr]
  6: field 'optimizer.lr' is listed twice
[optimizer.lr] | [sampling.texts]
  6: 'sampling.texts' cannot be a factor: it is the number of texts, not their source
[optimizer.lr] | [tokenizer.train_bytes]
  6: 'tokenizer.train_bytes' cannot be a factor: it is an amount of text, not a kind of text
# the rest of the file
task: t\n | task: other\n
  1: the task has the name 'other', but its file 't'
version: 1 | version: 1.5
  2: version must be a valid integer, not 1.5
version: 1 | version: 0
  2: version must be greater than 0, not 0
summary | sumary
  1: missing key 'summary'
  3: unknown key 'sumary' (did you mean 'summary'?)
task: t\n | task: t\nreplicates: 0\n
  2: replicates must be greater than 0, not 0
task: t\n | task: t\ncontrol: negativ\n
  2: control: "negativ" is not one of negative, positive (did you mean 'negative'?)
# the text itself, beside other faults
task: t\n | task: t\nversion: 1\nsettings: {modle: 1}\nreplicates: 0\n
  3: unknown setting 'modle'
  4: replicates must be greater than 0, not 0
  5: duplicate key 'version'
task: t\n | task: !t t\nsettings: {modle: 1}\n
  1: tag '!t' is not allowed: a specification is data, never code
  2: unknown setting 'modle'
high: 1e-2 | high: .nan
  9: ".nan" is not a value that a specification can hold
# settings
task: t\n | task: t\nsettings: {optimizer: {lr: 1}}\n
  2: 'optimizer.lr' is the factor's field; set its values in factor.levels
task: t\n | task: t\nsettings:\n  model:\n    layes: 1\n  modle: {}\n
  4: unknown setting 'model.layes' (did you mean 'model.layers'?)
  5: unknown setting 'modle'
task: t\n | task: t\nsettings:\n  model: 3\n
  3: settings.model must be a mapping of keys to values
task: t\n | task: t\nsettings:\n  model.width: 32\n
  3: unknown key 'model.width' (did you mean 'model'?)
task: t\n | task: t\nsettings:\n  model:\n    width: wide\n    heads: 0\n
  4: settings.model.width must be a valid integer, not "wide"
  5: settings.model.heads must be greater than 0, not 0
task: t\n | task: t\nsettings:\n  model: {width: 30}\n
  3: settings.model: width / heads is 15; rotary embeddings need an even number
task: t\n | task: t\nsettings:\n  model: {width: 31}\n
  3: settings.model: width 31 is not a multiple of heads 2
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        *cases(FAULTS),
        (
            "    high: 1e-2\n",
            "".join(f"    high{i}: {i + 1}\n" for i in range(128)),
            ["t.yaml:7: factor.levels must have 128 or fewer entries, not 129"],
        ),
    ],
)
def test_faults_of_a_task(old: str, new: str, expected: list[str]) -> None:
    assert old in TASK
    assert sorted(task_faults(TASK.replace(old, new, 1))) == expected


def test_all_faults_of_a_task_at_once() -> None:
    text = TASK.replace("task: t\n", "task: u\nsettings: {optimizer: {lr: 1}, zzz: 1}\n").replace("low:", "l w:")
    text = text.replace("[optimizer.lr]", "[optimizer.lr, model.width, sampling.txts]")
    expected = [
        "'optimizer.lr' is the factor's field",
        "level 'l w' is not a plain word",
        "the task has the name 'u'",
        "two factors vary at once",
        "unknown field 'sampling.txts'",
        "unknown setting 'zzz'",
    ]
    found = sorted(fault.split(": ", 1)[1] for fault in task_faults(text))
    assert [fault[: len(begin)] for fault, begin in zip(found, expected, strict=True)] == expected


def test_a_misspelt_key_hides_no_other_fault() -> None:
    text = TASK.replace("task: t\n", "task: t\nsumary: twice\n").replace(
        "[optimizer.lr]", "[optimizer.lr, model.width]"
    )
    found = task_faults(text.replace("version: 1", "version: one"))
    assert [fault.split(": ", 1)[1].split(":")[0] for fault in found] == [
        'version must be a valid integer, not "one"',
        "unknown key 'sumary' (did you mean 'summary'?)",
        "two factors vary at once",
    ]


def test_own_levels_replace_those_of_an_included_task() -> None:
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
    assert set(spec.preset_files()) == {"smoke", "quick", "overnight", "submission", "standard", "paper"}
    with pytest.raises(UserError, match="no folder"):
        spec.task_files([folder / "none"])
    (mine / "seed_id.yaml").write_text(TASK)
    with pytest.raises(UserError, match="two tasks have the name 'seed_id'"):
        spec.task_files([mine])
    with pytest.raises(UserError, match=r"unknown task 'sed_id'\n  did you mean: seed_id\n  natfp-bench list tasks"):
        spec.find("task", "sed_id", bundled)


def _yaml(path: Path) -> Any:
    """The file as plain data, read by the library's own safe loader, so that the schema checks the file as written."""
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
