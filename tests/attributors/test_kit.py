"""The module for authors of baselines, the digest of a baseline, and the folder of a new one."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from written_baselines import write

from natfp_bench.attributors import code_digest, kit, registry
from natfp_bench.attributors.new_baseline import new_baseline
from natfp_bench.base import resources
from natfp_bench.base.records import folder_digest

FROZEN = [
    *("AttributorError", "ClassModels", "END", "FUNCTION_WORDS", "Knowledge", "LogLinear", "NeuralClassifier", "PAD"),
    *("SequenceClassifier", "TextClassifier", "Trunk", "WIDTH_STEP", "apply_model", "batches", "build_bundled"),
    *("calibrate", "encode", "encode_rows", "epochs_over", "folds", "likeliest_trunk", "linear_schedule"),
    *(
        "load_trunk",
        "log_likelihoods",
        "pad",
        "permutation",
        "readable",
        "small_llama",
        "stratified_sample",
        "train_model",
    ),
    *("train_tokenizer", "word_types", "words"),
]


def test_names_are_frozen_and_each_has_a_line_in_the_docstring() -> None:
    assert kit.__all__ == dir(kit) == FROZEN
    lines = re.findall(r"^- ((?:`\w+`(?:, )?)+):", kit.__doc__ or "", re.MULTILINE)
    assert sorted(name.strip("`") for line in lines for name in line.split(", ")) == FROZEN
    for name in FROZEN:
        assert getattr(kit, name) is getattr(sys.modules[kit.HOMES[name]], name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        kit.nothing  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(kit.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    assert sorted(alias.asname or "" for node in block.body for alias in node.names) == FROZEN  # type: ignore[attr-defined]


def test_a_name_loads_its_libraries_when_it_is_used() -> None:
    script = (
        "import sys; from natfp_bench.attributors.kit import words, permutation, AttributorError\n"
        "print([m for m in ('torch', 'sklearn', 'scipy', 'tokenizers') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


def test_bundled_baselines_and_the_template_import_from_the_kit_alone() -> None:
    template = Path(registry.__file__).parent / "template"
    sources = [*resources.baselines().rglob("*.py"), *template.glob("*.py.txt")]
    lines = [line for source in sources for line in source.read_text().splitlines() if "natfp_bench" in line]
    assert len(lines) >= 10
    assert {line.split(" import ")[0] for line in lines} == {"from natfp_bench.attributors.kit"}


# The digest of a baseline


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's source files, to be edited."""
    copied = shutil.copytree(code_digest.PACKAGE, tmp_path / "copy" / "natfp_bench")
    monkeypatch.setattr(code_digest, "PACKAGE", copied)
    return copied


def changed(package: Path, file: str, *, among: list[str]) -> list[str]:
    """The bundled baselines whose digest changes with a source file of the package."""
    before = {name: registry.find(name)[0].digest for name in among}
    with (package / file).open("a") as source:
        source.write("\n# edited\n")
    return [name for name in among if registry.find(name)[0].digest != before[name]]


def test_a_changed_helper_changes_the_digest_of_who_uses_it_and_of_nobody_else(package: Path) -> None:
    names = [baseline.name for baseline in registry.bundled()]
    linear = [
        "char_ngram",
        "compression",
        "ensemble",
        "hybrid_lm",
        "mixture_lm",
        "ngram_lm",
        "stylometry",
        "unigram",
        "word_ngram",
    ]
    neural = [
        "corpus_lm",
        "encoder_finetune",
        "hybrid_lm",
        "mixture_lm",
        "origin_lm",
        "pooled_lm",
        "recipe_lm",
        "surrogate_lm",
        "transformer",
    ]
    assert changed(package, "attributors/text_classifier.py", among=names) == linear
    assert changed(package, "attributors/neural_text.py", among=names) == neural
    assert changed(package, "corpus/words.py", among=names) == ["stylometry", "word_ngram"]
    # Helpers use helpers: everyone who draws at random uses streams.
    assert changed(package, "base/streams.py", among=names) == sorted({*linear, *neural, "naive_bayes"})
    assert changed(package, "attributors/kit.py", among=names) == []
    assert changed(package, "attributors/contract.py", among=names) == []


def test_a_baseline_without_our_code_has_the_digest_of_its_folder(tmp_path: Path) -> None:
    majority = registry.find("majority")[0]
    assert majority.digest == folder_digest(majority.folder, without={"results.json"})
    folder = write(tmp_path, "def build(seed): return 3")
    plain = registry.read(folder).digest
    assert plain == folder_digest(folder)
    (folder / "results.json").write_text("{}")
    assert registry.read(folder).digest == plain


@pytest.mark.parametrize(
    ("code", "file"),
    [
        ("from natfp_bench.attributors.kit import words", "corpus/words.py"),
        ("from natfp_bench.corpus.words import words", "corpus/words.py"),
        ("from natfp_bench.corpus import words", "corpus/words.py"),
        ("import natfp_bench.corpus.words", "corpus/words.py"),
        ("def build(seed):\n    from natfp_bench.attributors.kit import TextClassifier", "base/streams.py"),
        ("from natfp_bench.corpus import chronicle", "corpus/chronicle/__init__.py"),
        ("from natfp_bench.attributors import kit", "corpus/words.py"),
        ("import natfp_bench.attributors.kit as kit", "corpus/words.py"),
        ("from natfp_bench.attributors.kit import *", "corpus/words.py"),
    ],
)
def test_every_way_to_import_is_seen(package: Path, tmp_path: Path, code: str, file: str) -> None:
    folder = write(tmp_path, "from .part import x")
    (folder / "part.py").write_text(code)
    before = registry.read(folder).digest
    with (package / file).open("a") as source:
        source.write("\n# edited\n")
    assert registry.read(folder).digest != before


@pytest.mark.parametrize(
    "code",
    [
        "from natfp_bench.no_such import thing",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from natfp_bench.corpus import words",
        "from natfp_bench.corpus import words\nthis is no Python",
        "x = 1\x00",
        "from . import natfp_bench",
        "import natfp_benchmark, os",
    ],
)
def test_code_that_does_not_run_or_is_not_ours_does_not_count(tmp_path: Path, code: str) -> None:
    folder = write(tmp_path, code)
    assert registry.read(folder).digest == folder_digest(folder)


# The folder of a new baseline


def test_a_new_baseline_is_three_files_that_work(tmp_path: Path) -> None:
    folder = new_baseline("my_words", tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "baseline.py", "card.yaml"]
    assert (folder / "README.md").read_text().startswith("# my_words\n")
    assert type(registry.build(registry.read(folder), 0)).__name__ == "TextClassifier"
