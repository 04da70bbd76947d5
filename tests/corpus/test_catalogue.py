"""Corpora of the catalogue, read from a cache of the Hub that is made here; and parts of a corpus of several files."""

from __future__ import annotations

import hashlib
import re
from itertools import islice
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from natfp_bench.base.errors import SpecError, UserError
from natfp_bench.corpus import hub_corpora, tokens
from natfp_bench.corpus.catalogue import CATALOGUE, CatalogueEntry
from natfp_bench.corpus.documents import Corpus
from natfp_bench.corpus.metas import CorpusFile
from natfp_bench.corpus.open_corpus import open_corpus
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.settings import CorpusSpec


def opened(name: str, **settings: object) -> Corpus:
    return open_corpus(CorpusSpec.model_validate({"name": name, "heldout_documents": 2, **settings}))


def texts(corpus: Corpus, most: int = 100) -> list[str]:
    return [document.text for document in islice(corpus.documents(), most)]


def test_entries_are_pinned_and_say_how_to_fetch_them() -> None:
    for name, entry in CATALOGUE.items():
        assert re.fullmatch(r"[a-z0-9_]+", name)
        assert re.fullmatch(r"[0-9a-f]{40}", entry.revision), "a branch could move"
        assert entry.licence
        assert entry.summary
        assert all(file.digest is None or re.fullmatch(r"[0-9a-f]{64}", file.digest) for file in entry.files)
        assert entry.revision in entry.fetch
        assert all(file.name in entry.fetch for file in entry.files)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogueEntry:
    """An entry of two files, in the layout in which the Hub's library keeps what it fetched."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "datasets--some--books" / "snapshots" / ("a" * 40)
    files = []
    for name, rows in (("data/0.parquet", ["one", " ", "two"]), ("data/1.parquet", ["three"])):
        path = snapshot / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": rows}), path)
        files.append(CorpusFile(name=name, digest=hashlib.sha256(path.read_bytes()).hexdigest()))
    entry = CatalogueEntry(
        name="books", summary="", repository="some/books", revision="a" * 40, licence="CC0-1.0", files=tuple(files)
    )
    monkeypatch.setitem(CATALOGUE, "books", entry)
    hub_corpora._digest.cache_clear()
    return entry


def test_fetched_files_are_read_in_order_without_a_network(cached: CatalogueEntry) -> None:
    corpus = opened("books")
    assert texts(corpus) == ["one", "two", "three"]
    assert corpus.identity() == {
        "hub": "some/books",
        "revision": "a" * 40,
        "files": ["data/0.parquet", "data/1.parquet"],
    }
    assert corpus.origin().files == cached.files
    assert corpus.origin().revision == "a" * 40


def test_a_file_with_another_digest_is_refused(
    cached: CatalogueEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = next(tmp_path.rglob("1.parquet"))
    pq.write_table(pa.table({"text": ["forged"]}), path)
    with pytest.raises(UserError) as caught:
        texts(opened("books"))
    assert f"{path} is not the file that the catalogue knows" in str(caught.value)
    assert cached.fetch in str(caught.value)
    unknown = cached.model_copy(update={"files": tuple(CorpusFile(name=file.name) for file in cached.files)})
    monkeypatch.setitem(CATALOGUE, "books", unknown)
    assert texts(opened("books")) == ["one", "two", "forged"], "no digest is known, so none is checked"


def test_files_that_are_not_there_are_named_with_the_command_that_fetches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as caught:
        texts(opened("wikitext103"))
    assert "corpus wikitext103 cannot be fetched" in str(caught.value)
    assert CATALOGUE["wikitext103"].fetch in str(caught.value)


def test_a_revision_of_a_data_set_is_part_of_its_identity() -> None:
    plain, pinned = opened("hf:some/set/config"), opened("hf:some/set/config@v1")
    assert plain.identity() == {"hf": "some/set", "config": "config"}
    assert pinned.identity() == {"hf": "some/set", "config": "config", "revision": "v1"}
    assert pinned.origin().revision == "v1"


# Parts of a corpus of several files.


@pytest.fixture
def two(tmp_path: Path) -> str:
    (tmp_path / "a.txt").write_text("\n\n".join(f"apple {'a' * 20} {i}" for i in range(100)))
    (tmp_path / "b.txt").write_text("\n\n".join(f"banana {i}" for i in range(300)))
    return f"text:{tmp_path}/a.txt,{tmp_path}/b.txt"


def test_a_part_reads_its_files_in_equal_amounts(two: str) -> None:
    assert {text.split()[0] for text in texts(opened(two, part="2"), 1000)} == {"banana"}
    assert [text.split()[0] for text in texts(opened(two), 150)] == ["apple"] * 100 + ["banana"] * 50
    mixed = texts(opened(two, part="1,2"), 1000)
    sizes = {word: sum(len(text) for text in mixed if text.startswith(word)) for word in ("apple", "banana")}
    assert abs(sizes["apple"] - sizes["banana"]) <= 30, "no more than one document apart"
    assert "apple aaaaaaaaaaaaaaaaaaaa 99" in mixed, "until one file ends"
    names = [file.name for file in opened(two, part="1,2").origin().files]
    assert names == ["a.txt", "b.txt"]


def test_parts_share_tokenizer_and_held_out_documents(two: str, tmp_path: Path) -> None:
    digests = set()
    spec = CorpusSpec.model_validate({"name": two, "part": "1", "heldout_documents": 5})
    for part in ("1", "2", "1,2"):
        one = spec.model_copy(update={"part": part})
        assert one.whole.part == "1,2"
        folder = tmp_path / part
        folder.mkdir()
        vocabulary = (
            make_plan("seed_id", "smoke")
            .variants[0]
            .settings.tokenizer.model_copy(update={"vocabulary": 260, "train_bytes": 2000})
        )
        made = tokens.prepare(
            open_corpus(one), vocabulary, context=16, blocks=20, heldout=5, folder=folder, whole=open_corpus(one.whole)
        )
        digests.add((folder / "tokenizer.json").read_text() + str(tokens.read_heldout(folder)))
        assert made.blocks == 20
    assert len(digests) == 1
    kept = {document.text.split()[0] for document in tokens.read_heldout(tmp_path / "1")}
    assert kept == {"apple", "banana"}


@pytest.mark.parametrize(
    ("name", "part", "words"),
    [
        ("chronicle", "1", "has no files to choose from"),
        ("text:a,b", "0", "'0' is not the number of a file"),
        ("text:a,b", "first", "'first' is not the number of a file"),
        ("text:a,b", "1,1", "a file is listed twice"),
    ],
)
def test_wrong_parts(name: str, part: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        opened(name, part=part)


def test_a_part_that_is_not_there(two: str) -> None:
    with pytest.raises(UserError, match=r"corpus\.part names file 3, and --corpus names 2 files"):
        opened(two, part="1,3")


def test_the_control_on_natural_text_asks_for_two_files(two: str) -> None:
    plan = make_plan("domain_id", "smoke", overrides={"corpus.name": two})
    assert {v.level: v.settings.corpus.part for v in plan.variants} == {"first": "1", "second": "2", "both": "1,2"}
    with pytest.raises(SpecError, match="has no files to choose from"):
        make_plan("domain_id", "smoke", overrides={"corpus.name": "chronicle"})


@pytest.mark.slow
def test_texts_tell_on_which_kind_of_text_their_model_was_trained(bench: Any, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for name, words in (("sea", ["salt", "boat", "wind", "tide"]), ("hill", ["goat", "stone", "path", "cloud"])):
        lines = [" ".join(draw.choice(words, 12)) for _ in range(3000)]
        (tmp_path / f"{name}.txt").write_text("\n\n".join(lines))
    corpus = {"corpus.name": f"text:{tmp_path}/sea.txt,{tmp_path}/hill.txt", "tokenizer.vocabulary": "280"}
    result, _ = bench.run("domain_id", baselines="majority,unigram", overrides=corpus)
    (score,) = [s for s in result.scores if s.attributor.name == "unigram" and s.split == "unseen_replicate"]
    assert score.classes == ("both", "first", "second")
    named = np.array(score.confusion)
    assert named[1, 2] + named[2, 1] < 0.05 * named.sum(), "models of one kind of text do not write like the other"
    assert score.metrics["accuracy"].value > 0.6
    assert [file.name for file in result.corpus.files] == ["sea.txt", "hill.txt"]
    assert len({variant.training_multiset for variant in result.variants}) == 3
