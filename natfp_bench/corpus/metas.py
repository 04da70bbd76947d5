"""Facts about prepared texts: one record for each kind of corpus."""

from __future__ import annotations

from natfp_bench.base.records import Record


class CorpusFile(Record):
    """A file that documents come from: its size, and the SHA-256 of its bytes; null if not known.

    name: without its folders on this machine; on the Hub, the path in the repository.
    """

    name: str
    bytes: int | None = None
    digest: str | None = None


class CorpusOrigin(Record):
    """Where documents come from: files, and the revision of their repository on the Hub; a generator has neither."""

    files: tuple[CorpusFile, ...] = ()
    revision: str | None = None


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
