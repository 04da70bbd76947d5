"""Texts from files, each with a label: read them, remove copies, and take equally many of every label.

JSON Lines, CSV, TSV and Parquet files have a column of texts and a column of labels. A JSON file is a list of such
objects, or an object that maps each label to its texts. A plain text file has one label, and blank lines separate its
texts. A folder has such files, or one folder per label with one file per text; a README in it is no text. `LABEL=PATH`
gives all texts of a path one label. Empty texts, and texts that are missing, are left out and counted; a text without a
label is an error.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from natfp_bench.base import streams
from natfp_bench.base.errors import UserError
from natfp_bench.base.records import digest, file_digest
from natfp_bench.plan.split import is_test
from natfp_bench.plan.text_settings import TextsSpec

from . import text_files
from .metas import TextsMeta

NOTICEABLE = 0.02
"""Share of removed test texts beyond which figures are about noticeably other texts."""

HINT = "--text-column, --label-column and --group-column name them"


def identity(spec: TextsSpec) -> dict[str, Any]:
    """Return everything that determines the texts, as JSON: the files' bytes and labels, and the columns."""
    names = [[given, relative.as_posix(), file_digest(path)] for given, relative, path in _files(spec)]
    return {"texts": names, "columns": [spec.text, spec.label, spec.group]}


class LabelledText(NamedTuple):
    """One text as it was read, perhaps an empty one, whose label may be empty, too.

    group: None if the text is independent of the others.
    """

    label: str
    text: str
    group: str | None = None


class TextCollection(NamedTuple):
    """Texts by row: label, prompt (a number that texts of one group share), and text.

    copies: number of removed copies. empty: number of empty texts that were left out, by label. readmes: number of
    README files that were left out.
    """

    labels: list[str]
    prompts: list[int]
    texts: list[str]
    copies: int
    empty: Counter[str]
    readmes: int

    def sides(self, test_every: int) -> dict[str, tuple[int, int]]:
        """Number of texts for training and for testing: label -> (train, test), labels sorted."""
        rows = zip(self.labels, self.prompts, strict=True)
        tested, total = Counter(label for label, prompt in rows if is_test(prompt, test_every)), Counter(self.labels)
        # A label that has only empty texts is not dropped in silence.
        labels = sorted({*total, *self.empty} - {""})
        return {label: (total[label] - tested[label], tested[label]) for label in labels}

    def removals(self, test_every: int) -> tuple[str, ...]:
        """Say which texts were removed, and how many."""
        said = []
        if self.readmes:
            said.append(f"README files in folders are no texts; {self.readmes} left out")
        if empty := self.empty.total():
            said.append(f"{empty} of {empty + self.copies + len(self.texts)} texts are empty; they were left out")
        if self.copies:
            said.append(f"{self.copies} test texts are also among the training texts, word for word; they were removed")
            share = self.copies / (self.copies + sum(is_test(prompt, test_every) for prompt in self.prompts))
            if share > NOTICEABLE:
                unlike = "figures are about texts that are not repeated, which are often longer"
                said[-1] += f" ({share:.1%} of the test: {unlike})"
        return tuple(said)


