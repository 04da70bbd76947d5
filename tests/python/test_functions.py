"""The functions of `import natfp_bench`: what the commands do, with lists where these take commas."""

from __future__ import annotations

import builtins
import inspect
import shutil
import sys
import traceback
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from bench import FEW, files
from fresh_python import python

import natfp_bench
from natfp_bench import api
from natfp_bench.base.errors import UserError
from natfp_bench.cli import identify as identify_cli
from natfp_bench.cli import run as run_cli
from natfp_bench.python import progress
from natfp_bench.python import run as run_module
from natfp_bench.python.finished import Result, Results


@pytest.fixture
def how(bench: Any, tmp_path: Path) -> dict[str, Any]:
    """Arguments of a run that finds its models in the store."""
    shared = {"preset": "smoke", "corpus": f"text:{bench.corpus}", "baselines": FEW.split(",")}
    return {**shared, "store": bench.store, "output": tmp_path / "results", "workers": 1, "device": "cpu"}


def test_one_name_gives_one_result_and_a_list_a_collection(how: dict[str, Any], seed_run: Any, capsys: Any) -> None:
    one = natfp_bench.run("seed_id", **how)
    assert isinstance(one, Result)
    assert one.stable_json() == seed_run[0].stable_json()
    assert one.path.is_relative_to(how["output"])
    assert one.store == how["store"]
    said = capsys.readouterr()
    assert (said.out, said.err.splitlines()[0]) == ("", "seed_id (smoke): 4 variants, 200 texts each")
    several = natfp_bench.run(["seed_id"], progress=False, **how)
    assert isinstance(several, Results)
    assert [result.stable_json() for result in several] == [one.stable_json()]
    assert capsys.readouterr() == ("", "")


