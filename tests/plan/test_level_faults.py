"""Levels that make no sense at a preset: each fault has one message, which names its line."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest
from plan_tasks import TASK, cases, task_faults

from natfp_bench.base import resources
from natfp_bench.base.errors import SpecError
from natfp_bench.plan import make_plan
from natfp_bench.plan import task_files as spec

pytestmark = pytest.mark.usefixtures("folder")


def varying(fields: str, levels: str, more: str = "") -> str:
    """A task with these fields and levels; its fields are on line 6, its levels begin on line 8."""
    lines = [f"    {level}\n" for level in levels.split("; ")]
    text = "task: t\nversion: 1\nsummary: s\nfactor:\n  name: f\n"
    return f"{text}  fields: [{fields}]\n  levels:\n{''.join(lines)}{more}"


FAULTS = r"""
# relative values
optimizer.name | a: adamw; b: x2
  9: optimizer.name: 'x2' is relative, but the preset's 'adamw' is not a number (level 'b')
model.tied_embeddings | a: x2; b: true
  8: model.tied_embeddings: 'x2' is relative, but the preset's True is not a number (level 'a')
optimizer.lr | a: x0; b: x1e3
  8: settings.optimizer.lr must be greater than 0, not 0.0 (level 'a')
  9: settings.optimizer.lr must be a valid number, not "x1e3" (level 'b')
model.heads | a: x0.5; b: x1.5
  9: settings.model: width 32 is not a multiple of heads 3 (level 'b')
# levels that have the same value
optimizer.lr | a: 4e-3; b: x2; c: x1
  10: levels 'a' and 'c' are the same at this preset
model.layers | a: x1; b: x1.1
  9: levels 'a' and 'b' are the same at this preset
model.feed_forward | a: match; b: x1
  9: levels 'a' and 'b' are the same at this preset
# sizes that match
schedule.name | a: cosine; b: match
  9: schedule.name: 'match' is only for model.feed_forward (level 'b')
model.layers, model.feed_forward | a: {model.layers: 40, model.feed_forward: match}; b: {model.layers: 1, \
    model.feed_forward: match}
  8: model.feed_forward: no size matches the preset's number of parameters (the rest of the model already has \
    more) (level 'a')
model.layers, model.feed_forward | a: {model.layers: x0, model.feed_forward: match}; b: {model.layers: 1, \
    model.feed_forward: match}
  8: settings.model.layers must be greater than 0, not 0 (level 'a')
model.architecture, model.feed_forward | a: {model.architecture: gpt3, model.feed_forward: match}; b: \
    {model.architecture: gpt2, model.feed_forward: match}
  8: settings.model.architecture: "gpt3" is not one of llama, gpt2, gpt_neox (did you mean 'gpt2'?) (level 'a')
model.width, model.feed_forward | a: {model.width: 1e300, model.feed_forward: match}; b: {model.width: x0.5, \
    model.feed_forward: match}
  8: settings.model.width must be a valid integer, not 1e+300 (level 'a')
# data
budget.batch | a: 16; b: 7
  7: batch sizes must divide the token budget, or the models would not read the same data
budget.batch | a: 16; b: x0.7
  7: batch sizes must divide the token budget, or the models would not read the same data
budget.epochs | a: 1; b: 5
  9: settings.budget.epochs must be less than or equal to 4, not 5 (level 'b')
# parts of a training run
budget.stop | a: 0.001; b: 1.0
  8: settings: budget.stop 0.001 ends training before the first of 120 steps (level 'a')
budget.stop | a: 0; b: 1.01
  8: settings.budget.stop must be greater than 0, not 0 (level 'a')
  9: settings.budget.stop must be less than or equal to 1, not 1.01 (level 'b')
finetune.share | a: 0; b: 0.001
  9: settings: finetune.share 0.001 is less than one step of 512 tokens (level 'b')
finetune.seed | a: 0; b: 1
  6: 'finetune.seed' changes nothing while finetune.share is 0
finetune.lr | a: 0.5; b: 1
  6: 'finetune.lr' changes nothing while finetune.share is 0
optimizer.momentum | a: 0.5; b: 0.9
  6: 'optimizer.momentum' changes nothing while optimizer.name is adamw
