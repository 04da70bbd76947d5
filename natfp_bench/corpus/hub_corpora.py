"""Documents of the Hugging Face Hub: of any data set with a column `text`, or of a corpus of the catalogue."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import file_digest, folder_digest

from .catalogue import CatalogueEntry
from .documents import Document, pieces
from .metas import CorpusFile, CorpusOrigin


@dataclass(frozen=True)
class HubDataset:
    """The column `text` of a data set that the library `datasets` can load: from the Hub, or from a folder."""

    name: str
    config: str | None
    revision: str | None = None

    def identity(self) -> dict[str, Any]:
        """Return name, configuration and, if one is named, revision; for a folder, the digest of its content."""
        if Path(self.name).is_dir():
            return {"hf": folder_digest(Path(self.name)), "config": self.config}
        return {"hf": self.name, "config": self.config, **({"revision": self.revision} if self.revision else {})}

    def documents(self) -> Iterator[Document]:
        """Stream the training split."""
        import datasets  # slow to import, and only corpora of the Hub need it

        def load() -> Any:
            return datasets.load_dataset(self.name, self.config, split="train", streaming=True, revision=self.revision)

        yield from _column(
            load, f"hf:{self}", "check its name; a data set of the Hub needs the network or a filled cache"
        )

    def origin(self) -> CorpusOrigin:
        """Return the revision, if one is named; for a folder, the digest of its content."""
        found = self.identity()["hf"] if Path(self.name).is_dir() else self.revision
        return CorpusOrigin(revision=found)

    def __str__(self) -> str:
        return self.name + (f"/{self.config}" if self.config else "") + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class HubFiles:
    """A corpus of the catalogue: its files are fetched once, checked, and then read from the cache as a stream."""

    entry: CatalogueEntry

    def identity(self) -> dict[str, Any]:
        """Return repository, revision and files."""
        return {
            "hub": self.entry.repository,
            "revision": self.entry.revision,
            "files": [f.name for f in self.entry.files],
        }

    def documents(self) -> Iterator[Document]:
        """Stream the files one after another."""
        import datasets  # slow to import, and only corpora of the Hub need it

        paths = [str(self._fetched(file)) for file in self.entry.files]

        def load() -> Any:
            return datasets.load_dataset("parquet", data_files=paths, split="train", streaming=True)

        yield from _column(load, self.entry.name, f"fetch its files again: {self.entry.fetch}")

    def origin(self) -> CorpusOrigin:
        """Return the files and the revision, as the catalogue has them."""
        return CorpusOrigin(files=self.entry.files, revision=self.entry.revision)

    def _fetched(self, file: CorpusFile) -> Path:
        from huggingface_hub import hf_hub_download  # slow to import

        entry = self.entry
        try:
            at = hf_hub_download(entry.repository, file.name, repo_type="dataset", revision=entry.revision)
        except Exception as error:  # the library raises dozens of types, and none of them is a bug of ours
            what = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
            raise UserError(f"corpus {entry.name} cannot be fetched: {what}\n  with network: {entry.fetch}") from None
        path = Path(at)
        if file.digest not in (None, found := _digest(path)):
            what = f"{path} is not the file that the catalogue knows: its SHA-256 is {found}, not {file.digest}"
            raise UserError(f"corpus {entry.name}: {what}\n  remove it, and fetch it again: {entry.fetch}")
        return path


@cache
def _digest(path: Path) -> str:
    """SHA-256 of a file of the cache of the Hub, which is never written to; large ones are read once in a process."""
    return file_digest(path)


def _column(load: Callable[[], Any], shown: str, hint: str) -> Iterator[Document]:
    """Stream the texts of a data set's column `text`; hint: what to do if it cannot be loaded."""
    try:
        for row in load():
            if not isinstance(row.get("text"), str):
                raise UserError(f"{shown} has no column 'text' of strings (columns: {', '.join(row)})")
            yield from (Document(part) for part in pieces(row["text"]))
    except UserError:
        raise
    except Exception as error:  # the library raises dozens of types, and none of them is a bug of ours
        what = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise UserError(f"{shown} cannot be loaded: {what}\n  {hint}") from None


def data_set(rest: str) -> HubDataset:
    """The data set that `NAME[/CONFIG][@REVISION]` names, or a folder; raises UserError for an empty name."""
    if not rest:
        raise UserError("corpus 'hf:' names no data set\n  write hf:NAME[/CONFIG][@REVISION]")
    if rest.startswith((".", "/", "~")):
        return HubDataset(os.path.expanduser(rest), None)
    rest, _, revision = rest.partition("@")
    parts = rest.split("/")
    return HubDataset("/".join(parts[:2]), "/".join(parts[2:]) or None, revision or None)
