"""What an attributor is given on its rung: reading it, asking for more, and the way to it through a box."""

from __future__ import annotations

from pathlib import Path

import pytest
from boxed_baselines import CODE, INSIDE
from written_baselines import write

from natfp_bench.attributors import registry
from natfp_bench.attributors.attribute import attribute
from natfp_bench.attributors.box import Box
from natfp_bench.attributors.knowledge import Knowledge, write_texts
from natfp_bench.attributors.planted import ODD, planted
from natfp_bench.attributors.planted_knowledge import planted_knowledge
from natfp_bench.base.errors import AttributorError, SpecError
from natfp_bench.base.rungs import RUNGS, given, height, reaches

LOOK = CODE.replace("def build(seed):", "def build(seed, knowledge):\n    Mine.knowledge = knowledge")


def test_each_rung_has_what_those_before_it_have() -> None:
    assert [height(rung) for rung in RUNGS] == [0, 1, 2, 3, 4, 5]
    assert reaches("recipe", "corpus")
    assert not reaches("texts", "unlabelled")
    assert given("texts") == "labelled texts"
    assert given("corpus").startswith(
        "labelled texts, further texts of the same sources, without labels, and the train"
    )


def test_any_text_is_read_as_it_was_written(tmp_path: Path) -> None:
    texts = [*ODD.values(), "\ud800", "two\nlines"]
    assert write_texts(iter(texts), tmp_path / "texts.jsonl") == len(texts)
    assert list(Knowledge(rung="unlabelled", texts_file=tmp_path / "texts.jsonl").unlabelled) == texts


def test_a_higher_rung_is_refused_and_named(tmp_path: Path) -> None:
    write_texts(iter(["tea"]), tmp_path / "texts.jsonl")
    low = Knowledge(rung="unlabelled", texts_file=tmp_path / "texts.jsonl", corpus_folder=tmp_path)
    assert low.unlabelled == ("tea",)
    for name in ("corpus", "strangers"):
        with pytest.raises(AttributorError, match="the rung 'unlabelled' is not given this"):
            getattr(low, name)
    with pytest.raises(AttributorError, match=r"knowledge: recipe   in card\.yaml"):
        Knowledge(rung="corpus", corpus_folder=tmp_path).strangers  # noqa: B018
    with pytest.raises(AttributorError, match=r"knowledge: origin   in card\.yaml"):
        Knowledge(rung="recipe", twin_folders=(("a", tmp_path),)).twins  # noqa: B018


def test_twins_are_found_by_the_label_of_their_class(tmp_path: Path) -> None:
    folders = (("a", tmp_path / "1"), ("b", tmp_path / "2"), ("a", tmp_path / "3"))
    known = Knowledge(rung="origin", twin_folders=folders)
    assert known.twins == {"a": (tmp_path / "1", tmp_path / "3"), "b": (tmp_path / "2",)}
    assert set(known.paths) == {folder for _, folder in folders}, "all of them can be read in a sandbox"


def test_a_card_declares_a_rung_and_the_ceilings_is_not_for_sale(tmp_path: Path) -> None:
    one = registry.read(write(tmp_path / "a", LOOK, card="knowledge: corpus\n"))
    assert one.card.knowledge == "corpus"
    assert registry.read(write(tmp_path / "b", LOOK)).card.knowledge == "texts"
    with pytest.raises(SpecError, match="knowledge"):
        registry.read(write(tmp_path / "c", LOOK, card="knowledge: weights\n"))


def test_build_gets_knowledge_only_if_the_card_asks_for_it(tmp_path: Path) -> None:
    known = Knowledge(rung="unlabelled", texts_file=tmp_path / "texts.jsonl")
    asking = registry.read(write(tmp_path / "a", LOOK, card="knowledge: unlabelled\n"))
    assert registry.build(asking, 0, known).knowledge is known
    with pytest.raises(AttributorError, match="knowledge: unlabelled, and it is given labelled texts only"):
        registry.build(asking, 0)
    plain = registry.read(write(tmp_path / "b", CODE))
    assert registry.build(plain, 0, known)
    deaf = registry.read(write(tmp_path / "c", CODE, card="knowledge: unlabelled\n"))
    with pytest.raises(AttributorError, match=r"build\(seed=\.\.\., knowledge=\.\.\.\) cannot be called"):
        registry.build(deaf, 0, known)


def said(one: registry.Baseline, known: Knowledge, sandboxed: bool, hidden: tuple[Path, ...]) -> str:
    (texts, labels), (test, _) = planted(12, "train"), planted(12, "test")
    with pytest.raises(AttributorError) as caught, Box(one, sandboxed, hidden, knowledge=known) as box:
        attribute(box.build, 0, texts, labels, list(range(12)), test)
    return str(caught.value)


FIT = """
        import os
        known, written = self.knowledge, []
        for path in known.paths:
            for name in [path, *(path.iterdir() if path.is_dir() else ())]:
                try:
                    open(name / "mark" if name.is_dir() else name, "a").close()
                    written.append(name.name)
                except OSError:
                    pass
        others = os.path.exists(known.texts_file.parent.parent / "labels.txt")
        raise RuntimeError(f"read {len(known.unlabelled)} {len(list(known.corpus_texts()))} {others} {written}")
"""


@INSIDE
def test_in_a_sandbox_knowledge_is_read_only_and_nothing_beside_it_is_seen(sandboxed: bool, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "given" / "corpus").mkdir(parents=True)
    (store / "labels.txt").write_text("ZEBRA")
    write_texts(iter(["tea", "sea"]), store / "given" / "texts.jsonl")
    write_texts(iter(["key"]), store / "given" / "corpus" / "texts.jsonl")
    folder = store / "given"
    known = Knowledge(rung="corpus", texts_file=folder / "texts.jsonl", corpus_folder=folder / "corpus")
    code = LOOK.replace("        {fit}\n", FIT).replace("{ask}", "pass")
    one = registry.read(write(tmp_path / "box", code, card="knowledge: corpus\n"))
    assert "read 2 1 False []" in said(one, known, sandboxed, (store,))
    assert "read 2 1 True ['texts.jsonl', 'corpus', 'texts.jsonl']" in said(one, known, False, (store,))


def test_planted_knowledge_of_the_lower_rungs(tmp_path: Path) -> None:
    assert planted_knowledge("texts", tmp_path) is None
    known = planted_knowledge("unlabelled", tmp_path)
    assert known is not None
    assert len(known.unlabelled) == 80
    assert not set(known.unlabelled) & {*planted(300, "test")[0], *planted(360, "train")[0]}


@pytest.mark.slow
def test_a_planted_stranger_is_a_checkpoint_that_has_learnt_its_corpus(tmp_path: Path) -> None:
    from natfp_bench.attributors.class_models import encode_rows, load_trunk, log_likelihoods

    known = planted_knowledge("recipe", tmp_path)
    assert known is not None
    [folder] = known.strangers
    trunk, texts = load_trunk(folder), list(known.corpus_texts())[:50]
    rows = encode_rows(trunk, texts)
    nats = -log_likelihoods([trunk.model.eval()], rows).sum() / sum(len(row) - 1 for row in rows)
    assert nats < 4.5, "guessing uniformly takes 5.95 nats per token"
    assert (known.corpus / "tokenizer.json").is_file()
