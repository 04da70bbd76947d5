"""Corpora: the documents in files and data sets, and the messages for unusable ones."""

from __future__ import annotations

import gzip
import io
import json
import os
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import canonical_json, digest
from natfp_bench.corpus import documents, text_corpora
from natfp_bench.corpus.documents import Corpus, Document
from natfp_bench.corpus.open_corpus import open_corpus
from natfp_bench.plan.settings import CorpusSpec


def opened(name: str, **more: Any) -> Corpus:
    return open_corpus(CorpusSpec(name=name, heldout_documents=1, **more))


def named(*paths: Path | str) -> str:
    """Name of the corpus of some text files."""
    return "text:" + ",".join(map(str, paths))


def texts(*paths: Path | str) -> list[str]:
    """Documents of a `text:` corpus; its errors are raised."""
    return [document.text for document in opened(named(*paths)).documents()]


def fault(name: str) -> str:
    """Message of the UserError that a corpus raises when it is opened, identified or read."""

    def use() -> None:
        corpus = opened(name)
        corpus.identity()
        list(corpus.documents())

    with pytest.raises(UserError) as caught:
        use()
    message = str(caught.value)
    assert message
    assert "Traceback" not in message
    assert len(message.splitlines()) <= 4
    return message


def write(path: Path, content: str | bytes) -> Path:
    """Write text as UTF-8, or write bytes unchanged."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


THREE = ["first document\nof two lines", "the second", "a third: ünï — 漢字"]


@pytest.mark.parametrize("blank", ["\n\n", "\n   \n", "\n\n\n\t\n"])
def test_blank_lines_separate_documents(tmp_path: Path, blank: str) -> None:
    assert texts(write(tmp_path / "a.txt", blank.join(THREE))) == THREE
    assert texts(write(tmp_path / "b.txt", "\n\n" + blank.join(THREE) + "\n\n\n")) == THREE


def test_the_same_documents_in_every_format(tmp_path: Path) -> None:
    plain = "\n\n".join(THREE) + "\n"
    lines = "".join(json.dumps({"id": i, "text": text}) + "\n\n" for i, text in enumerate(THREE))
    for name, content in {
        "a.txt": plain.encode(),
        "no_suffix": plain.encode(),
        "a.txt.gz": gzip.compress(plain.encode()),
        "two_members.gz": gzip.compress(plain[:20].encode()) + gzip.compress(plain[20:].encode()),
        "a.jsonl": lines.encode(),
        "b.JSONL": lines.encode(),
        "a.jsonl.gz": gzip.compress(lines.encode()),
        "crlf.txt": plain.replace("\n", "\r\n").encode(),
        "old_mac.txt": plain.replace("\n", "\r").encode(),
        "crlf.jsonl": lines.replace("\n", "\r\n").encode(),
        "bom.txt": b"\xef\xbb\xbf" + plain.encode(),
        "bom.jsonl": b"\xef\xbb\xbf" + lines.encode(),
        "bom.txt.gz": gzip.compress(b"\xef\xbb\xbf" + plain.encode()),
    }.items():
        assert texts(write(tmp_path / name, content)) == THREE, name


def test_only_the_end_of_a_name_decides_the_format(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "notes.jsonl.txt", "plain text")) == ["plain text"]
    assert texts(write(tmp_path / "notes.gz.txt", "plain text")) == ["plain text"]


def test_several_files_stream_in_order_and_repeatably(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.txt", "one\n\ntwo"), write(tmp_path / "b.jsonl", '{"text": "three"}')
    assert texts(a, b) == ["one", "two", "three"]
    assert texts(b, a) == ["three", "one", "two"]
    both = opened(named(a, b))
    assert list(both.documents()) == list(both.documents())


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "a.txt", "at home")
    assert texts("~/a.txt") == ["at home"]
    assert "no file" in fault("text:~nobody_of_that_name/a.txt")


@given(st.text(alphabet="ab \n", max_size=60), st.integers(2, 9))
def test_a_long_document_is_cut_and_nothing_is_lost(text: str, longest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "MAX_CHARACTERS", longest)
        pieces = list(text_corpora._paragraphs(io.StringIO(text)))
        from_json = list(documents.pieces(text))
    for found in (pieces, from_json):
        assert all(0 < len(piece) <= longest for piece in found)
        assert all(piece == piece.strip() for piece in found)
        assert "".join("".join(found).split()) == "".join(text.split())


def test_a_long_document_is_cut_at_the_limit(tmp_path: Path) -> None:
    long = "x" * (2 * documents.MAX_CHARACTERS + 5)
    sizes = [documents.MAX_CHARACTERS, documents.MAX_CHARACTERS, 5]
    assert [len(text) for text in texts(write(tmp_path / "a.txt", long))] == sizes
    assert [len(text) for text in texts(write(tmp_path / "a.jsonl", json.dumps({"text": long})))] == sizes


def test_white_space_may_fill_the_start_of_a_file(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.txt", "\n" * 200_000 + "text at last")) == ["text at last"]


def test_identity_is_content_and_format_and_not_the_path(tmp_path: Path) -> None:
    def identity(*paths: Path) -> str:
        found = opened(named(*paths)).identity()
        assert str(tmp_path) not in canonical_json(found)
        return digest(found)

    (tmp_path / "elsewhere").mkdir()
    content = '{"text": "a"}\n'
    a, b = write(tmp_path / "a.txt", content), write(tmp_path / "elsewhere" / "b.txt", content)
    assert identity(a) == identity(b)
    assert identity(a) != identity(write(tmp_path / "a.jsonl", content)), "another format gives other documents"
    assert identity(a) != identity(write(tmp_path / "c.txt", content + "\n\nb"))
    assert identity(a, tmp_path / "c.txt") != identity(tmp_path / "c.txt", a)


@given(st.text())
def test_held_out_is_a_function_of_the_text(text: str) -> None:
    assert Document(text).heldout == Document(text, 3.0).heldout


def test_one_document_in_twenty_is_held_out() -> None:
    held = sum(Document(f"document {i}").heldout for i in range(20_000))
    assert abs(held - 1000) < 4 * (20_000 * 0.05 * 0.95) ** 0.5


# Messages for unusable files.


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert str(tmp_path / "no.txt") in fault(f"text:{tmp_path}/no.txt")
    assert "no file" in fault(f"text:{tmp_path}/no.txt")
    assert "is not a file" in fault(f"text:{tmp_path}")
    assert "no file" in fault("text:" + "x" * 5000), "a name that is too long for the system is a missing file"


def test_one_bad_file_among_good_ones_is_named(tmp_path: Path) -> None:
    good = write(tmp_path / "good.txt", "text")
    assert "missing.txt" in fault(f"text:{good},{tmp_path}/missing.txt")


@pytest.mark.parametrize("content", [b"", b"\n \t\r\n", b" " * 200_000])
def test_empty_and_white_space_files(tmp_path: Path, content: bytes) -> None:
    assert "empty" in fault(f"text:{write(tmp_path / 'a.txt', content)}")
    assert "empty" in fault(f"text:{write(tmp_path / 'a.txt.gz', gzip.compress(content))}")


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "UTF-16 text".encode("utf-16-le")])
def test_binary_file(tmp_path: Path, content: bytes) -> None:
    message = fault(f"text:{write(tmp_path / 'a.bin', content)}")
    assert "a.bin" in message
    assert "binary" in message


@pytest.mark.parametrize("encoding", ["UTF-16", "UTF-32"])
def test_an_encoding_is_named_by_its_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    content = "text with a mark".encode(encoding)
    for name, found in {"a.txt": content, "a.jsonl.gz": gzip.compress(content)}.items():
        assert f"by its byte order mark it is {encoding}\n" in fault(f"text:{write(tmp_path / name, found)}")


@pytest.mark.parametrize("late", [0, 300_000])
def test_bytes_that_are_not_utf8(tmp_path: Path, late: int) -> None:
    path = write(tmp_path / "latin1.txt", b"words \n" * (late // 7) + "a café".encode("latin-1") + b"\nmore")
    message = fault(f"text:{path}")
    assert "latin1.txt" in message
    assert "not UTF-8 text (byte 0xe9)" in message


def test_broken_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(os.urandom(300_000).hex().encode())
    checksum, middle = bytearray(whole), bytearray(whole)
    checksum[-6] ^= 1
    middle[150_000:150_400] = bytes(400)
    for name, content in {
        "no_gzip": b"plain text",
        "cut_header": whole[:8],
        "cut_late": whole[: len(whole) // 2],
        "checksum": bytes(checksum),
        "damaged_late": bytes(middle),
        "damaged_early": whole[:20] + b"\xff" * 100 + whole[120:],
    }.items():
        message = fault(f"text:{write(tmp_path / f'{name}.gz', content)}")
        assert f"{name}.gz: " in message, name
        assert "cannot be read" in message, name


@pytest.mark.parametrize(
    "line",
    [
        "{broken",
        "just text",
        '"a string"',
        "[1, 2]",
        "[]",
        "null",
        "17",
        "{}",
        '{"content": "no text field"}',
        '{"text": null}',
        '{"text": 5}',
        '{"text": ["a"]}',
        '{"text": ' + "9" * 5000 + "}",
        "[" * 100_000,
        '{"text": "half a pair \\ud83d"}',
    ],
    ids=lambda line: line[:20],
)
def test_bad_json_line_is_named_by_file_and_line(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "fine"}\n\n' + line + '\n{"text": "fine"}\n')
    assert fault(f"text:{path}").startswith(f"{path}:3: ")


def test_a_line_of_json_is_held_in_memory_so_its_length_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a limit, a small archive of one endless line would fill the memory."""
    monkeypatch.setattr(text_corpora, "LONGEST_LINE", 50)
    content = json.dumps({"text": "x" * 30}).encode() + b"\n" + json.dumps({"text": "x" * 60}).encode()
    message = fault(f"text:{write(tmp_path / 'a.jsonl.gz', gzip.compress(content))}")
    assert "a.jsonl.gz: a line has more than 50 characters" in message


