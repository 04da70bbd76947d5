"""Runs whose question is where a model comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bench import BRIEF

from natfp_bench.base.errors import SpecError, UserError
from natfp_bench.corpus import tokens
from natfp_bench.corpus.documents import Document
from natfp_bench.corpus.open_corpus import Chronicle
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.plan import can_be_transposed
from natfp_bench.plan.settings import TokenizerSpec

if TYPE_CHECKING:
    from bench import Bench

TWO = BRIEF | {"replicates": "2"}


@pytest.mark.slow
def test_finetunings_of_one_base_in_several_ways(bench: Bench) -> None:
    # A recipe that no other test trains, so that every training is made here.
    own = TWO | {"optimizer.weight_decay": "0.06"}
    result, _ = bench.run("base_id", overrides=own, baselines="majority")
    trained = [name for name in bench.started() if name.startswith("train")]
    assert len(trained) == 4 + 8, "four bases, and two fine-tunings of each"
    data: dict[int, set[Any]] = {}
    for of in result.variants:
        data.setdefault(of.replicate, set()).add(of.training_multiset)
    assert [len(found) for found in data.values()] == [1, 1], "within a replicate, all read the same"
    assert data[0] != data[1], "and replicates read other documents"
    (check,) = (one for one in result.checks if one.name == "same training data")
    assert check.ok
    assert check.detail == "1 distinct digests of the training multiset in each replicate"
    assert {score.split for score in result.scores} >= {"unseen_replicate", "seen_replicate"}
    assert result.failures == []


@pytest.mark.slow
def test_students_read_the_texts_of_their_teachers(bench: Bench) -> None:
    from natfp_bench.pipeline.stages.sample import read_table
    from natfp_bench.pipeline.store import Store
    from natfp_bench.pipeline.variants import resolve
    from natfp_bench.report.finding import scope

    result, _ = bench.run("teacher_id", overrides=TWO, baselines="majority")
    store, stages = Store(bench.store), resolve(bench.plan("teacher_id", overrides=TWO))
    first, other, *_ = (of.model for of in stages)
    assert stages[0].model.corpus == stages[4].model.corpus, "replicates read the same texts"
    assert other.corpus.teacher.recipe.seeds.model_dump() == {"init": 1, "data_order": 1, "dropout": 1}
    assert {of.settings["seeds"]["init"] for of in result.variants} == {100, 101}
    texts = read_table(store, first.corpus.lessons)["text"].to_pylist()
    folder = first.corpus.folder(store)
    read = tokens.reader(folder, {}).tokenizer.decode(tokens.read_blocks(folder, 32)[:3].ravel().tolist())
    kept = "".join(text for text in texts if text.strip() and not Document(text).heldout)
    assert kept.startswith(read), "the blocks are the texts, one after another"
    # Held-out documents are those of the corpus, and not of the teacher.
    own = tokens.read_heldout(first.corpus.teacher.corpus.folder(store))
    assert tokens.read_heldout(folder) == own
    (check,) = (one for one in result.checks if one.name == "same training data")
    assert check.ok, "the data are the factor"
    assert "texts by models of" in scope(result)
    assert result.failures == []


def test_a_student_may_begin_with_its_teachers_weights() -> None:
    from natfp_bench.pipeline.variants import resolve

    for of in resolve(make_plan("teacher_same_init_id", "smoke")):
        assert of.model.recipe.seeds.init == of.model.corpus.teacher.recipe.seeds.init
    for of in resolve(make_plan("teacher_id", "smoke")):
        mine, teachers = of.model.recipe.seeds, of.model.corpus.teacher.recipe.seeds
        assert {*dict(mine).values()}.isdisjoint(dict(teachers).values())


def test_a_teacher_that_diverged_ends_the_run(bench: Bench) -> None:
    wild = TWO | {"optimizer.lr": "1e4", "optimizer.name": "sgd", "optimizer.clip": "1e9"}
    with pytest.raises(UserError, match="a teacher diverged, so there is nothing to learn from it"):
        bench.run("teacher_id", overrides=wild, baselines="majority")


def test_a_base_is_the_same_model_whatever_follows_it() -> None:
    from natfp_bench.pipeline.variants import resolve

    far, near = (
        {of.name: of.model.base.key for of in resolve(make_plan("base_far_id", "smoke", overrides=given))}
        for given in ({}, {"finetune.share": "0.5", "finetune.topics": "hunt"})
    )
    assert far == near
    assert len(set(far.values())) == 4


def packed(folder: Path, **options: Any) -> np.ndarray:
    folder.mkdir()
    spec = TokenizerSpec(vocabulary=300, train_bytes=20_000)
    one = {"context": 16, "heldout": 2, "folder": folder, "whole": Chronicle(0)}
    tokens.prepare(Chronicle(0, ("mill",)), spec, **one, **options)
    return tokens.read_blocks(folder, 16)


def test_the_tail_follows_the_documents_before_it(tmp_path: Path) -> None:
    plain = packed(tmp_path / "plain", blocks=30)
    tailed = packed(tmp_path / "tailed", blocks=40, fresh=10, tail=Chronicle(0, ("hunt",)))
    alone = packed(tmp_path / "alone", blocks=40)
    assert (tailed[:30] == plain).all()
    assert (alone[:30] == plain).all()
    assert not (tailed[30:] == alone[30:]).all()
    text = tokens.reader(tmp_path / "tailed", {}).tokenizer.decode(tailed[30:].ravel().tolist())
    first = next(document.text for document in Chronicle(0, ("hunt",)).documents() if not document.heldout)
    assert text.startswith(first[:60])


def test_a_tail_that_is_too_short_is_named(tmp_path: Path, prose: Path) -> None:
    from natfp_bench.corpus.text_corpora import TextFiles

    with pytest.raises(UserError, match="too few documents for the fine-tuning: they have"):
        packed(tmp_path / "short", blocks=10**6, fresh=10**6 - 30, tail=TextFiles((prose,)))


def test_a_task_is_turned_round_where_replicates_are_somebody(bench: Bench) -> None:
    from natfp_bench.report.result_tables import findings

    result, _ = bench.run("prune_id", overrides=TWO, baselines="majority")
    side = result.study.transposed
    assert (side.values, side.held_out, len(side.by_value)) == (2, ("level",), 5), "each level is held out once"
    assert side.accuracy.units == side.likelihood.units == "levels"
    # Two runs of which a tenth to seven tenths of the weights are gone: their likelihoods still tell them apart.
    assert side.likelihood.value > 0.6
    (said,) = (text for name, text in findings(result) if name == "turned round")
    assert said.startswith("which of 2 replicates wrote the text? naive_bayes 0.")
    # Replicates of a learning rate are other models at each level, so there is nobody to look for.
    assert not can_be_transposed(make_plan("lr_id", "smoke").task)
    assert not can_be_transposed(make_plan("null_id", "smoke").task)
    assert can_be_transposed(make_plan("base_id", "smoke").task)


REFUSED = {
    ("finetune.topics", "hunting"): "unknown topic 'hunting'",
    ("finetune.file", "2"): "finetune.file needs corpus.part",
    ("finetune.part", "7"): "finetune.part 7 does not exist",
    ("teacher.run", "1"): "is neither fine-tuned",
    ("teacher.same_init", "true"): "teacher.same_init changes nothing without a teacher",
}


@pytest.mark.parametrize("given", REFUSED)
def test_documents_that_are_not_there_are_refused(given: tuple[str, str]) -> None:
    with pytest.raises(SpecError, match=REFUSED[given]):
        make_plan("finetune_seed_id", "smoke", overrides=dict([given]))
