"""`validate`: what a file is, and every fault of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from natfp_bench.base import resources
from natfp_bench.base.errors import SpecError, UserError
from natfp_bench.results.validate_files import validate

TASK = """\
task: width_id
version: 1
summary: A task of the tests.
factor:
  name: width
  fields: [model.width]
  levels: {narrow: 48, wide: 96}
settings: {model: {heads: 6}}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def faults(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        validate(path)
    return list(caught.value.faults)


def test_all_that_is_bundled_is_sound() -> None:
    tasks, presets = sorted(resources.tasks().glob("[!_]*.yaml")), sorted(resources.tasks().glob("presets/*.yaml"))
    baselines = sorted(path for path in resources.baselines().iterdir() if (path / "card.yaml").is_file())
    assert [validate(path) for path in tasks] == [f"task {path.stem}" for path in tasks]
    assert [validate(path) for path in presets] == [f"preset {path.stem}" for path in presets]
    assert [validate(path) for path in baselines] == [f"baseline {path.name}" for path in baselines]
    assert [validate(path / "card.yaml") for path in baselines] == [f"baseline {path.name}" for path in baselines]
    assert len(tasks) >= 25
    assert len(presets) == 6
    assert len(baselines) >= 3


def test_a_sound_task_of_the_user() -> None:
    Path("width_id.yaml").write_text(TASK)
    assert validate(Path("width_id.yaml")) == "task width_id"


def test_a_task_is_tried_at_every_preset() -> None:
    Path("width_id.yaml").write_text(TASK.replace("narrow: 48", "narrow: 45"))
    assert faults(Path("width_id.yaml")) == [
        "width_id.yaml:7: settings.model: width 45 is not a multiple of heads 6 (level 'narrow')"
    ]
    text = "task: x\nversion: 1\nsummary: s\nfactor: {name: f, fields: [seeds.init], levels: {a: 0, b: 1}}\n"
    Path("x.yaml").write_text(f"{text}settings: {{sampling: {{max_tokens: 64}}}}\n")
    assert faults(Path("x.yaml")) == [
        "x.yaml:5: settings: sampling.max_tokens 64 is more than the 32 that fit into model.context (at smoke)"
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("replicates: 1000000000", "x.yaml:5: 2,000,000,000 variants are too many"),
        # More than any list can hold: they must be counted before they are listed.
        ("replicates: 1000000000000000", "x.yaml:5: 2,000,000,000,000,000 variants are too many"),
        (
            "settings: {sampling: {texts: 4611686018427387904}}",
            "x.yaml:5: settings: sampling.texts 4611686018427387904",
        ),
        (
            "settings: {sampling: {texts: 8000, block: 1}}",
            "x.yaml:5: settings: sampling.texts 8000 is more than 1,000",
        ),
    ],
)
def test_a_plan_that_could_not_even_be_listed_is_refused(line: str, said: str) -> None:
    text = "task: x\nversion: 1\nsummary: s\nfactor: {name: f, fields: [optimizer.lr], levels: {a: 1, b: 2}}\n"
    Path("x.yaml").write_text(f"{text}{line}\n")
    assert faults(Path("x.yaml"))[0].startswith(said)


def test_a_source_that_only_levels_speak_of_is_their_fault() -> None:
    text = "task: x\nversion: 1\nsummary: s\nfactor:\n  name: f\n  fields: [source.model]\n  levels: {a: u/a, b: u/b}\n"
    Path("x.yaml").write_text(text)
    assert faults(Path("x.yaml")) == [
        "x.yaml:6: the other fields of source change nothing while source.kind is 'train'"
    ]


def test_a_task_without_its_factor_is_still_a_task() -> None:
    Path("x.yaml").write_text("task: x\nversion: 1\nsummary: s\nsettings: {model: {heads: 6}}\n")
    assert faults(Path("x.yaml")) == ["x.yaml:1: missing key 'factor'"]


def test_a_preset_is_told_all_its_faults() -> None:
    Path("tiny.yaml").write_text("summary: s\nsettings:\n  model: {widht: 3}\nreplicas: 2\n")
    found = faults(Path("tiny.yaml"))
    assert "tiny.yaml:3: unknown key 'widht' (did you mean 'width'?)" in found
    assert "tiny.yaml:4: unknown key 'replicas' (did you mean 'replicates'?)" in found
    assert "tiny.yaml:2: missing key 'settings.budget'" in found


def test_a_copied_preset_finds_its_include(tmp_path: Path) -> None:
    shutil.copytree(resources.tasks() / "presets", tmp_path / "presets")
    assert validate(Path("presets/smoke.yaml")) == "preset smoke"
    (tmp_path / "presets" / "quick.yaml").unlink()
    assert faults(Path("presets/smoke.yaml")) == ['presets/smoke.yaml:1: the included file "quick.yaml" does not exist']


def test_what_is_no_such_file() -> None:
    with pytest.raises(UserError, match=r"no file 'none\.yaml'"):
        validate(Path("none.yaml"))
    Path("empty").mkdir()
    with pytest.raises(UserError, match=r"holds no baseline\.py and no card\.yaml"):
        validate(Path("empty"))
    Path("result.json").write_text("{}")
    with pytest.raises(UserError):
        validate(Path("result.json"))
    Path("result.json").write_text("[")
    with pytest.raises(UserError):
        validate(Path("result.json"))