def test_what_a_run_warns_of_is_a_python_warning(how: dict[str, Any], seed_run: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(how["store"], store)
    how = {**how, "store": store}
    (files(store, "corpus", seed_run[0])[0].parent / "foreign").touch()
    with pytest.warns(UserWarning, match="foreign file foreign"):
        assert natfp_bench.run("seed_id", **how).stable_json() == seed_run[0].stable_json()


def test_a_failed_attributor_is_a_warning_and_the_result_has_the_others(how: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(Path(natfp_bench.__file__).parents[1] / "baselines/majority", folder)
    card = (folder / "card.yaml").read_text(encoding="utf-8").replace("majority", "broken")
    (folder / "card.yaml").write_text(card, encoding="utf-8")
    (folder / "baseline.py").write_text("def build(seed):\n    raise ValueError('broken on purpose')\n")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        result = natfp_bench.run("seed_id", **{**how, "baselines": ["naive_bayes", folder]}, progress=False)
    (said,) = [str(one.message) for one in seen if str(one.message).startswith("seed_id: broken failed: ")]
    assert "broken on purpose" in said
    assert "failed: broken failed" in result._repr_html_()
    assert list(result.to_frame().query("status == 'failed'").attributor.unique()) == ["broken"]


def test_wrong_input_is_one_message_without_noise(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown task 'sed_id'\n  did you mean: seed_id") as error:
        natfp_bench.run("sed_id", output=tmp_path)
    frames = [frame.name for frame in traceback.extract_tb(error.value.__traceback__)]
    assert len(frames) == 2, "this test, and the function"
    assert error.value.__cause__ is None
    shown = error.value._render_traceback_()  # type: ignore[attr-defined]
    assert shown[:2] == ["UserError: unknown task 'sed_id'", "  did you mean: seed_id"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: natfp_bench.run("all"), r"give a list: run\(\['all'\]\)"),
        (lambda: natfp_bench.run("seed_id", tags=["seeds"]), "several tasks"),
        (lambda: natfp_bench.run(), "no task is named"),
        (lambda: natfp_bench.run("seed_id", workers=0), "workers 0"),
        (lambda: natfp_bench.run("seed_id", baselines=["unigrm"]), "unigrm"),
        (lambda: natfp_bench.run("seed_id", device="gpu"), "unknown device 'gpu'"),
        (lambda: natfp_bench.run(tags=["sedes"]), "unknown tag 'sedes'"),
        (lambda: natfp_bench.run("seed_id", fixed_texts=True, preset="smoke"), "cannot be combined with fixed_texts"),
        (lambda: natfp_bench.run("seed_id", fixed_texts=True, seed=1), "cannot be combined with fixed_texts"),
        (lambda: natfp_bench.run("seed_id", fixed_texts=True, limit=100), "cannot be combined with fixed_texts"),
        (lambda: natfp_bench.run("lr_id", settings={"optimizer.lr": 0.1}), "optimizer.lr"),
        (lambda: natfp_bench.run_texts("nowhere.jsonl"), "nowhere.jsonl"),
        (lambda: natfp_bench.load_results("nowhere"), "no results at 'nowhere'"),
        (lambda: natfp_bench.leaderboard("nowhere"), "no results at 'nowhere'"),
        (lambda: natfp_bench.report("nowhere", "site"), "no results at 'nowhere'"),
        (lambda: natfp_bench.report(output=None), "say what to write"),
        (lambda: natfp_bench.report(only=["x"]), "needs figures=FOLDER"),
        (lambda: natfp_bench.identify("nowhere"), "no text is given"),
        (lambda: natfp_bench.identify("nowhere", ["a", " "]), "text:2 is empty"),
        (lambda: natfp_bench.identify("nowhere", "a", target="levl"), "unknown target 'levl'"),  # type: ignore[arg-type]
        (lambda: natfp_bench.identify("nowhere", "a", baseline="fast"), "names .* baselines"),
    ],
)
def test_mistakes_are_refused(call: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        call()
    assert not list(tmp_path.iterdir())


def test_tags_and_tasks_of_the_hub(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(run_module, "_run", lambda plans, note, **how: (asked.append((plans, note)), Results())[1])
    natfp_bench.run(["lr_id"], tags=["seeds"], preset="smoke")
    ((plans, note),) = asked
    assert {"lr_id", "seed_id"} <= {plan.task.name for plan in plans}
    assert "left out, because they need models of the Hub, or models or text of yours: " in note
    assert "pythia_seed_id" in note


def test_texts_that_exist(tmp_path: Path, capsys: Any) -> None:
    for label, word in (("a", "river"), ("b", "winter")):
        rows = "\n\n".join(f"{word} and text number {i}" for i in range(80))
        (tmp_path / f"{label}.txt").write_text(rows, encoding="utf-8")
    result = natfp_bench.run_texts(
        [tmp_path / "a.txt", tmp_path / "b.txt"],
        preset="smoke",
        baselines="naive_bayes",
        store=tmp_path / "store",
        output=tmp_path / "results",
        workers=1,
    )
    assert result.factor.levels == ("a", "b")
    best = result.to_frame().query("attributor == 'naive_bayes'").accuracy
    assert best.min() == 1.0
    assert sorted(result.texts().label.unique()) == ["a", "b"]
    with pytest.raises(UserError, match="has texts, and no models"):
        result.models()


def test_identify_takes_texts_and_files(
    bench: Any, seed_run: Any, natfp: Any, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "local_engine", lambda _: bench.engine)
    (result,) = natfp_bench.load_results(seed_run[1], store=bench.store)
    own = result.texts().query("variant == 'seed1/r0' and split == 'test' and text != ''").text.head(3).tolist()
    path = tmp_path / "one.txt"
    path.write_text(own[0], encoding="utf-8")
    found = natfp_bench.identify(result, own[1:], files=[path], baseline="naive_bayes")
    assert [(one.file, one.row) for one in found.texts] == [("text", 1), ("text", 2), (str(path), None)]
    assert capsys.readouterr().out == ""
    assert len(repr(found)) < 200
    assert "note: " in found._repr_html_()
    again = natfp_bench.identify(seed_run[1], own[0], store=bench.store, baseline="naive_bayes", progress=False)
    code, out, _ = natfp("identify", "--result", seed_run[1], "--store", bench.store, "--baseline", "naive_bayes", path)
    assert code == 0
    assert identify_cli.p_value(again.texts[0].p) in out
    assert again.texts[0].most_likely in out


def test_a_leaderboard_skips_what_is_damaged(seed_run: Any, rate_run: Any, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{")
    with pytest.warns(UserWarning, match="skipped: .*damaged, not JSON"):
        found = natfp_bench.leaderboard([tmp_path, seed_run[1], str(rate_run[1])])
    assert len(found.faults) == 1
    assert repr(found).endswith(" 1 fault>")
    html = found._repr_html_()
    assert "factors: on what evidence?" in html
    assert "skipped: " in html
    with pytest.warns(UserWarning, match="skipped"), pytest.raises(UserError, match="no results found"):
        natfp_bench.leaderboard(tmp_path)


def test_a_report_is_the_site_of_the_command(seed_run: Any, bench: Any, natfp: Any, tmp_path: Path) -> None:
    results = natfp_bench.load_results(seed_run[1], store=bench.store)
    page = natfp_bench.report(results, tmp_path / "site", store=bench.store)
    assert page == tmp_path / "site/index.html"
    assert "called from Python" in page.read_text(encoding="utf-8")
    code, _, err = natfp("report", seed_run[1], "-o", tmp_path / "other", "--store", bench.store)
    assert code == 0, err
    names = [sorted(path.name for path in (tmp_path / of).rglob("*")) for of in ("site", "other")]
    assert names[0] == names[1]
    figures = natfp_bench.report(results[0], None, figures=tmp_path / "figures", only=["*length"], store=bench.store)
    assert {path.suffix for path in figures.iterdir()} == {".svg", ".pdf", ".json"}
    with pytest.raises(UserError, match="holds files that belong to no report"):
        natfp_bench.report(results, tmp_path / "other/..", store=bench.store)


def test_the_room_of_the_report_can_be_called_whatever_was_imported_first(tmp_path: Path) -> None:
    code = "import natfp_bench{}; print(callable(natfp_bench.report)); from natfp_bench.report import table"
    for first in ("", ", natfp_bench.report", ", natfp_bench.report.charts"):
        assert python("-c", code.format(first), folder=tmp_path).strip() == "True"
    assert list(inspect.signature(natfp_bench.report).parameters)[:2] == ["results", "output"]
    assert "Make a static site" in str(type(natfp_bench.report).__call__.__doc__)


def test_defaults_are_those_of_the_command_line() -> None:
    """Options that both have, by the name that they have in Python."""

    def defaults(command: Any) -> dict[str, Any]:
        return {name: of.default for name, of in inspect.signature(command).parameters.items()}

    other = {"baseline": "baselines", "tag": "tags", "set_": "settings", "fixed": "fixed_texts"}
    not_here = {"context", "parity_tasks", "dry_run", "as_json", "texts", "details"}
    cli = {other.get(name, name): value for name, value in defaults(run_cli.run).items() if name not in not_here}
    own, texts = defaults(natfp_bench.run), defaults(natfp_bench.run_texts)
    for name, value in cli.items():
        found = own[name] if name in own else texts[name]
        assert (found or None) == (str(value) if isinstance(value, Path) else value or None), name
    assert set(own) - set(cli) == {"progress"}


@pytest.mark.parametrize("widgets", [True, False])
def test_progress_in_notebooks(widgets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars are a widget if ipywidgets is there, else there are lines; rich knows a notebook by its shell."""
    shell = type("ZMQInteractiveShell", (), {})
    monkeypatch.setattr(builtins, "get_ipython", lambda: shell(), raising=False)
    monkeypatch.setattr(progress, "find_spec", lambda _: SimpleNamespace() if widgets else None)
    drawn: list[Any] = []
    shown: list[str] = []

    class Output:
        """A widget, and where what is printed goes meanwhile."""

        def clear_output(self, **_: Any) -> None:
            drawn.append(self)

        def close(self) -> None: ...

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    def display(made: Any) -> None:
        shown.append("bar" if isinstance(made, Output) else made._repr_mimebundle_([], [])["text/plain"])

    for name, members in {"IPython.display": {"display": display}, "ipywidgets": {"Output": Output}}.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    with progress.watching(shown=True) as (say, _):
        say("seed_id (smoke)")
    assert bool(drawn) is widgets
    assert "seed_id (smoke)\n" in shown
    assert ("bar" in shown) is widgets


def test_warnings_are_kept_where_progress_is_not_shown() -> None:
    event = SimpleNamespace(kind="warning", text="a worker died")
    with progress.watching(shown=False) as (say, watch):
        say("nothing")
        watch(SimpleNamespace(kind="start"))  # type: ignore[arg-type]
        with pytest.warns(UserWarning, match="a worker died"):
            watch(event)  # type: ignore[arg-type]


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "run_plans", interrupted)
    with pytest.raises(KeyboardInterrupt):
        natfp_bench.run("seed_id", preset="smoke", output=tmp_path)
    assert capsys.readouterr().err.endswith("To go on, run the same call again\n")


@pytest.mark.slow
def test_a_sweep_gives_its_results_and_their_trends(how: dict[str, Any], seed_run: Any) -> None:
    settings = {"sampling.texts": 60, "analysis.transfer": False, "schedule.name": "constant"}
    over = {"budget.tokens": ["x0.25", "x0.5", 61_440]}
    results = natfp_bench.sweep("seed_id", over, settings=settings, progress=False, **how)
    assert isinstance(results, Results)
    assert [result.variants[0].tokens_trained for result in results] == [15_360, 30_720, 61_440]
    (trend,) = natfp_bench.trends(results)
    assert [len(line.points) for line in trend.lines if line.against == "tokens"] == [3, 3, 3]
    with pytest.raises(UserError, match=r"varies .seeds\.init. itself"):
        natfp_bench.sweep("seed_id", {"seeds.init": [1, 2]}, progress=False, **how)


@pytest.mark.slow
def test_a_curve_is_its_record_and_shows_itself(how: dict[str, Any], seed_run: Any) -> None:
    how = {**how, "baselines": ["naive_bayes"]}
    found = natfp_bench.curve("seed_id", [20, 40, 150], progress=False, **how)
    assert found.path.is_relative_to(how["output"])
    table = found.to_frame()
    assert list(table.texts) == [20, 40, 150]
    (known,) = [one for one in seed_run[0].scores if one.attributor.name == "naive_bayes"]
    assert table.accuracy.iloc[-1] == known.metrics["accuracy"].value
    assert found.figure().to_dict()["datasets"]
    with pytest.raises(UserError, match="unknown figure"):
        found.figure("bits")
    assert "half of the ceiling" in found._repr_html_()
    assert repr(found).startswith("<Curve of seed_id (smoke): 20, 40, 150 texts per model; ")
    with pytest.raises(UserError, match="must be larger"):
        natfp_bench.curve("seed_id", [40, 20], progress=False, **how)
