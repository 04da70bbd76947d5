"""The corpora that can be named: the embedded generator, text files, the catalogue, and data sets of the Hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from natfp_bench.base.errors import UserError, did_you_mean
from natfp_bench.plan.settings import CorpusSpec

from . import chronicle, hub_corpora, text_corpora
from .catalogue import CATALOGUE
from .documents import Corpus, Document
from .metas import CorpusOrigin

KINDS = {
    "chronicle": "embedded generator of simple prose: endless, with known entropy; the default",
    "text:PATH[,PATH...]": "UTF-8 files (also .gz), documents separated by blank lines; .jsonl with a field 'text'",
    "hf:NAME[/CONFIG][@REVISION]": "a data set of the Hugging Face Hub or of a folder, with a column 'text'; streamed",
}


def open_corpus(spec: CorpusSpec) -> Corpus:
    """Open the corpus that a specification names; raises UserError if it cannot be read."""
    kind, _, rest = spec.name.partition(":")
    match kind:
        case "chronicle" if not rest:
            return Chronicle(spec.seed, spec.topic_names)
        case "text":
            paths = tuple(Path(os.path.expanduser(part)) for part in rest.split(",") if part)
            return text_corpora.parts_of(paths, spec.part_numbers) if spec.part else text_corpora.TextFiles(paths)
        case "hf":
            return hub_corpora.data_set(rest)
        case name if name in CATALOGUE and not rest:
            return hub_corpora.HubFiles(CATALOGUE[name])
    near = did_you_mean(kind, ["chronicle", "text", "hf", *CATALOGUE])
    known = ", ".join([*KINDS, *CATALOGUE])
    raise UserError(f"unknown corpus {spec.name!r}{near}\n  known: {known}\n  natfp-bench list corpora   tells more")


@dataclass(frozen=True)
class Chronicle:
    """The embedded corpus: endless, and of known entropy. No topics means all of them."""

    seed: int
    topics: tuple[str, ...] = ()

    def identity(self) -> dict[str, Any]:
        """Return the generator's version, seed and topics."""
        return {"chronicle": chronicle.VERSION, "seed": self.seed, "topics": list(self.topics)}

    def documents(self) -> Iterator[Document]:
        """Generate documents without end."""
        index = 0
        while True:
            yield Document(*chronicle.document(self.seed, index, topics=self.topics or None))
            index += 1

    def origin(self) -> CorpusOrigin:
        """Return nothing: the documents are made here."""
        return CorpusOrigin()
