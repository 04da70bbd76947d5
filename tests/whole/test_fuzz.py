"""Whatever is in a file, the program ends in time with a result, or with one message that names it and no file written.

The tests mutate all files that users provide: tasks, presets, cards, results with predictions, references, texts.
`make test` tries some of the mutations that `make check` tries; they are the same every time.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile, copytree, rmtree
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzzing import Fuzz, reported, sizes, tries
from hypothesis import strategies as st
from mutations import (
    JSON_NESTED,
    JSON_SCALARS,
    WORDS,
    YAML_NESTED,
    YAML_SCALARS,
    as_yaml,
    bytewise,
    encoded,
    linewise,
    tables,
    treewise,
)

import natfp_bench
from natfp_bench import api
from natfp_bench.attributors import registry
from natfp_bench.base import resources, yaml_source
from natfp_bench.base.errors import UserError
from natfp_bench.corpus import labelled_texts as texts
from natfp_bench.corpus import tokens
from natfp_bench.corpus.open_corpus import open_corpus
from natfp_bench.plan.settings import CorpusSpec, TokenizerSpec
from natfp_bench.plan.text_settings import TextsSpec
from natfp_bench.results import identify, submission
from natfp_bench.results import unlabelled_texts as given_texts

# The mutated file of a failure may be large; the warning about that would hide the failure.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")


@pytest.fixture
def fuzz(natfp: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fuzz:
    """The command line in its own folder, which is also the user's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return Fuzz(natfp, tmp_path)


def yaml_files(texts: list[str]) -> st.SearchStrategy[bytes]:
    """Mutate YAML files whose top is a mapping."""

    def mutated(text: str) -> st.SearchStrategy[bytes]:
        data = yaml_source.parse(text, "sound").data
        found = linewise(text, YAML_SCALARS) | treewise(data, YAML_SCALARS, YAML_NESTED, as_yaml)
        return found.map(encoded) | bytewise(text.encode())

    return st.sampled_from(texts).flatmap(mutated)


def try_yaml(
    fuzz: Fuzz, number: int, path: Path, named: str, sound: list[str], commands: list[tuple[str, ...]]
) -> None:
    """Let commands read mutations of a file; `validate` reports its faults with exit code 1."""

    @tries(number, yaml_files(sound), st.sampled_from(commands))
    def _(content: bytes, command: tuple[str, ...]) -> None:
        path.write_bytes(content)
        fuzz(named, *command, fails=(1,) if command[0] == "validate" else (2,))


def json_files(text: str) -> st.SearchStrategy[bytes]:
    """Mutate a JSON file."""
    tree = treewise(json.loads(text), JSON_SCALARS, JSON_NESTED)
    return (tree | tree | linewise(text, JSON_SCALARS)).map(encoded) | bytewise(text.encode())


@sizes(60, 300)
def test_tasks(fuzz: Fuzz, number: int) -> None:
    folder = fuzz.folder / "tasks"
    folder.mkdir()
    copyfile(resources.tasks() / "_hub.yaml", folder / "_hub.yaml")
    sound = [
        path.read_text(encoding="utf-8").replace(f"task: {path.stem}\n", "task: odd\n")
        for path in sorted(resources.tasks().glob("[!_]*.yaml"))
    ]
    include = ("--include-path", "tasks")
    commands = [
        ("validate", "tasks/odd.yaml"),
        ("show", "odd", "--preset", "smoke", *include),
        ("show", "odd", "--json", *include),
        ("run", "--task", "odd", "--dry-run", "--preset", "smoke", *include),
        ("run", "--tag", "seeds", "--dry-run", *include),
        ("run", "--task", "all", "--dry-run", *include),
        ("list", "tasks", *include),
    ]
    try_yaml(fuzz, number, folder / "odd.yaml", "odd", sound, commands)


@sizes(40, 250)
def test_presets(fuzz: Fuzz, number: int) -> None:
    folder = fuzz.folder / "tasks" / "presets"
    folder.mkdir(parents=True)
    quick, smoke = (resources.tasks() / "presets" / f"{name}.yaml" for name in ("quick", "smoke"))
    copyfile(quick, folder / "_quick.yaml")
    sound = [quick.read_text(encoding="utf-8"), smoke.read_text(encoding="utf-8").replace("quick", "_quick")]
    include = ("--preset", "odd", "--include-path", "tasks")
    commands = [
        ("validate", "tasks/presets/odd.yaml"),
        ("show", "lr_id", *include),
        ("run", "--task", "shape_id,seed_id,pythia_seed_id", "--dry-run", *include),
        ("list", "presets", "--include-path", "tasks"),
    ]
    try_yaml(fuzz, number, folder / "odd.yaml", "odd", sound, commands)


