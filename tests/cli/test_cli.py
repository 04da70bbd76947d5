"""The command line as a user meets it: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from patience import PATIENCE

from natfp_bench.cli import main as cli
from natfp_bench.cli.examples import EXAMPLES


def test_lists_and_shows(natfp):
    code, out, _ = natfp("list")
    assert code == 0
    assert "seed_id" in out
    for what in ("baselines", "presets", "corpora"):
        assert natfp("list", what)[0] == 0
    code, out, _ = natfp("show", "init_seed_id", "--preset", "standard")
    assert code == 0
    assert "init2/r4" in out
    assert "time unknown" in out
    found = json.loads(natfp("show", "seed_id", "--preset", "paper", "--json")[1])
    assert min(variant["parameters"] for variant in found["variants"]) >= 1e8
    assert found["texts"] == 11_000


def test_prints_its_version(natfp):
    assert natfp("--version")[:2] == (0, f"natfp-bench {cli.__version__}\n")


def test_every_command_has_help(natfp):
    for command in (
        [],
        ["list"],
        ["show"],
        ["run"],
        ["texts"],
        ["compare"],
        ["leaderboard"],
        ["validate"],
        ["schema"],
        ["store", "gc"],
        ["store"],
        ["regress"],
        ["identify"],
        ["report"],
        ["export"],
        ["import-lm-eval"],
        ["baseline"],
        ["baseline", "submit"],
    ):
        code, out, _ = natfp(*command, "-h")
        assert (code, out) == natfp(*command, "--help")[:2]
        assert code == 0
        assert "Usage" in out
        assert "Examples:\n    natfp-bench " in out


@pytest.mark.parametrize("command", EXAMPLES)
def test_each_example_is_a_command_with_options_that_exist(natfp, command):
    for example in EXAMPLES[command]:
        words = example.split()
        called = words[: 2 if words[0] in ("baseline", "hidden", "store") else 1]
        assert not command or called == command.split()[: len(called)] or command.split() == called[:1]
        help_ = natfp(*called, "--help")[1]
        for option in (word for word in words if word.startswith("-")):
            assert f"{option} " in help_ or f"{option}," in help_, example


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--task", "sed_id"], ["unknown task 'sed_id'", "did you mean: seed_id", "natfp-bench list tasks"]),
        (["run"], ["no task is named"]),
        (["run", "--tag", "data"], ["tag 'data'", "datadecide_data_id", "--tag hub"]),
        (["run", "--tag", "sedes"], ["unknown tag 'sedes'", "did you mean: seeds"]),
        (["run", "--task", "seed_id", "--preset", "qick"], ["unknown preset 'qick'", "did you mean: quick"]),
        (["run", "--task", "seed_id", "--baseline", "unigrm"], ["unknown baseline 'unigrm'", "unigram"]),
        (["run", "--task", "seed_id", "--baseline", "./none"], ["no folder"]),
        (["run", "--task", "seed_id", "--corpus", "chronicl"], ["unknown corpus 'chronicl'", "chronicle"]),
        (["run", "--task", "seed_id", "--corpus", "text:none.txt"], ["no file 'none.txt'"]),
        (["run", "--task", "seed_id", "--device", "gpu"], ["unknown device 'gpu'"]),
        (["run", "--task", "seed_id", "--limit", "0"], ["--limit 0", "at least 8"]),
        (["run", "--task", "seed_id", "--limit", "-5"], ["--limit -5"]),
        (["run", "--task", "seed_id", "--seed", "-1"], ["--seed -1"]),
        (["run", "--task", "seed_id", "--workers", "0"], ["--workers 0"]),
        (["run", "--task", "seed_id", "--set", "optimizer.lr"], ["optimizer.lr", "KEY=VALUE"]),
        (["run", "--task", "seed_id", "--fixed-texts", "--corpus", "b"], ["--corpus cannot be", "with --fixed-texts"]),
        (["run", "--task", "seed_id", "--set", "optimizer.rl=1"], ["did you mean 'optimizer.lr'"]),
        (["run", "--task", "seed_id", "--set", "optimizer.lr=-1"], ["--set optimizer.lr=-1", "greater than 0"]),
        (["run", "--task", "seed_id", "--set", "budget.batch=two"], ["--set budget.batch=two", "integer"]),
        (["run", "--task", "seed_id", "--set", "seeds.init=3"], ["seed_id varies 'seeds.init'"]),
        (["run", "--task", "seed_id", "--include-path", "none"], ["no folder 'none'"]),
        (["run", "--task", "seed_id", "--store", "/dev/null/store"], ["/dev/null/store", "not writable"]),
        (["run", "--task", "seed_id", "--no-such-option"], ["--no-such-option"]),
        (["run", "seed_id"], ["run takes no argument 'seed_id'", "did you mean: --task seed_id\n"]),
        (["run", "--preset", "smoke", "seed_id", "null_id"], ["did you mean: --task seed_id,null_id\n"]),
        (["show", "seed_di"], ["did you mean: seed_id"]),
        (["show", "my_task"], ["unknown task 'my_task'", "--include-path FOLDER"]),
        (["show", "seed_id", "--preset", "mine"], ["unknown preset 'mine'", "--include-path FOLDER"]),
        (["list", "taks"], ["did you mean: tasks"]),
        (["schema", "results"], ["did you mean: result"]),
        (["leaderboard", "nowhere"], ["no results at 'nowhere'"]),
        (["validate", "nothing.yaml"], ["no file 'nothing.yaml'"]),
        (["store", "verify", "--store", "nowhere"], ["no store at nowhere"]),
    ],
)
def test_wrong_input_gets_one_message_and_exit_code_2(natfp, tmp_path, arguments, said):
    code, out, err = natfp(*arguments)
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    for part in said:
        assert part in err
    assert list(tmp_path.iterdir()) == []  # nothing is written on the way to an error


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--fixed-texts",), ("--engine", "ray")])
def test_a_gpu_that_is_not_there_is_missed_before_any_work(natfp, tmp_path, monkeypatch, more):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, out, err = natfp("run", "--task", "seed_id", "--device", "cuda", "--store", "store", *more)
    assert (code, out) == (2, "")
    assert "--device cuda: no CUDA device is visible" in err
    assert list(tmp_path.iterdir()) == []


def test_every_fault_of_a_task_is_named_with_its_line(natfp, tmp_path):
    folder = tmp_path / "tasks"
    folder.mkdir()
    text = (
        "task: two\nversion: 1\nsummary: Two factors.\nfactor:\n  name: both\n"
        "  fields: [optimizer.lr, model.width]\n  levels: {a: 1, b: 2}\nsettings:\n  modle: {layers: 3}\n"
    )
    (folder / "two.yaml").write_text(text)
    code, _, err = natfp("run", "--include-path", "tasks", "--task", "two")
    assert code == 2
    assert "tasks/two.yaml:6: two factors vary at once" in err
    assert "tasks/two.yaml:9: unknown setting 'modle.layers'" in err
    code, _, err = natfp("validate", "tasks/two.yaml")
    assert code == 1
    assert "tasks/two.yaml:6" in err


def test_validates_what_is_bundled(natfp):
    root = Path(cli.__file__).resolve().parents[2]
    files = [*(root / "tasks").glob("[!_]*.yaml"), *(root / "tasks" / "presets").glob("*.yaml")]
    code, out, err = natfp("validate", *files, *(root / "baselines").iterdir())
    assert code == 0, err
    assert out.count(": ok (") == len(files) + len(list((root / "baselines").iterdir()))


def test_an_unknown_corpus_is_named_with_the_preset_that_has_it(natfp, tmp_path):
    (tmp_path / "tasks" / "presets").mkdir(parents=True)
    quick = (Path(cli.__file__).resolve().parents[2] / "tasks" / "presets" / "quick.yaml").read_text()
    (tmp_path / "tasks" / "presets" / "mine.yaml").write_text(quick.replace("name: chronicle", "name: chronicl"))
    code, _, err = natfp("show", "lr_id", "--preset", "mine", "--include-path", "tasks")
    assert code == 2
    assert "unknown corpus 'chronicl' (did you mean 'chronicle'?)" in err
    for part in ("corpus.name", "lr_id", "preset mine"):
        assert part in err


def test_a_preset_without_a_summary_is_a_fault(natfp, tmp_path):
    (tmp_path / "tasks" / "presets").mkdir(parents=True)
    (tmp_path / "tasks" / "presets" / "bare.yaml").write_text("replicates: 2\n")
    code, _, err = natfp("list", "presets", "--include-path", "tasks")
    assert code == 2
    assert "tasks/presets/bare.yaml:1: missing key 'summary'" in err


def test_prints_schemas(natfp):
    for name in ("task", "preset", "card", "result", "curve", "identification"):
        assert "properties" in json.loads(natfp("schema", name)[1])


def test_a_dry_run_does_nothing(natfp, tmp_path):
    code, out, _ = natfp("run", "--task", "null_id", "--dry-run", "--store", "store")
    assert code == 0
    assert "to train: 1 models" in out
    assert list(tmp_path.iterdir()) == []


def test_a_tag_chooses_no_model_of_the_hub_unless_asked(natfp):
    code, out, err = natfp("run", "--tag", "seeds", "--preset", "smoke", "--dry-run", "--store", "store")
    assert code == 0
    assert "seed_id at preset smoke" in out
    assert "pythia" not in out
    assert "pythia_seed_id" in err
    code, out, err = natfp("run", "--tag", "hub", "--preset", "smoke", "--dry-run", "--store", "store")
    assert code == 0
    assert "pythia_seed_id at preset smoke" in out
    assert err == ""


def _command(tmp_path: Path, prose: Path, *more: str) -> list[str]:
    options = ["--preset", "smoke", "--corpus", f"text:{prose}", "--store", "store", "-o", "out"]
    return [sys.executable, "-m", "natfp_bench", "run", "--task", "null_id", "--baseline", "unigram", *options, *more]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(cli.__file__).resolve().parents[2])}


@pytest.mark.slow
def test_a_run_from_the_shell(tmp_path, prose, natfp):
    command = _command(tmp_path, prose)
    ran = subprocess.run(command, cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "ceiling" in ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr  # plain lines when piped
    again = subprocess.run(
        [*command, "--json"], cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=True
    )
    (result,) = json.loads(again.stdout)
    assert result["task"]["name"] == "null_id"
    assert result["run"]["seconds"].keys() == {"total"}  # nothing was made a second time
    code, out, _ = natfp("leaderboard", "out")
    assert code == 0
    assert len(re.findall(r"^ *ceiling +\d", out, re.MULTILINE)) == 1  # two results of one protocol are one board
    assert "sample" in natfp("store", "ls", "--store", "store")[1]
    assert natfp("store", "verify", "--store", "store")[0] == 0


@pytest.mark.slow
def test_a_compiled_run_ends_in_silence(tmp_path, prose):
    """What the compiler leaves behind in workers is nobody's business: Python would warn of it at the very end."""
    command = _command(tmp_path, prose, "--set", "numerics.compile=true", "--workers", "2")
    ran = subprocess.run(command, cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "leaked" not in ran.stderr
    assert "Warning" not in ran.stderr
    assert list((tmp_path / "store" / "compiled").iterdir())


@pytest.mark.slow
def test_ctrl_c_ends_all_and_the_next_run_goes_on(tmp_path, prose):
    command = _command(tmp_path, prose, "--set", "budget.tokens=600000")
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, cwd=tmp_path, env=_environment(), stderr=pipe, text=True, start_new_session=True
    )
    deadline = time.monotonic() + PATIENCE
    while not list((tmp_path / "store").glob("partial/*/checkpoint.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group gets it
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert "natfp-bench run --task null_id" in err
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert not alive
    ran = subprocess.run(command, cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("command", ["validate", "leaderboard", "texts", "show seed_id --include-path"])
def test_a_path_that_is_too_long_is_one_message(natfp: Any, command: str) -> None:
    code, _, err = natfp(*command.split(), "a" * 5000)
    assert code == 2
    said = err.removeprefix("reading tasks\n").removeprefix("reading the texts\n")
    assert said.startswith("error: aaaa")
    assert len(said) < 300
