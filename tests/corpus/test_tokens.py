"""Tokenizer and packing: the same blocks in every process, nothing lost, and an error for small corpora."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import file_digest
from natfp_bench.corpus import tokens
from natfp_bench.corpus.documents import Document
from natfp_bench.corpus.open_corpus import open_corpus
from natfp_bench.plan.settings import Settings, TokenizerSpec


@dataclass(frozen=True)
class Listed:
    """A corpus of the given documents."""

    of: tuple[Document, ...]

    def identity(self) -> dict[str, Any]:
        return {"listed": [document.text for document in self.of]}

    def documents(self) -> Iterator[Document]:
        return iter(self.of)


def numbered(n: int, sentence: str = "document {} speaks of things that are numbered") -> Listed:
    return Listed(tuple(Document(sentence.format(i), float(i)) for i in range(n)))


BYTES = TokenizerSpec(vocabulary=257, train_bytes=1000)
"""No merges: each token is a byte, so that numbers of tokens can be counted by hand."""


def prepare(corpus: Any, folder: Path, **given: Any) -> tokens.CorpusMeta:
    folder.mkdir(exist_ok=True)
    options = {"spec": BYTES, "context": 16, "blocks": 20, "heldout": 3, **given}
    return tokens.prepare(corpus, options.pop("spec"), folder=folder, **options)


# The tokenizer.


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text())
def test_any_text_goes_there_and_back(tiny_corpus: Path, text: str) -> None:
    tokenizer = tokens.load_tokenizer(tiny_corpus / "tokenizer.json")
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.token_to_id(tokens.END) not in ids


def test_text_that_spells_the_end_token_is_text(tmp_path: Path) -> None:
    spell = f"before{tokens.END}after {tokens.END}{tokens.END}"
    corpus = Listed(tuple(Document(f"{spell} {i}") for i in range(200)))
    meta = prepare(corpus, tmp_path, spec=TokenizerSpec(vocabulary=280, train_bytes=10_000))
    tokenizer = tokens.load_tokenizer(tmp_path / "tokenizer.json")
    end = tokenizer.token_to_id(tokens.END)
    ids = tokenizer.encode(spell, add_special_tokens=False).ids
    assert end not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == spell
    blocks = tokens.read_blocks(tmp_path, 16)
    lengths = [len(tokenizer.encode(d.text).ids) + 1 for d in corpus.of if not d.heldout]
    ends = np.flatnonzero(blocks.reshape(-1) == end)
    assert ends.tolist() == [start for start in np.cumsum([0, *lengths]) if start < meta.tokens]


def test_preparing_is_deterministic_in_another_process(tiny: Settings, tiny_corpus: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from natfp_bench.corpus import tokens;"
        "from natfp_bench.corpus.open_corpus import open_corpus;"
        "from natfp_bench.plan.settings import *; s = Settings.model_validate_json(sys.argv[1]);"
        "tokens.prepare(open_corpus(s.corpus), s.tokenizer, context=s.model.context, blocks=s.steps * s.budget.batch,"
        "heldout=s.corpus.heldout_documents, folder=Path(sys.argv[2]))"
    )
    for threads in ("true", "false"):
        environment = {"TOKENIZERS_PARALLELISM": threads, "PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "7"}
        subprocess.run([sys.executable, "-c", program, tiny.model_dump_json(), tmp_path], env=environment, check=True)
        for name in ("tokenizer.json", "blocks.bin", "heldout.parquet"):
            assert file_digest(tmp_path / name) == file_digest(tiny_corpus / name), name


def test_a_vocabulary_too_big_for_the_text(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        prepare(numbered(100), tmp_path, spec=TokenizerSpec(vocabulary=5000, train_bytes=10_000))
    message = str(caught.value)
    assert "too small" in message
    assert "tokenizer.vocabulary is 5000" in message
    given = int(message.split("a vocabulary of ")[1].split(",")[0])
    with_fewer = prepare(numbered(100), tmp_path, spec=TokenizerSpec(vocabulary=given, train_bytes=10_000))
    assert with_fewer.blocks == 20


# Packing.


def test_blocks_are_the_training_documents_in_order_each_after_an_end_token(tmp_path: Path) -> None:
    corpus = numbered(200)
    meta = prepare(corpus, tmp_path)
    tokenizer = tokens.load_tokenizer(tmp_path / "tokenizer.json")
    end = tokenizer.token_to_id(tokens.END)
    expected: list[int] = []
    for document in corpus.of:
        if not document.heldout:
            expected += [end, *tokenizer.encode(document.text).ids]
    blocks = tokens.read_blocks(tmp_path, 16)
    assert blocks.shape == (20, 16)
    assert blocks.reshape(-1).tolist() == expected[:320]
    assert (meta.tokens, meta.blocks, meta.context) == (320, 20, 16)
    assert meta.digest == file_digest(tmp_path / "blocks.bin")


def test_batch_sizes_do_not_change_the_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = numbered(3000)
    whole = prepare(corpus, tmp_path / "whole", blocks=2000)
    monkeypatch.setattr(tokens, "BATCH_DOCUMENTS", 7)
    monkeypatch.setattr(tokens, "BATCH_CHARACTERS", 150)
    small = prepare(corpus, tmp_path / "small", blocks=2000)
    assert small.digest == whole.digest
    assert tokens.read_heldout(tmp_path / "small") == tokens.read_heldout(tmp_path / "whole")


def test_fewer_blocks_are_a_prefix(tmp_path: Path) -> None:
    prepare(numbered(300), tmp_path / "a", blocks=40)
    prepare(numbered(300), tmp_path / "b", blocks=15)
    assert np.array_equal(tokens.read_blocks(tmp_path / "a", 16)[:15], tokens.read_blocks(tmp_path / "b", 16))


def test_held_out_and_training_documents_are_disjoint_and_duplicates_stay_together(tmp_path: Path) -> None:
    unlike = numbered(400).of
    corpus = Listed((*unlike, *unlike[::-1]))
    meta = prepare(corpus, tmp_path, blocks=5000, heldout=10_000)
    held = {document.text for document in tokens.read_heldout(tmp_path)}
    tokenizer = tokens.load_tokenizer(tmp_path / "tokenizer.json")
    packed = tokens.read_blocks(tmp_path, 16).reshape(-1)
    texts = np.split(packed, np.flatnonzero(packed == tokenizer.token_to_id(tokens.END)))[1:-1]
    trained = {tokenizer.decode(text[1:].tolist()) for text in texts}
    assert not held & trained
    assert held | trained >= {document.text for document in unlike} - {unlike[0].text}
    assert meta.heldout_documents == 2 * len(held)
    assert meta.documents == 800 - meta.heldout_documents
    assert meta.bytes == sum(len(document.text) for document in corpus.of if not document.heldout)


def test_held_out_documents_keep_their_bits_and_number(tmp_path: Path) -> None:
    corpus = numbered(2000)
    held = [document for document in corpus.of if document.heldout]
    assert prepare(corpus, tmp_path, heldout=5).heldout_documents == 5
    assert tokens.read_heldout(tmp_path) == held[:5]
    prepare(Listed(tuple(Document(d.text) for d in corpus.of)), tmp_path, heldout=5)
    assert [document.bits for document in tokens.read_heldout(tmp_path)] == [None] * 5


def test_progress_ends_at_the_whole(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    prepare(numbered(100), tmp_path, progress=lambda *of: seen.append(of))
    assert seen[-1] == (320, 320, "tokens")


# Corpora that are too small.


def test_four_epochs_are_the_limit(tmp_path: Path) -> None:
    corpus = numbered(100)
    there = prepare(corpus, tmp_path, blocks=300).blocks
    assert 0 < there < 300, "a corpus with fewer blocks gives all of them"
    assert prepare(corpus, tmp_path, blocks=4 * there).blocks == there
    with pytest.raises(UserError) as caught:
        prepare(corpus, tmp_path, blocks=4 * there + 1)
    message = str(caught.value)
    assert "too small for the preset" in message
    assert f"{there * 16:,} tokens" in message
    assert f"reads {(4 * there + 1) * 16:,} tokens" in message
    assert f"at least {(there + 1) * 16:,}" in message
    assert "--set budget.tokens=" in message


def test_repeated_blocks_count_as_often_as_they_are_read(tmp_path: Path) -> None:
    """The limit is four times the blocks that are packed, even if the corpus has more."""
    there = prepare(numbered(100), tmp_path, blocks=300).blocks
    assert prepare(numbered(100), tmp_path, blocks=there // 2, reads=there // 2 * 4).blocks == there // 2
    with pytest.raises(UserError, match="too small for the preset"):
        prepare(numbered(100), tmp_path, blocks=there // 2, reads=there // 2 * 4 + 1)


def test_fresh_blocks_come_last_and_are_never_repeated(tmp_path: Path) -> None:
    there = prepare(numbered(100), tmp_path, blocks=300).blocks
    assert prepare(numbered(100), tmp_path, blocks=there, fresh=5).blocks == there
    # If more blocks are needed than there are, all except the fresh ones are repeated, up to four times.
    assert prepare(numbered(100), tmp_path, blocks=4 * (there - 5) + 5, fresh=5).blocks == there
    with pytest.raises(UserError) as caught:
        prepare(numbered(100), tmp_path, blocks=4 * (there - 5) + 6, fresh=5)
    message = str(caught.value)
    assert f"reads {(4 * (there - 5) + 6) * 16:,} tokens" in message
    assert f"at least {(there + 1) * 16:,}" in message
    with pytest.raises(UserError, match="too small for the preset"):
        prepare(numbered(100), tmp_path, blocks=there + 5, fresh=there)


def test_a_part_of_a_corpus_shares_tokenizer_and_held_out_documents_with_the_whole(tmp_path: Path) -> None:
    whole, part = numbered(2000), numbered(2000, "another topic, number {}, of quite other words")
    options = {"spec": TokenizerSpec(vocabulary=300, train_bytes=5000), "heldout": 20}
    of_whole = prepare(whole, tmp_path / "whole", **options)
    of_part = prepare(part, tmp_path / "part", whole=whole, **options)
    for name in ("tokenizer.json", "heldout.parquet"):
        assert file_digest(tmp_path / "part" / name) == file_digest(tmp_path / "whole" / name)
    assert of_part.heldout_documents == of_whole.heldout_documents == 20
    assert of_part.digest != of_whole.digest
    tokenizer = tokens.load_tokenizer(tmp_path / "part" / "tokenizer.json")
    packed = tokenizer.decode(tokens.read_blocks(tmp_path / "part", 16).reshape(-1).tolist())
    assert packed.startswith("another topic, number 0, of quite other words")
    assert "document" not in packed, "no document of the whole, held out or not, is trained on"


@pytest.mark.parametrize("documents", [(), ("one line only",), ("a", "b", "c")])
def test_almost_nothing_is_too_small(tmp_path: Path, documents: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="too small for the preset"):
        prepare(Listed(tuple(map(Document, documents))), tmp_path)


def test_one_long_line_has_no_documents_to_hold_out(tmp_path: Path) -> None:
    path = tmp_path / "line.txt"
    path.write_text("all of it in one line " * 500)
    spec = Settings.model_fields["corpus"].annotation(name=f"text:{path}", heldout_documents=3)
    with pytest.raises(UserError, match=r"0 of its documents are held out.*\n.*blank lines separate"):
        prepare(open_corpus(spec), tmp_path / "out")


# Prompts.


def test_prompts_are_the_first_characters_of_held_out_documents(tmp_path: Path) -> None:
    prepare(numbered(2000), tmp_path, heldout=40)
    held = [document.text for document in tokens.read_heldout(tmp_path)]
    assert tokens.prompts(tmp_path, 0) == [""]
    assert tokens.prompts(tmp_path, 20) == list(dict.fromkeys(text[:20] for text in held))


def test_documents_that_begin_alike_give_one_prompt(tmp_path: Path) -> None:
    prepare(numbered(2000), tmp_path, heldout=40)
    found = tokens.prompts(tmp_path, 11)
    assert all(prompt.startswith("document ") for prompt in found)
    assert 2 <= len(found) == len(set(found)) < 40
    with pytest.raises(UserError, match="1 different beginnings of 5 characters"):
        tokens.prompts(tmp_path, 5)
    with pytest.raises(UserError, match=r"0 different.*\n.*sampling.prompt_characters"):
        tokens.prompts(tmp_path, 500)


# Memory.


@pytest.mark.slow
@pytest.mark.parametrize("separator", ["\n\n", " "], ids=["documents", "one line"])
def test_memory_stays_bounded(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "big.txt"
    with path.open("w") as file:
        for i in range(270_000):
            file.write(f"sentence {i} of the big file says {i * i % 9973} and then {i * 7 % 131} and no more, " * 3)
            file.write(separator)
    assert path.stat().st_size > 50e6
    program = f"""
import resource
from pathlib import Path
from natfp_bench.corpus import tokens
from natfp_bench.corpus.open_corpus import open_corpus
from natfp_bench.plan.settings import CorpusSpec, TokenizerSpec
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
meta = tokens.prepare(
    open_corpus(CorpusSpec(name="text:{path}", heldout_documents=1)),
    TokenizerSpec(vocabulary=512, train_bytes=1_000_000),
    context=64, blocks=400_000, heldout=1, folder=Path("{tmp_path}"),
)
print(meta.tokens, peak() - before)
"""
    environment = {"TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    packed, grown = map(int, done.stdout.split())
    assert packed > 10_000_000
    assert grown < 250, f"{grown} MB more"