@sizes(60, 300)
def test_cards(fuzz: Fuzz, number: int) -> None:
    folder = fuzz.folder / "odd"
    folder.mkdir()
    (folder / "baseline.py").write_text("raise SystemExit('read, not run')\n")
    cards = [(path / "card.yaml").read_text(encoding="utf-8") for path in sorted(resources.baselines().iterdir())]
    sound = [text.replace(text.split("\n")[0], "name: odd") for text in cards]
    commands = [
        ("validate", "odd"),
        ("validate", "odd/card.yaml"),
        ("run", "--task", "seed_id", "--baseline", "./odd", "--dry-run"),
    ]
    try_yaml(fuzz, number, folder / "card.yaml", "card.yaml", sound, commands)


READERS = [
    *(("leaderboard", "sound", "odd", *more) for more in ((), ("--boards",), ("--json",), ("--format", "md"))),
    *(("leaderboard", "odd", *more) for more in ((), ("--json",), ("--format", "md", "--boards"))),
    *(
        ("regress", "--reference", "reference.parquet", "--results", "odd", "--format", form)
        for form in ("table", "md", "json", "junit", "github")
    ),
    ("regress", "--reference", "out/reference.parquet", "--results", "odd", "--update"),
    *(("identify", "given.txt", "--result", "odd", "--store", "store", *more) for more in ((), ("--target", "level"))),
    *(("export", "odd", "--format", form, "-o", "out", "--store", "store") for form in ("csv", "lm-eval")),
    ("validate", "odd/result.json"),
]
"""Commands that read results."""