@pytest.mark.parametrize("name", ["chronicles", "txt:a.txt", "a.txt", "chronicle:5", "text", "text:", "text:,", "hf:"])
def test_unknown_corpus_names(name: str) -> None:
    message = fault(name)
    assert name.split(":")[0] in message


def test_a_near_miss_is_suggested() -> None:
    assert "did you mean 'chronicle'" in fault("chronicel")


def test_chronicle_streams_repeatably_with_known_bits() -> None:
    corpus = opened("chronicle", seed=3)
    first, again = (list(islice(corpus.documents(), 5)) for _ in range(2))
    assert first == again
    assert all(document.bits is not None and document.bits > 0 for document in first)
    assert corpus.identity() != opened("chronicle", seed=4).identity()


def test_topics_divide_the_embedded_corpus() -> None:
    def first(topics: str) -> list[str]:
        return [document.text for document in islice(opened("chronicle", topics=topics).documents(), 40)]

    mill, voyage = (set("\n".join(first(topics)).split()) for topics in ("mill", "voyage"))
    assert "miller" in mill
    assert "miller" not in voyage
    assert first("mill") == first(" mill ,")
    assert first("mill,voyage") != first("mill")
    assert first("") == first(",")


def test_topics_are_part_of_a_corpus_identity() -> None:
    def identity(topics: str) -> str:
        return digest(opened("chronicle", topics=topics).identity())

    assert len({identity(topics) for topics in ("", "mill", "voyage", "mill,voyage")}) == 4
    assert identity("mill") == identity(" mill,")


