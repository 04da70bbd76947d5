"""Shared fixtures. All tests run offline, and each has its own store."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# docs/hub.md: the tests of the network alone may reach it, where the user says so.
if os.environ.get("NATFP_NETWORK") != "1":
    os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# As many processes as cores run tests at a time: more threads in each would wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A sandbox takes two seconds a fit: tests of it ask for it.
os.environ["NATFP_SANDBOX"] = "off"

import pytest
from bench import BRIEF, Bench, gathered
from checkpoints import ARCHITECTURES, save

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so do all its children: the tests of Ctrl-C would fail there.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if TYPE_CHECKING:
    from natfp_bench.plan.settings import Settings


LONGEST = (
    *("whole/test_fuzz.py", "whole/test_chaos.py", "pipeline/test_contract_suite.py", "pipeline/test_ray.py"),
    *("results/test_submission.py", "whole/test_controls.py", "models/test_sampler.py", "whole/test_validity.py"),
    *("cli/test_cli.py", "pipeline/test_resume.py", "report/test_report_browser.py", "models/test_loss.py"),
    *("whole/test_performance.py", "attributors/test_neural_baselines.py", "python/test_notebooks.py"),
)
"""Files of the longest slow tests, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first, so that no process works alone at the end; other files keep their order."""
    tests = Path(__file__).parent
    places = {tests / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may touch the user's store."""
    monkeypatch.setenv("NATFP_STORE", str(tmp_path / "default-store"))


@pytest.fixture(scope="session")
def prose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file of a few hundred kilobytes of random sentences, the same on every machine."""
    from natfp_bench.base import streams

    parts = [
        "the miller|a sailor|her brother|the old judge|every child|a tall stranger|the baker|our neighbour",
        "sold|found|carried|lost|painted|remembered|broke|praised|hid|counted",
        "a boat|the red lamp|two horses|his letter|the stone bridge|an apple|seven coins|the map|her song",
        "in the harbour|by the river|at dawn|near the church|before winter|under the oak|on Sunday",
    ]
    subjects, verbs, objects, places = (part.split("|") for part in parts)
    words = streams.raw(4 * 5 * 4000, "tests", "prose").reshape(4000, 5, 4)
    documents = []
    for document in words:
        sentences = [
            " ".join(
                part[int(word % len(part))] for part, word in zip((subjects, verbs, objects, places), row, strict=True)
            )
            for row in document.tolist()
        ]
        documents.append(" ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences))
    path = tmp_path_factory.mktemp("prose") / "prose.txt"
    path.write_text("\n\n".join(documents), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny(prose: Path) -> Settings:
    """Settings of a model that trains in about a second: width 32, two layers, 40 steps."""
    from natfp_bench.plan.settings import Settings

    return Settings.model_validate(
        {
            "corpus": {"name": f"text:{prose}", "heldout_documents": 30},
            "tokenizer": {"vocabulary": 300, "train_bytes": 100_000},
            "model": {"width": 32, "layers": 2, "heads": 2, "feed_forward": 64, "context": 32},
            "optimizer": {"lr": 4e-3},
            "schedule": {"warmup_tokens": 1024},
            "budget": {"tokens": 8 * 32 * 40, "batch": 8},
            "sampling": {"texts": 40, "max_tokens": 16, "block": 20},
        }
    )


@pytest.fixture(scope="session")
def tiny_corpus(tiny: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that `tokens.prepare` writes from `prose` for `tiny`."""
    from natfp_bench.corpus import tokens
    from natfp_bench.corpus.open_corpus import open_corpus

    folder = tmp_path_factory.mktemp("tiny-corpus")
    blocks, heldout = tiny.steps * tiny.budget.batch, tiny.corpus.heldout_documents
    corpus = open_corpus(tiny.corpus)
    tokens.prepare(corpus, tiny.tokenizer, context=tiny.model.context, blocks=blocks, heldout=heldout, folder=folder)
    return folder


@pytest.fixture(scope="session")
def checkpoints(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints: three architectures, two seeds each."""
    root = tmp_path_factory.mktemp("checkpoints")
    for architecture in ARCHITECTURES:
        for seed in (1, 2):
            save(root / f"{architecture}-seed{seed}", tiny_corpus, architecture, seed)
    return root


@pytest.fixture(scope="session")
def tiny_model(tiny: Settings, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint folder of `tiny`, trained."""
    import torch

    from natfp_bench.models import train

    folder = tmp_path_factory.mktemp("tiny-model")
    train.train(train.TrainingJob(tiny, 0, tiny_corpus, folder, folder / "partial"), torch.device("cpu"))
    return folder


@pytest.fixture
def natfp(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Call the command line in this process, in tmp_path: returns (exit code, standard output, standard error)."""
    from natfp_bench.cli import main as cli

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["natfp-bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        code = end.value.code
        return (code if isinstance(code, int) else 0 if code is None else 1), captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def bench(prose: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The store and the workers that all tests of whole runs share."""
    processes = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        processes = processes.parent
    made = Bench(tmp_path_factory.mktemp("bench"), prose, processes / "common")
    yield made
    made.engine.close()


@pytest.fixture(scope="session")
def seed_run(bench: Bench) -> Any:
    """Result and folder of one run of `seed_id`."""
    return bench.run_once("seed_id")


RATE = """\
task: rate
version: 1
summary: Three peak learning rates in three replicates, small enough for the tests.
replicates: 3
factor:
  name: peak learning rate
  ordered: true
  fields: [optimizer.lr]
  levels: {low: x0.25, middle: x1, high: x4}
"""
"""A task whose levels are not in alphabetical order."""


@pytest.fixture(scope="session")
def rate_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the task `rate`."""
    folder = tmp_path_factory.mktemp("rate-tasks")
    (folder / "rate.yaml").write_text(RATE)
    return folder


@pytest.fixture(scope="session")
def rate_evidence(bench: Bench, rate_tasks: Path) -> Any:
    """Evidence, result and folder of one brief run of `rate`, which identifies levels on held-out replicates."""
    baselines = "majority,naive_bayes,unigram"
    return gathered(bench, "rate", include=[rate_tasks], overrides=BRIEF, baselines=baselines)


@pytest.fixture(scope="session")
def evidence(rate_evidence: Any) -> Any:
    """Evidence of one brief run of `rate`."""
    return rate_evidence[0]


@pytest.fixture(scope="session")
def result(rate_evidence: Any) -> Any:
    """Result of one brief run of `rate`."""
    return rate_evidence[1]


@pytest.fixture(scope="session")
def rate_run(rate_evidence: Any) -> Any:
    """Result and folder of one brief run of `rate`."""
    return rate_evidence[1:]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount small file systems in memory; skip the test if that is not permitted."""
    import shutil
    import subprocess

    points: list[Path] = []

    def mount(options: str) -> Path:
        point = tmp_path / f"disk{len(points)}"
        point.mkdir()
        program = shutil.which("mount")
        command = [str(program), "-t", "tmpfs", "-o", options, "tmpfs", str(point)]
        if program is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a tmpfs is not permitted here")
        points.append(point)
        return point

    yield mount
    for point in points:
        subprocess.run(["umount", str(point)], check=True)