@pytest.fixture
def reading(
    fuzz: Fuzz, bench: Any, seed_run: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[[tuple[str, ...]], None]:
    """Folders `sound` and `odd` with a result each, a reference, and a store; runs a command that reads them."""
    for name in ("sound", "odd"):
        copytree(seed_run[1], fuzz.folder / name)
    # The newer one, of two attributors: the others' scores are the older one's, and all are ranked by their answers.
    part = json.loads((fuzz.folder / "sound" / "result.json").read_text(encoding="utf-8"))
    newer = {"scores": part["scores"][:2], "run": part["run"] | {"started": "2999-01-01T00:00:00+00:00"}}
    (fuzz.folder / "sound" / "result.json").write_text(json.dumps(part | newer))
    (fuzz.folder / "store").symlink_to(bench.store)
    (fuzz.folder / "given.txt").write_text("the miller sold a boat\n")
    assert fuzz("", "regress", "--reference", "out/reference.parquet", "--results", "odd", "--update") == 0
    (fuzz.folder / "out" / "reference.parquet").rename(fuzz.folder / "reference.parquet")

    def read(*_: object) -> None:
        raise UserError("result.json was read, and nothing is computed")

    monkeypatch.setattr(api, "local_engine", lambda _: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(identify, "identify", read)

    def run(command: tuple[str, ...]) -> None:
        rmtree(fuzz.folder / "out", ignore_errors=True)
        fuzz("", *command, fails=(1, 2), reports=command[0] == "regress")

    return run


@sizes(60, 300)
def test_results(fuzz: Fuzz, reading: Callable[[tuple[str, ...]], None], number: int) -> None:
    path = fuzz.folder / "odd" / "result.json"

    @tries(number, json_files(path.read_text(encoding="utf-8")), st.sampled_from(READERS))
    def _(content: bytes, command: tuple[str, ...]) -> None:
        path.write_bytes(content)
        reading(command)
        with reported(str(path)):
            natfp_bench.load_results(path)


@sizes(40, 250)
def test_predictions_and_references(fuzz: Fuzz, reading: Callable[[tuple[str, ...]], None], number: int) -> None:
    """Tables that lie beside a result, or that it is compared with."""
    paths = {name: fuzz.folder / name for name in ("odd/predictions.parquet", "reference.parquet")}
    sound = {name: path.read_bytes() for name, path in paths.items()}

    @tries(number, st.data(), st.sampled_from(sorted(paths)), st.sampled_from(READERS[:-1]))
    def _(data: st.DataObject, name: str, command: tuple[str, ...]) -> None:
        paths[name].write_bytes(data.draw(bytewise(sound[name]) | tables(pq.read_table(io.BytesIO(sound[name])))))
        reading(command)
        paths[name].write_bytes(sound[name])


COLUMNS = {"text": "text", "label": "label", "group": None}

ROWS = [{"text": f"text {i} of {'ab'[i % 2]}", "label": "ab"[i % 2], "group": str(i // 4)} for i in range(48)]


def separated(delimiter: str) -> str:
    lines = [delimiter.join(ROWS[0]), *(delimiter.join(f'"{cell}"' for cell in row.values()) for row in ROWS)]
    return "\n".join(lines) + "\n"


QUOTED = (*WORDS, '"', '""', 'a,"b"', '"a"b,c', "a\tb", f'"{"x," * 3000}"', ",,,,,,,,", '"\n\n"')


def text_files(*names: str) -> st.SearchStrategy[tuple[str, bytes]]:
    """Names and contents of files with texts, mutated; of these names alone, if any is given."""
    lines = "\n".join(map(json.dumps, ROWS))
    by_label = json.dumps({label: [row["text"] for row in ROWS if row["label"] == label] for label in "ab"}, indent=1)
    plain = "\n\n".join(row["text"] for row in ROWS)
    kinds: dict[str, tuple[str, st.SearchStrategy[str]]] = {
        "odd.jsonl": (lines, odd_json_lines()),
        "odd.json": (by_label, treewise(json.loads(by_label), JSON_SCALARS, JSON_NESTED)),
        "odd.csv": (separated(","), linewise(separated(","), QUOTED)),
        "odd.tsv": (separated("\t"), linewise(separated("\t"), QUOTED)),
        "odd.txt": (plain, linewise(plain, WORDS)),
        "odd": (plain, linewise(plain, WORDS)),
        "label/odd.md": (plain, linewise(plain, WORDS)),
    }
    contents = {name: mutated.map(encoded) | bytewise(sound.encode()) for name, (sound, mutated) in kinds.items()}
    table = pa.Table.from_pylist(ROWS)
    whole = io.BytesIO()
    pq.write_table(table, whole)
    contents["odd.parquet"] = tables(table) | bytewise(whole.getvalue())
    packed = bytewise(gzip.compress(lines.encode(), mtime=0))
    contents["odd.jsonl.gz"] = packed | odd_json_lines().map(lambda text: gzip.compress(encoded(text), mtime=0))
    return st.one_of([st.tuples(st.just(name), contents[name]) for name in names or contents])


@st.composite
def odd_json_lines(draw: st.DrawFn) -> str:
    """Some rows, a few of them mutated, and maybe all labels of one kind."""
    other = draw(st.just("b") | st.sampled_from((*WORDS, None, 1.5, 2**70, ["b"])))
    rows = [json.dumps({**row, "label": "a" if row["label"] == "a" else other}) for row in ROWS]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from(range(len(ROWS))))
        rows[at] = draw(treewise(ROWS[at], JSON_SCALARS, JSON_NESTED) | linewise(rows[at], JSON_SCALARS))
    return draw(st.sampled_from(("\n", "\r\n", "\r"))).join(rows)


@sizes(60, 350)
def test_texts(fuzz: Fuzz, number: int) -> None:
    root, out = fuzz.folder / "given", fuzz.folder / "out"
    (root / "label").mkdir(parents=True)
    (root / "sound.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    columns = st.sampled_from([(), ("--group-column", "group"), ("--label-column", "text"), ("--text-column", "label")])

    @tries(number, text_files(), columns, st.booleans(), st.booleans())
    def _(file: tuple[str, bytes], options: tuple[str, ...], labelled: bool, together: bool) -> None:
        path = root / file[0]
        path.write_bytes(file[1])
        paths = (f"c=given/{file[0]}" if labelled else f"given/{file[0]}", *(["given/sound.jsonl"] if together else []))
        done = fuzz("odd", "texts", *paths, *options, "--dry-run", "--preset", "smoke")
        if done == 0:
            asked = dict(zip(options[::2], options[1::2], strict=True))
            spec = TextsSpec(
                paths=tuple(str(fuzz.folder / one) if "=" not in one else one for one in paths),
                **{name: asked.get(f"--{name}-column", default) for name, default in COLUMNS.items()},
            )
            out.mkdir(exist_ok=True)
            meta = texts.prepare(spec, 4, out)
            for label in meta.labels:
                texts.select(out, label, 8, 4, 0)
        with reported(str(path)):
            given_texts.read_all([str(path)])
        path.unlink()


@sizes(40, 200)
def test_corpora(fuzz: Fuzz, number: int) -> None:
    """Text to train on: read as a tokenizer, blocks and held-out documents are made of it."""
    tokenizer = TokenizerSpec(vocabulary=260, train_bytes=1000)

    @tries(number, text_files("odd", "odd.txt", "odd.jsonl", "odd.jsonl.gz"))
    def _(file: tuple[str, bytes]) -> None:
        path, out = fuzz.folder / file[0], fuzz.folder / "out"
        path.write_bytes(file[1])
        fuzz(path.name, "show", "seed_id", "--corpus", f"text:{file[0]}")
        out.mkdir(exist_ok=True)
        with reported(str(path), "the corpus is too small"):
            corpus = open_corpus(CorpusSpec(name=f"text:{path}", heldout_documents=2))
            tokens.prepare(corpus, tokenizer, context=8, blocks=1, heldout=2, folder=out)
        path.unlink()


@sizes(60, 300)
def test_submissions(fuzz: Fuzz, number: int) -> None:
    """A baseline's scores, which come with a pull request."""
    path = fuzz.folder / "results.json"
    sound, bundled = submission.read(resources.baselines() / "unigram" / "results.json"), registry.bundled()

    @tries(number, json_files(sound.model_dump_json(indent=1, by_alias=True)))
    def _(content: bytes) -> None:
        path.write_bytes(content)
        with reported(str(path)):
            found = submission.read(path)
            submission.ranking(found, bundled)
            submission.differences(sound, found)