# Data sets of the Hub, here from a local folder, which the library streams in the same way.


def data_set(folder: Path, *rows: dict[str, object]) -> str:
    """Write a data set into a folder; returns its name as a corpus."""
    write(folder / "train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return f"hf:{folder}"


def test_local_data_set_is_streamed(tmp_path: Path) -> None:
    corpus = opened(data_set(tmp_path, {"text": "first"}, {"text": "  "}, {"text": "second\n\nparagraph "}))
    assert [document.text for document in corpus.documents()] == ["first", "second\n\nparagraph"]
    before = corpus.identity()
    assert str(tmp_path) not in canonical_json(before)
    data_set(tmp_path, {"text": "edited"})
    assert corpus.identity() != before, "the store may not serve what a folder held before"


def test_a_long_document_of_a_data_set_is_cut_into_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_CHARACTERS", 10)
    corpus = opened(data_set(tmp_path, {"text": "0123456789abc"}))
    assert [document.text for document in corpus.documents()] == ["0123456789", "abc"]


@pytest.mark.parametrize("row", [{"content": "words"}, {"text": 5}])
def test_data_set_without_text(tmp_path: Path, row: dict[str, object]) -> None:
    message = fault(data_set(tmp_path, row))
    assert "no column 'text'" in message
    assert f"(columns: {next(iter(row))})" in message


def test_data_set_that_breaks_off_late(tmp_path: Path) -> None:
    write(tmp_path / "train-0.jsonl", '{"text": "fine"}\n' * 3)
    write(tmp_path / "train-1.jsonl", '{"text": "fine"}\n{broken\n')
    assert "cannot be loaded" in fault(f"hf:{tmp_path}")


@pytest.mark.parametrize("name", ["hf:nobody/no_such_set", "hf:nobody/no_such_set/config", "hf:/no/such/folder"])
def test_missing_data_set_offline(name: str) -> None:
    message = fault(name)
    assert message.startswith(f"{name} cannot be loaded: ")
    assert "network" in message
