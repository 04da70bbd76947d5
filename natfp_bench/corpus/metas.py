"""What is noted of texts once they are prepared: one record for each kind of corpus."""

from __future__ import annotations

from natfp_bench.base.records import Record


class CorpusMeta(Record):
    """What was read for a corpus and what it holds; digest: of its blocks, or of its held-out documents alone."""

    documents: int
    bytes: int
    tokens: int
    blocks: int
    context: int
    heldout_documents: int
    digest: str


class TextsMeta(Record):
    """What was read of texts that have labels already: texts of each label, and copies that were removed."""

    documents: int
    bytes: int
    tokens: int = 0
    labels: dict[str, int]
    copies: int
    digest: str
