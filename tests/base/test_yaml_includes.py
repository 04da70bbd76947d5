"""YAML files that include others: whose keys win, which places are named, and what may be included."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from small_records import Inner, Outer, load_faults

from natfp_bench.base import yaml_records, yaml_source
from natfp_bench.base.errors import SpecError

SECRETS = ["root:*:20228:0:99999:7:::", "user: hunter2", "- hunter2", "hunter2: [1", "hunter2 !x y", "{hunter2: }"]


@pytest.mark.parametrize("content", SECRETS)
@pytest.mark.parametrize("name", ["shadow", ".netrc", "key.pem", "notes.txt", "x.yaml.bak"])
def test_an_include_shows_no_file_of_another_kind(folder: Path, content: str, name: str) -> None:
    (folder / name).write_text(f"{content}\n")
    (folder / "link.yaml").symlink_to(name)
    for included in (name, "link.yaml"):
        (folder / "top.yaml").write_text(f"include: {included}\n")
        with pytest.raises(SpecError) as caught:
            yaml_records.read(folder / "top.yaml", Outer)
        assert caught.value.faults == (f'top.yaml:1: the included file "{included}" is no .yaml or .yml file',)


def test_include_merges_and_own_keys_win(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "base.yaml").write_text(
        "name: base\n\ninner:\n  size: 1\n  kind: base\nlevels: {a: 1, b: 2}\nwords: [x, y]\n"
    )
    (folder / "middle.yaml").write_text("include: sub/base.yaml\nwords: [z]\n")
    (folder / "top.yaml").write_text("inner:\n  size: 3\nlevels:\n  c: 3\ninclude: middle.yaml\n")
    source = yaml_source.load(folder / "top.yaml")
    assert source.data == {
        "name": "base",
        "inner": {"size": 3, "kind": "base"},
        "levels": {"c": 3},
        "words": ["z"],
    }
    base = str(Path("sub", "base.yaml"))
    assert source.place(("name",)) == f"{base}:1"
    assert source.place(("inner",)) == "top.yaml:1"
    assert source.place(("inner", "size")) == "top.yaml:2"
    assert source.place(("inner", "kind")) == f"{base}:5"
    assert source.place(("levels", "c")) == "top.yaml:4"
    assert source.place(("levels", "a")) == "top.yaml:3"  # replaced as a whole: nothing is left of the base's levels
    assert source.place(("words", 0)) == "middle.yaml:2"
    assert source.place(("words", 1)) == "middle.yaml:2"
    assert yaml_records.read(folder / "top.yaml", Outer).inner == Inner(size=3, kind="base")


def test_a_value_replaces_a_mapping_and_the_reverse(folder: Path) -> None:
    (folder / "base.yaml").write_text("a: {x: 1}\nb: 2\n")
    (folder / "top.yaml").write_text("include: base.yaml\na: 1\nb: {y: 2}\n")
    source = yaml_source.load(folder / "top.yaml")
    assert source.data == {"a": 1, "b": {"y": 2}}
    assert source.place(("a", "x")) == "top.yaml:2"
    assert source.place(("b", "y")) == "top.yaml:3"


def test_faults_of_an_included_file_name_its_lines(folder: Path) -> None:
    (folder / "base.yaml").write_text("name: x\ninner:\n  size: wrong\n")
    (folder / "top.yaml").write_text("include: base.yaml\nwordz: [a]\n")
    with pytest.raises(SpecError) as caught:
        yaml_records.read(folder / "top.yaml", Outer)
    assert sorted(caught.value.faults) == [
        'base.yaml:3: inner.size must be a valid integer, not "wrong"',
        "top.yaml:2: unknown key 'wordz' (did you mean 'words'?)",
    ]
    (folder / "base.yaml").write_text("name: x\nname: y\n")
    assert load_faults(folder / "top.yaml") == ("base.yaml:2: duplicate key 'name'",)


def test_thousands_of_keys_over_as_many_are_merged_at_once(folder: Path) -> None:
    text = "".join(f"key{i}: {{a: [1]}}\n" for i in range(4000))
    (folder / "base.yaml").write_text(text)
    (folder / "top.yaml").write_text(f"include: base.yaml\n{text.replace('{a: [1]}', '3')}")
    started = time.process_time()
    source = yaml_source.load(folder / "top.yaml")
    assert time.process_time() - started < 20
    assert source.place(("key3999", "a", 0)) == "top.yaml:4001"


def test_includes_that_go_nowhere(folder: Path) -> None:
    top = folder / "top.yaml"
    for value, expected in (
        ("none.yaml", 'the included file "none.yaml" does not exist'),
        (".", 'the included file "." does not exist'),
        ("''", 'the included file "" does not exist'),
        ("x" * 5000, "the included file"),
        ('"a\\0b"', "the included file"),
        ("[a.yaml, b.yaml]", "'include' must name one file"),
        ("", "'include' must name one file"),
        ("3", "'include' must name one file"),
        ("top.yaml", "include cycle: top.yaml -> top.yaml"),
    ):
        top.write_text(f"name: x\ninclude: {value}\n")
        assert load_faults(top)[0].startswith(f"top.yaml:2: {expected}")


def test_a_cycle_of_includes_is_shown_in_full(folder: Path) -> None:
    (folder / "a.yaml").write_text("include: b.yaml\n")
    (folder / "b.yaml").write_text("x: 1\ninclude: ./c.yaml\n")
    (folder / "c.yaml").write_text("include: a.yaml\n")
    assert load_faults(folder / "a.yaml") == ("c.yaml:1: include cycle: a.yaml -> b.yaml -> c.yaml -> a.yaml",)


def test_a_file_that_is_included_twice_is_no_cycle(folder: Path) -> None:
    (folder / "base.yaml").write_text("x: 1\n")
    for name in ("a", "b"):
        (folder / f"{name}.yaml").write_text("include: base.yaml\n")
        assert yaml_source.load(folder / f"{name}.yaml").data == {"x": 1}
