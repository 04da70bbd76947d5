"""What the rungs of the ladder are given: further texts, and the corpus. Strangers and twins are models."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from natfp_bench.attributors.knowledge import TEXTS, TOKENIZER, Knowledge, write_texts
from natfp_bench.base import streams
from natfp_bench.base.records import Record, digest
from natfp_bench.base.rungs import Knows
from natfp_bench.base.text import first_bytes
from natfp_bench.pipeline.store import Store
from natfp_bench.plan import split
from natfp_bench.plan.task_files import SplitSpec

from .sample import SampleStage, read_table
from .stage import CorpusStage, ModelStage, Stage, Workplace

AT_ONCE = 4096
"""Blocks of the corpus that are decoded together."""


class KnowledgeMeta(Record):
    """How many texts there are."""

    texts: int


class KnowledgeStage(Stage):
    """A stage that writes what attributors of some rungs may read."""

    kind, version, doing = "knowledge", 1, "prepare"
    meta_type = KnowledgeMeta


@dataclass(frozen=True, eq=False)
class Unlabelled(KnowledgeStage):
    """Texts of sample sets behind the first `skipped` of each, up to `texts`; those of test prompts are left out.

    cut: bytes that texts are cut to, None if they are whole.
    """

    name = "unlabelled"

    samples: tuple[tuple[SampleStage, ...], ...]
    skipped: int
    texts: int
    split: SplitSpec
    cut: int | None
    seed: int

    def run(self, at: Workplace) -> KnowledgeMeta:
        """Write the texts in random order: their place must not say where they are from."""
        found: list[str] = []
        for stages in self.samples:
            table = read_table(at.store, stages, self.texts).slice(self.skipped)
            prompts = table["prompt"].to_numpy().astype(np.int64)
            known = ~np.asarray(split.is_test(prompts, self.split.test_every))
            found += [text for text, kept in zip(table["text"].to_pylist(), known.tolist(), strict=True) if kept]
        if self.cut is not None:
            found = [first_bytes(text, self.cut) for text in found]
        order = streams.permutation(len(found), "knowledge", "unlabelled", self.seed)
        return KnowledgeMeta(texts=write_texts((found[i] for i in order), at.folder / TEXTS))


@dataclass(frozen=True, eq=False)
class TrainingTexts(KnowledgeStage):
    """The documents that models were trained on, each once, and the tokenizer of the first corpus.

    corpora: packed ones; if there are several, what all of them have. A document that a block's end cuts is in pieces.
    """

    name = "corpus"

    corpora: tuple[CorpusStage, ...]

    def run(self, at: Workplace) -> KnowledgeMeta:
        """Decode the blocks of tokens."""
        shutil.copyfile(self.corpora[0].folder(at.store) / TOKENIZER, at.folder / TOKENIZER)
        return KnowledgeMeta(texts=write_texts(self._texts(at.store), at.folder / TEXTS))

    def _texts(self, store: Store) -> Iterator[str]:
        seen: set[str] = set()
        for corpus in self.corpora:
            entry = corpus.entry(store)
            yield from _new(decoded(entry.folder, entry.meta["context"]), seen)


def decoded(folder: Path, context: int) -> Iterator[str]:
    """Texts of the documents in a packed corpus; the end token between them is no part of them."""
    from natfp_bench.corpus import tokens

    known, flat = tokens.reader(folder, {}), tokens.read_blocks(folder, context).reshape(-1)
    begun: list[int] = []
    for start in range(0, len(flat), AT_ONCE * context):
        part = np.concatenate([begun, flat[start : start + AT_ONCE * context]]).astype(np.int64)
        *whole, last = np.split(part, np.flatnonzero(part == known.end))
        begun = last.tolist()
        yield from known.tokenizer.decode_batch([one.tolist() for one in whole])
    yield known.tokenizer.decode(begun)


def _new(texts: Iterable[str], seen: set[str]) -> Iterator[str]:
    """Texts that are not empty and have not been there yet."""
    for text in texts:
        if text and (known := digest(text)) not in seen:
            seen.add(known)
            yield text


def knowledge_of(
    rung: Knows, stages: Sequence[Stage], store: Store, twins: Sequence[tuple[str, Stage]] = ()
) -> Knowledge | None:
    """What an attributor gets, from finished stages; None on the lowest rung. twins: models by the label of a class."""
    if rung == "texts":
        return None
    texts = next((stage.folder(store) / TEXTS for stage in stages if isinstance(stage, Unlabelled)), None)
    corpus = next((stage.folder(store) for stage in stages if isinstance(stage, TrainingTexts)), None)
    strangers = tuple(stage.folder(store).absolute() for stage in stages if isinstance(stage, ModelStage))
    return Knowledge(
        rung=rung,
        texts_file=texts.absolute() if texts else None,
        corpus_folder=corpus.absolute() if corpus else None,
        stranger_folders=strangers,
        twin_folders=tuple((label, stage.folder(store).absolute()) for label, stage in twins),
    )