corpus.topics | a: mill; b: voyge
  9: settings.corpus.topics: unknown topic 'voyge' (did you mean 'voyage'?); known: harvest, voyage, mill, \
    market, school, court, mountain, illness, music, hunt (level 'b')
corpus.topics | a: mill; b: 'voyage,voyage'
  9: settings.corpus.topics: a topic is listed twice in 'voyage,voyage' (level 'b')
# settings that cannot be factors
corpus.name | a: chronicle; b: text:x
  6: 'corpus.name' cannot be a factor: corpora differ in everything; topics (corpus.topics) or files \
    (corpus.part) of one can vary
sampling.max_tokens | a: 16; b: 32
  6: 'sampling.max_tokens' cannot be a factor: texts are compared at one length
"""


@pytest.mark.parametrize(
    ("fields", "levels", "expected"),
    [
        *cases(FAULTS),
        (
            "model.width",
            "a: x1; b: x" + "9" * 400,
            [f"t.yaml:9: model.width: 'x{'9' * 400}' of the preset's 32 is too large (level 'b')"],
        ),
    ],
)
def test_faults_of_levels(fields: str, levels: str, expected: list[str]) -> None:
    assert sorted(task_faults(varying(fields, levels))) == expected


def test_training_that_stops_early_cannot_be_fine_tuned() -> None:
    assert task_faults(varying("budget.stop", "a: 0.5; b: 1.0", "settings: {finetune: {share: 0.5}}\n")) == [
        "t.yaml:8: settings: training that stops early (budget.stop) cannot be fine-tuned (finetune.share) (level 'a')"
    ]


def test_sizes_that_break_their_promise_are_a_fault() -> None:
    text = varying(
        "model.width, model.heads", "a: {model.width: 32, model.heads: 2}; b: {model.width: 64, model.heads: 4}"
    )
    text = text.replace("  name: f\n", "  name: f\n  matched: 0.05\n")
    assert task_faults(text) == ["t.yaml:6: numbers of parameters differ by more than 0.05: a 30,880, b 78,144"]
    Path("t.yaml").write_text(text.replace("0.05", "0.99").replace("64", "40"))
    assert len(make_plan.make_plan(Path("t.yaml"), "smoke").variants) == 4


def test_a_fault_of_the_settings_is_not_repeated_for_levels_that_are_relative_to_them() -> None:
    text = varying("optimizer.lr", "a: x0.5; b: x2", "settings: {model: {width: wide}}\n")
    assert task_faults(text) == ['t.yaml:10: settings.model.width must be a valid integer, not "wide"']
    text = varying("model.context", "a: x2; b: x4", "settings: {sampling: {max_tokens: 64}}\n")
    assert task_faults(text) == [
        "t.yaml:10: settings: sampling.max_tokens 64 is more than the 32 that fit into model.context"
    ]


def test_a_preset_may_name_only_known_transforms(folder: Path) -> None:
    (folder / "presets").mkdir()
    text = (resources.tasks() / "presets" / "quick.yaml").read_text()
    assert all(name in text for name in typing.get_args(spec.TransformName))
    Path("presets/mine.yaml").write_text(text.replace("lower_case", "upper_case"))
    Path("t.yaml").write_text(TASK)
    with pytest.raises(SpecError) as caught:
        make_plan.make_plan(Path("t.yaml"), "mine", include=[folder])
    assert caught.value.faults == (
        'presets/mine.yaml:12: analysis.transforms.0: "upper_case" is not one of lower_case, no_punctuation, '
        "shuffled_words, truncated, function_words, content_words (did you mean 'lower_case'?)",
    )


def test_a_field_that_is_the_same_at_every_level_is_a_fault() -> None:
    text = TASK.replace("[optimizer.lr]", "[optimizer.lr, optimizer.beta1]").replace("version: 1", "version: 2")
    text = text.replace("low: 1e-3", "low: {optimizer.lr: 1e-3, optimizer.beta1: 0.8}")
    text = text.replace("high: 1e-2", "high: {optimizer.lr: 1e-2, optimizer.beta1: 0.8}")
    assert task_faults(text) == ["t.yaml:6: 'optimizer.beta1' is the same at every level; remove it"]
