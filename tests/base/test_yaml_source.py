"""YAML as data: places and faults; nothing in a file is code."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path
from typing import Any

import pytest
from small_records import Outer, load_faults

from natfp_bench.base import yaml_records, yaml_source
from natfp_bench.base.errors import SpecError


def parse(text: str) -> dict[str, Any]:
    return yaml_source.parse(text, "f.yaml").data


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        yaml_records.validate(yaml_source.parse(text, "f.yaml"), Outer)
    return caught.value.faults


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1", 1),
        ("1_000", 1000),
        ("0o17", 15),
        ("1.0", 1.0),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("2024-01-05", "2024-01-05"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
        ("2024-99-99", "2024-99-99"),
        ("12:30", "12:30"),
        ("[1, a]", [1, "a"]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        ('"\\u2603"', "☃"),
    ],
)
def test_values(text: str, value: Any) -> None:
    found = parse(f"key: {text}\n")["key"]
    assert found == value
    assert type(found) is type(value)


def test_a_number_as_key_is_the_word_that_was_written() -> None:
    assert parse("{1: a, 1e-3: b, 0x10: c, 2024-01-05: d}") == {"1": "a", "1e-3": "b", "0x10": "c", "2024-01-05": "d"}


def test_byte_order_mark_is_no_part_of_the_first_key(folder: Path) -> None:
    (folder / "f.yaml").write_bytes(b"\xef\xbb\xbfname: x\n")
    assert yaml_source.load(folder / "f.yaml").data == {"name": "x"}


def test_places_are_those_of_the_keys() -> None:
    source = yaml_source.parse("# comment\nname: x\n\ninner:\n  size:\n    3\nwords:\n- a\n- b\n", "f.yaml")
    places = {(): 1, ("name",): 2, ("inner",): 4, ("inner", "size"): 5, ("words", 1): 9}
    assert {key: source.place(key) for key in places} == {key: f"f.yaml:{line}" for key, line in places.items()}
    assert source.place(("inner", "nowhere", "deeper")) == "f.yaml:4"
    assert source.fault(("inner",), "what") == "f.yaml:4: what"


def test_every_fault_at_once_with_line_and_near_word() -> None:
    text = "nane: x\ninner:\n  size: three\n  kinda: x\nmaybe:\n  sise: 1\nwords: word\nlevels: {a: [1]}\n"
    assert sorted(faults(text)) == [
        "f.yaml:1: missing key 'name'",
        "f.yaml:1: unknown key 'nane' (did you mean 'name'?)",
        'f.yaml:3: inner.size must be a valid integer, not "three"',
        "f.yaml:4: unknown key 'kinda' (did you mean 'kind'?)",
        "f.yaml:5: missing key 'maybe.size'",
        "f.yaml:6: unknown key 'sise' (did you mean 'size'?)",
        'f.yaml:7: words must be a list, not "word"',
        "f.yaml:8: levels.a must be a valid integer, or a valid string",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\ninner: {size: 1.0}\n", "f.yaml:2: inner.size must be a valid integer, not 1.0"),
        ("name: x\ninner: {size: true}\n", "f.yaml:2: inner.size must be a valid integer, not true"),
        ("name: no\ninner:\n", "f.yaml:2: inner must be a mapping of keys to values, not null"),
        ("name: 3\ninner: {size: 1}\n", "f.yaml:1: name must be a valid string, not 3"),
    ],
)
def test_wrong_types(text: str, expected: str) -> None:
    assert faults(text) == (expected,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", "f.yaml:2: duplicate key 'a'"),
        ("x: {a: 1, b: 2,\n  a: 3}\n", "f.yaml:2: duplicate key 'a'"),
        ("1: a\n'1': b\n", "f.yaml:2: duplicate key '1'"),
        ("", "f.yaml:1: the file must be a mapping of keys to values"),
        ("# nothing\n", "f.yaml:1: the file must be a mapping of keys to values"),
        ("- a\n- b\n", "f.yaml:1: the file must be a mapping of keys to values"),
        ("word\n", "f.yaml:1: the file must be a mapping of keys to values"),
        ("true: 1\n", 'f.yaml:1: key "true" is not a word'),
        ("a: 1\n~: 1\n", 'f.yaml:2: key "~" is not a word'),
        ("? [a, b]\n: 1\n", "f.yaml:1: key "),
        ("? {a: b}\n: 1\n", "f.yaml:1: key "),
        ("a: {<<: {b: 1}}\n", "f.yaml:1: merge keys"),
        ("a: .nan\n", 'f.yaml:1: ".nan" is not a value'),
        ("a: -.inf\n", 'f.yaml:1: "-.inf" is not a value'),
        ("a: 1e999\n", 'f.yaml:1: "1e999" is not a value'),
        ("a: " + "9" * 5000, "f.yaml:1: "),
        ("a: 0x" + "f" * 5000, "f.yaml:1: "),
        ("a: 9223372036854775808", "f.yaml:1: "),
        ('a: "\\ud800"\n', "f.yaml:1: "),
        ('"\\ud800": a\n', "f.yaml:1: key "),
        ("a: !!int x\n", 'f.yaml:1: "x" is not a value'),
        ("a: !!bool x\n", 'f.yaml:1: "x" is not a value'),
        ("a: 1\n\tb: 2\n", "f.yaml:2: not valid YAML"),
        ("a: 1\n---\nb: 1\n", "f.yaml:2: not valid YAML"),
        ("a: [1\n", "f.yaml:2: not valid YAML"),
        ("a: *b\n", "f.yaml:1: not valid YAML: found undefined alias"),
        ("a: \0\n", "f.yaml:1: not valid YAML"),
        ("a: " + "[" * 1000 + "]" * 1000, "f.yaml:1: nested more than 32 levels deep"),
        ("a: " + "[" * 60 + "]" * 60, "f.yaml:1: nested more than 32 levels deep"),
    ],
)
def test_refused(text: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text)
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].startswith(expected)
    assert len(caught.value.faults[0]) < 200


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object:os.system x",
        "!!python/object/apply:os.system ['true']",
        "!!python/name:os.system ''",
        "!function module.name",
        "!function {a: 1}",
        "!function [a]",
        "!<tag:example.org,2000:x> 1",
        "!!binary aGk=",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!pairs [a: 1]",
        "!!map [a]",
        "!!seq {a: 1}",
        "=",
    ],
)
@pytest.mark.parametrize("frame", ["name: x\nvalue: {}\n", "name: x\nlist:\n  - {}\n"])
def test_tags_are_refused(text: str, frame: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(frame.format(text))
    line = frame.format(text).splitlines().index(next(row for row in frame.format(text).splitlines() if text in row))
    assert caught.value.faults[0].startswith(f"f.yaml:{line + 1}: tag ")


def test_a_tag_runs_nothing(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    with pytest.raises(SpecError):
        parse(f"a: !!python/object/apply:os.system ['touch {target}']\n")
    assert not target.exists()


def test_duplicates_and_tags_all_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        parse("a: 1\nb: !x 1\na: 2\nc: {d: 1, d: 2}\ntrue: 1\n")
    assert [fault.split(":")[1] for fault in caught.value.faults] == ["2", "3", "4", "5"]


def test_bombs_of_aliases_are_refused() -> None:
    doubled = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    doubled += "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9))
    chained = "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(2000))
    long = f"a: &a {'x' * 50_000}\nb: [{', '.join(['*a'] * 1000)}]\n"
    for bomb in (doubled, chained, long, "a: &a [*a]\n", "a: &a {b: *a}\n"):
        with pytest.raises(SpecError, match="aliases that multiply"):
            parse(bomb)


def test_plain_aliases_are_allowed_and_a_name_may_be_used_again() -> None:
    assert parse("a: &x {k: 1}\nb: *x\nc: &x 2\nd: *x\n") == {"a": {"k": 1}, "b": {"k": 1}, "c": 2, "d": 2}


def test_files_that_cannot_be_read(folder: Path) -> None:
    (folder / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    assert load_faults(folder / "latin.yaml") == ("latin.yaml: not UTF-8 text (byte 9)",)
    assert load_faults(folder / "none.yaml") == ("none.yaml: cannot be read (No such file or directory)",)
    (folder / "folder.yaml").mkdir()
    assert load_faults(folder / "folder.yaml") == ("folder.yaml: cannot be read (Is a directory)",)


GROWING = {
    "keys": "key{}: 1\n",
    "values": "- {}\n",
    "one value": "x" * 8,
    "brackets": "[",
    "maps": "{{a: ",
    "lines": "\n",
    "comments": "# {}\n",
}


@pytest.mark.parametrize("part", GROWING.values(), ids=GROWING)
@pytest.mark.parametrize("size", [yaml_source.MAX_BYTES, 2_000_000])
def test_a_file_takes_seconds_or_is_too_large(folder: Path, part: str, size: int) -> None:
    text = "".join(part.format(number) for number in range(size // len(part)))
    (folder / "large.yaml").write_text(text[:size])
    (folder / "top.yaml").write_text("include: large.yaml\n")
    for name in ("large.yaml", "top.yaml"):
        started = time.process_time()
        with contextlib.suppress(SpecError):
            yaml_source.load(folder / name)
        assert time.process_time() - started < 15
    if size > yaml_source.MAX_BYTES:
        expected = ("large.yaml: larger than 100,000 bytes, the most that such a file may have",)
        assert load_faults(folder / "large.yaml") == load_faults(folder / "top.yaml") == expected


@pytest.mark.parametrize("nested", ["[" * 33 + "]" * 33, "{a: " * 33 + "1" + "}" * 33, "- " * 5000, "[" * 50_000])
def test_a_message_names_the_depth_that_is_allowed(nested: str) -> None:
    with pytest.raises(SpecError, match="nested more than 32 levels deep"):
        parse(f"a:\n  {nested}\n")


TEXT_FAULTS = {
    "words: [a]\nwords: [b]": "duplicate key 'words'",
    "words: !x [a]": "tag '!x' is not allowed: a specification is data, never code",
    "words: .nan": '".nan" is not a value that a specification can hold',
    "words: [.nan]": '".nan" is not a value that a specification can hold',
    "true: 1": 'key "true" is not a word (if you mean a word, put it in quotes)',
    "<<: {a: 1}": "merge keys ('<<') are not allowed; use 'include', or write the keys out",
}


@pytest.mark.parametrize(("text", "what"), TEXT_FAULTS.items())
@pytest.mark.parametrize("included", [False, True])
def test_faults_of_the_text_hide_no_others(folder: Path, text: str, what: str, included: bool) -> None:
    other = "inner: {size: three}\nnane: x\n"
    (folder / "f.yaml").write_text(f"{text}\n{other}")
    if included:
        (folder / "top.yaml").write_text("include: f.yaml\n")
    with pytest.raises(SpecError) as caught:
        yaml_records.read(folder / ("top.yaml" if included else "f.yaml"), Outer)
    line = text.count("\n") + 1
    assert sorted(caught.value.faults) == sorted(
        [
            f"f.yaml:{line}: {what}",
            f'f.yaml:{line + 1}: inner.size must be a valid integer, not "three"',
            f"f.yaml:{line + 2}: unknown key 'nane' (did you mean 'name'?)",
            f"{'top' if included else 'f'}.yaml:1: missing key 'name'",
        ]
    )
    with pytest.raises(SpecError, match=re.escape(what)):
        yaml_source.load(folder / "f.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("3", 3), ("no", "no"), ("true", True), ("text:a,b.txt", "text:a,b.txt"), ('"1"', "1")],
)
def test_scalar(text: str, value: Any) -> None:
    assert yaml_source.scalar(text, shown="--set x") == value


@pytest.mark.parametrize("text", ["", "null", "[1]", "{a: 1}", "a: 1", "1\nb: 2", "[", "!f x", ".nan", "*a", "&a [*a]"])
def test_scalar_takes_one_value(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        yaml_source.scalar(text, shown="--set x")
    assert caught.value.faults[0].startswith("--set x: ")
