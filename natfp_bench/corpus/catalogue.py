"""Natural corpora of the Hub that can be named in a word, each at one revision, so that all who name it read one text.

The library copies none of them. Digests are of the files, as the Hub states them, and are checked where they are known.
"""

from __future__ import annotations

from natfp_bench.base.records import Record

from .metas import CorpusFile


class CatalogueEntry(Record):
    """A corpus of the catalogue: Parquet files of one repository of the Hub, with a column `text`."""

    name: str
    summary: str
    repository: str
    revision: str
    licence: str
    files: tuple[CorpusFile, ...]

    @property
    def bytes(self) -> int | None:
        """Size of all files, None if one is unknown."""
        sizes = [file.bytes for file in self.files]
        return sum(size for size in sizes if size is not None) if None not in sizes else None

    @property
    def fetch(self) -> str:
        """The command that fetches the files once, so that later runs need no network."""
        paths = " ".join(file.name for file in self.files)
        return f"hf download {self.repository} {paths} --repo-type dataset --revision {self.revision}"


CATALOGUE = {
    entry.name: entry
    for entry in (
        CatalogueEntry(
            name="tinystories",
            summary="short stories for children, written by GPT-3.5 and GPT-4 (arXiv 2305.07759)",
            repository="roneneldan/TinyStories",
            revision="f54c09fd23315a6f9c86f9dc80f725de7d8f9c64",
            licence="CDLA-Sharing-1.0",
            files=(
                CorpusFile(name="data/train-00000-of-00004-2d5a1467fff1081b.parquet", bytes=248_731_111),
                CorpusFile(name="data/train-00001-of-00004-5852b56a2bd28fd9.parquet", bytes=248_171_980),
                CorpusFile(name="data/train-00002-of-00004-a26307300439e943.parquet", bytes=245_894_874),
                CorpusFile(name="data/train-00003-of-00004-d243063613e5a057.parquet", bytes=247_988_350),
            ),
        ),
        CatalogueEntry(
            name="wikitext103",
            summary="good and featured articles of Wikipedia, one paragraph or heading a document (arXiv 1609.07843)",
            repository="Salesforce/wikitext",
            revision="b08601e04326c79dfdd32d625aee71d232d685c3",
            licence="CC-BY-SA-3.0, GFDL",
            files=(
                CorpusFile(
                    name="wikitext-103-raw-v1/train-00000-of-00002.parquet",
                    bytes=156_987_808,
                    digest="74da360f23826045b3e6ac6375411fdb15f003030aa74f2596ed08b857cb9212",
                ),
                CorpusFile(
                    name="wikitext-103-raw-v1/train-00001-of-00002.parquet",
                    bytes=157_088_770,
                    digest="ba090ac30dbf5461e8dcbdd1a1b8e6f3cf9c2c756d64f0c1220450acd514f720",
                ),
            ),
        ),
        CatalogueEntry(
            name="fineweb_edu",
            summary="educational pages of the web, first file of the sample of 10 billion tokens (arXiv 2406.17557)",
            repository="HuggingFaceFW/fineweb-edu",
            revision="87f09149ef4734204d70ed1d046ddc9ca3f2b8f9",
            licence="ODC-By-1.0",
            files=(CorpusFile(name="sample/10BT/000_00000.parquet"),),
        ),
        CatalogueEntry(
            name="public_domain_books",
            summary="English books of the Library of Congress, as read by machine; first thousand books",
            repository="storytracer/LoC-PD-Books",
            revision="5f1f4ee054362bcddbb56640c6beb67a92a0bf41",
            licence="CC0-1.0",
            files=(CorpusFile(name="data/train_00001.parquet"),),
        ),
    )
}
"""The corpora by name. A size or a digest that is left out is not known to us."""
