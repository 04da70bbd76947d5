"""What an attributor may know beside its labelled texts, as it gets it: paths of files that it may read.

The files of a rung are written before an attributor is built. In a sandbox they are there to be read and nothing else.
Only the standard library is needed to read them; a checkpoint folder is read by transformers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from natfp_bench.base.errors import AttributorError
from natfp_bench.base.records import Record
from natfp_bench.base.rungs import GIVEN, Knows, Rung, height

TEXTS, TOKENIZER = "texts.jsonl", "tokenizer.json"
"""Names of a file of texts, one JSON string per line, and of a tokenizer's file."""


class Knowledge(Record):
    """What an attributor is given on its rung of the ladder (`natfp_bench.base.rungs`).

    texts_file: further texts of the sources; corpus_folder: texts and tokenizer; stranger_folders: checkpoint folders
    of transformers, with tokenizer; twin_folders: likewise, each with the label of its class. Reading what belongs to a
    higher rung raises AttributorError.
    """

    rung: Knows
    texts_file: Path | None = None
    corpus_folder: Path | None = None
    stranger_folders: tuple[Path, ...] = ()
    twin_folders: tuple[tuple[str, Path], ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files and folders that may be read."""
        twins = (folder for _, folder in self.twin_folders)
        return tuple(path for path in (self.texts_file, self.corpus_folder, *self.stranger_folders, *twins) if path)

    @cached_property
    def unlabelled(self) -> tuple[str, ...]:
        """Texts of the same sources without labels, in random order; never a test text."""
        return tuple(_texts(self._given(self.texts_file, "unlabelled")))

    @property
    def corpus(self) -> Path:
        """Folder of the corpus: `texts.jsonl`, one JSON string per line, and `tokenizer.json`."""
        return self._given(self.corpus_folder, "corpus")

    def corpus_texts(self) -> Iterator[str]:
        """Read the documents that the sources were trained on, one by one."""
        return _texts(self.corpus / TEXTS)

    @property
    def strangers(self) -> tuple[Path, ...]:
        """Checkpoint folders of models that no text is of: the recipes of the sources, trained with other seeds."""
        return tuple(self._given(folder, "recipe") for folder in self.stranger_folders or (None,))

    @property
    def twins(self) -> dict[str, tuple[Path, ...]]:
        """Checkpoint folders by label: models with the initial weights of the class's sources, and no text of theirs.

        A twin reads the same data in another order. A class none of whose twins could be trained has no entry.
        """
        self._given(next((folder for _, folder in self.twin_folders), None), "origin")
        labels = dict.fromkeys(label for label, _ in self.twin_folders)
        return {label: tuple(folder for of, folder in self.twin_folders if of == label) for label in labels}

    def _given(self, path: Path | None, rung: Rung) -> Path:
        if path is None or height(self.rung) < height(rung):
            raise AttributorError(
                f"the rung {self.rung!r} is not given this ({GIVEN[rung]})\n"
                f"  knowledge: {rung}   in card.yaml declares it"
            )
        return path


def _texts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def write_texts(texts: Iterator[str], path: Path) -> int:
    """Write a file of texts, one JSON string per line; returns how many there are."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for text in texts:
            # Characters without UTF-8 are spelt out, so that any text can be written.
            file.write(json.dumps(text) + "\n")
            count += 1
    return count
