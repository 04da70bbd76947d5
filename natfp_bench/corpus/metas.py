"""Facts about prepared texts: one record for each kind of corpus."""

from __future__ import annotations

from natfp_bench.base.records import Record


class CorpusMeta(Record):
    """Size of a corpus to train on; digest: of its blocks, or of its held-out documents if there are no blocks."""

    documents: int
    bytes: int
    tokens: int
    blocks: int
    context: int
    heldout_documents: int
    digest: str


class TextsMeta(Record):
    """Size of labelled texts; labels: number of texts per label; copies, empty: of removed ones."""

    documents: int
    bytes: int
    tokens: int = 0
    labels: dict[str, int]
    copies: int
    empty: int = 0
    digest: str