def balanced(sides: Mapping[str, tuple[int, int]], test_every: int, limit: int | None = None) -> int:
    """How many texts of each label are used: equally many of all labels, one in `test_every` of them for testing.

    sides: label -> (texts for training, texts for testing). limit: at most so many texts of each label.
    """
    tested = min(min(test, train // (test_every - 1)) for train, test in sides.values())
    return test_every * (tested if limit is None else min(tested, limit // test_every))


def read(spec: TextsSpec, test_every: int) -> TextCollection:
    """Read all texts, and remove empty ones, and test texts that are copies of training texts, word for word.

    test_every: one prompt in so many is for testing. Raises UserError for a file that cannot be read, is not UTF-8, or
    lacks a column (the message lists its columns), and for fewer than two labels.
    """
    labels, prompts, texts = [], [], []
    groups: dict[str, int] = {}
    alone: Counter[str] = Counter()
    empty: Counter[str] = Counter()
    for row in _rows(spec):
        if not row.text.strip():
            empty[row.label] += 1
            continue
        labels.append(row.label)
        texts.append(row.text)
        if row.group is None:
            # Texts are numbered within their label, so that every label has the same share of test texts.
            prompts.append(alone[row.label])
            alone[row.label] += 1
        else:
            prompts.append(groups.setdefault(row.group, len(groups)))
    _refuse_alike(set(labels))
    if len(set(labels)) < 2:
        found = ", ".join(sorted(set(labels))) or "none"
        raise UserError(
            f"{', '.join(spec.paths)}: at least two labels are needed, found: {found}"
            f"{f' (and {empty.total()} empty texts)' if empty else ''}\n"
            "  --label-column names their column, LABEL=PATH the label of a file"
        )
    plain = [" ".join(text.split()) for text in texts]
    tested = [is_test(prompt, test_every) for prompt in prompts]
    known = {text for text, test in zip(plain, tested, strict=True) if not test}
    kept = [i for i, test in enumerate(tested) if not (test and plain[i] in known)]
    copies = len(texts) - len(kept)
    return TextCollection(
        [labels[i] for i in kept],
        [prompts[i] for i in kept],
        [texts[i] for i in kept],
        copies,
        empty,
        _readmes(spec),
    )


def _refuse_alike(labels: set[str]) -> None:
    """Raise UserError if two labels look the same: they would be two classes by accident."""
    seen: dict[str, str] = {}
    for label in sorted(labels):
        other = seen.setdefault(unicodedata.normalize("NFC", " ".join(label.split())), label)
        if other != label:
            raise UserError(
                f"the labels {other!a} and {label!a} look the same\n"
                "  they differ in white space, or in how an accent is written: make them equal"
            )


def prepare(spec: TextsSpec, test_every: int, folder: Path) -> TextsMeta:
    """Write `texts.parquet` (label, prompt, text)."""
    found = read(spec, test_every)
    columns = {"label": found.labels, "prompt": pa.array(found.prompts, pa.int64()), "text": found.texts}
    pq.write_table(pa.table(columns), folder / "texts.parquet")
    return TextsMeta(
        documents=len(found.texts),
        bytes=sum(len(text.encode()) for text in found.texts),
        labels=dict(sorted(Counter(found.labels).items())),
        copies=found.copies,
        empty=found.empty.total(),
        digest=digest([found.labels, found.prompts, found.texts]),
    )


def select(corpus: Path, label: str, texts: int, test_every: int, seed: int) -> pa.Table:
    """Draw a sample set: `texts` texts of a label, in the order of the files, one in `test_every` for testing."""
    table = pq.read_table(corpus / "texts.parquet", filters=[("label", "==", label)])
    prompts = table["prompt"].to_numpy()
    order = streams.permutation(len(table), "texts", label, seed)
    test = is_test(prompts[order], test_every)
    tested = texts // test_every
    chosen = np.sort(np.concatenate([order[~test][: texts - tested], order[test][:tested]]))
    return sample_table(chosen, prompts[chosen], table["text"].take(chosen).to_pylist())


def sample_table(rows: Any, prompts: Any, texts: list[str]) -> pa.Table:
    """Make a sample set from texts whose tokens are not known."""
    columns = {"row": pa.array(rows, pa.int64()), "prompt": pa.array(prompts, pa.int64()), "text": texts}
    n = len(texts)
    return pa.table({**columns, "tokens": pa.array([0] * n, pa.int32()), "ended": pa.array([True] * n)})


def _files(spec: TextsSpec) -> Iterator[tuple[str | None, Path, Path]]:
    """All files as (label, relative path, path): the label of `LABEL=PATH`, and the path below the named folder."""
    for named in spec.paths:
        label, path = _label(named)
        if path.is_dir():
            inside = [file for file in _inside(path) if not _is_readme(file)]
            if not inside:
                raise UserError(f"{path}: the folder is empty\n  natfp-bench texts takes files, and folders of files")
            yield from ((label, file.relative_to(path), file) for file in inside)
        elif path.is_file():
            yield label, Path(path.name), path
        elif path.exists():
            raise UserError(f"{path}: neither a file nor a folder, but a pipe or a device\n  save the texts to a file")
        else:
            raise UserError(f"no file {str(path)!r}\n  natfp-bench texts takes files and folders, or LABEL=PATH")


def _readmes(spec: TextsSpec) -> int:
    """Number of README files in the named folders."""
    folders = [path for _, path in map(_label, spec.paths) if path.is_dir()]
    return sum(_is_readme(file) for folder in folders for file in _inside(folder))


def _inside(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Files below a folder, sorted, links followed, without hidden ones.

    above: real places of the folders that it is in; a link to one of them would never end. Raises UserError for a link
    that leads nowhere.
    """
    above = (*above, folder.resolve())
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if path.resolve() not in above:
                yield from _inside(path, above)
        elif path.exists():
            yield path
        else:
            raise UserError(f"{path}: a link that leads nowhere\n  remove it, or bring back what it named")


def _is_readme(file: Path) -> bool:
    return file.stem.lower() == "readme" and text_files.ending(file) in ("", *text_files.PLAIN)


def _label(named: str) -> tuple[str | None, Path]:
    label, equals, path = named.partition("=")
    if equals and label and not Path(named).exists():
        return label, Path(path).expanduser()
    return None, Path(named).expanduser()


def _rows(spec: TextsSpec) -> Iterator[LabelledText]:
    for given, relative, path in _files(spec):
        try:
            f"{given}={path}".encode()
        except UnicodeEncodeError:
            raise UserError(f"{path}: its name is not UTF-8\n  rename the file, or the folder that it is in") from None
        kind = text_files.ending(path)
        if kind in text_files.TABLES:
            yield from _table(path, given, spec)
        elif kind in text_files.PLAIN or not kind:
            yield from _plain(path, relative, given)
        else:
            known = ", ".join((*text_files.TABLES, *text_files.PLAIN))
            raise UserError(f"{path}: the format is unknown\n  known are {known}, each also as .gz")


def _plain(path: Path, relative: Path, given: str | None) -> Iterator[LabelledText]:
    """A file in the folder of a label is one text; in any other file, blank lines separate the texts of one label."""
    whole = text_files.decoded(text_files.content(path, may_be_empty=True), str(path))
    if given is None and len(relative.parts) > 1:
        if len(relative.parts) > 2:
            raise UserError(f"{path}: a folder in the folder of a label\n  move the files up, or the folder elsewhere")
        yield LabelledText(relative.parts[0], whole)
        return
    label = given or path.name.split(".")[0]
    # Blank lines at the start and at the end separate nothing.
    yield from (LabelledText(label, part.strip()) for part in re.split(r"\n\s*\n", whole.strip()))


def _table(path: Path, given: str | None, spec: TextsSpec) -> Iterator[LabelledText]:
    wanted = [spec.text, *([] if given else [spec.label]), *([spec.group] if spec.group else [])]
    for place, record in text_files.rows(path, wanted, HINT):
        empty = text_files.absent(record, spec.text)
        nameless = empty and not given and text_files.absent(record, spec.label)
        label = given or ("" if nameless else text_files.word_of(record, spec.label, place))
        if empty:
            yield LabelledText(label, "")
            continue
        group = text_files.word_of(record, spec.group, place) if spec.group else None
        yield LabelledText(label, text_files.text_of(record, spec.text, place), group)
