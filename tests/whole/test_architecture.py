"""What holds the package together: the order of imports, what starting up costs, and the public names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fresh_python import HEAVY, loaded, loaded_by

import natfp_bench

PACKAGE = Path(natfp_bench.__file__).parent

ROOMS = {
    "base": """errors text markdown records limits rungs progress streams resources environment disk yaml_source
        yaml_records""",
    "plan": """fields descent text_settings settings defaults crossing task_files sources plan history ancestors
        make_plan models_plan sweep split curve""",
    "corpus": """chronicle metas text_files labelled_texts plan_from_texts catalogue documents text_corpora
        hub_corpora open_corpus tokens words""",
    "models": """metas model optimizers compiled loss heldout derive training_state vocabulary narrow sampler sample
        rewrite checkpoint_files probe olmo_layout gguf_files checkpoint tune train lm_eval_backend
        lm_eval_scores""",
    "statistics": """intervals paired per_text discrimination metrics ceiling open_set replication trees group_test
        wording token_evidence crossed curves reading power_law phases texts_needed candidates verification
        dilution""",
    "attributors": """kit code_digest transforms familiarity knowledge registry new_baseline attribute text_classifier
        neural_text class_models planted planted_knowledge contract box_messages system_calls sandbox boxed
        box study factor_test""",
    "pipeline": """result result_files curve_result prediction_columns engine job_output allocator warm worker
        local_engine ray_engine store lineage stages.stage stages.sample stages.rewritten stages.variant stages.score
        stages.knowledge stages.prediction stages.curve stages.canaries stages.studies stages.verification
        stages.given_likelihood stages.left_out stages.parity stages.trained stages.taught stages.derived
        sources.kind sources.train sources.checkpoint sources.finetune sources.lm_eval sources.texts
        workbench variants evidence schedule ladder wanted bundled_texts scoring score_checks readings
        crossed_study verification dilution factor_study assemble run overview curve check_models
        contract_suite""",
    "results": """predictions protocols over_models leaderboard trend_points trends many regression_reference
        regression origin distances comparison unlabelled_texts identification identify descent trace
        submission suspicion hidden validate_files export lm_eval_export lm_eval_import evaluate_metrics""",
    "api": "",
    "report": """table crossed_words verification_words dilution_words trace_words finding reading_tables
        result_tables leaderboard_tables corpora_table markdown regression_formats drawing charts
        many_tables trend_tables trend_figures study_figures curve_tables curve_figures crossed_figures
        trend_document figures published_work descent_words descent_figures main_figure hidden_table glossary page_texts
        pages site""",
    "cli": """text_table terminal overview console progress options examples look running run sweep curve texts
        compare leaderboard regress descent identify trace report export check_models baseline hidden store
        main""",
    "python": "frames html progress finished answers run ask trace",
    "__main__": "",
}
"""Reading order: a room imports only rooms before it, and a module only modules of its room before it."""

PLACES = [(room, module) for room, modules in ROOMS.items() for module in modules.split() or [""]]

WHOLE = ("corpus.chronicle", "report.pages")
"""Subpackages whose files know each other, and so have one place."""


def place_of(parts: Sequence[str]) -> tuple[str, str]:
    """The place of a module, given its names below the package: its room, and where it stands in it."""
    room, *inside = parts
    if inside and f"{room}.{inside[0]}" in WHOLE:
        return room, inside[0]
    return room, ".".join(inside)


def _place(path: Path) -> tuple[str, str]:
    return place_of(path.relative_to(PACKAGE).with_suffix("").parts)


FILES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py" or _place(path)[1] in ("chronicle", "pages")
]


def _checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports that can run, at the top of a file and inside functions alike."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
    left = node.orelse if isinstance(node, ast.If) and _checking(node.test) else ast.iter_child_nodes(node)
    for child in left:
        yield from _imports(child)


def known_place(names: Sequence[str]) -> tuple[str, str]:
    """The longest beginning of imported names that is a place: what follows is inside of a module."""
    for length in range(len(names), 0, -1):
        if (place := place_of(names[:length])) in PLACES:
            return place
    return place_of(names[:2] or ["__init__"])


def imported(source: str, package: tuple[str, ...]) -> Iterator[tuple[tuple[str, str], int]]:
    """Places in natfp_bench that a file of a package (`("natfp_bench", "base")`) imports, each with its line."""
    for node in _imports(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        else:
            base = list(package[: len(package) + 1 - node.level]) if node.level else []
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        for name in names:
            if name[0] == "natfp_bench":
                yield known_place(name[1:]), node.lineno


def test_the_scan_sees_every_way_to_import() -> None:
    source = """
from typing import TYPE_CHECKING
from . import spec
from .plan import Plan
import natfp_bench.pipeline.store as s, os
from natfp_bench import __version__
from natfp_bench.models import train
from natfp_bench.models.train import TrainingJob
if TYPE_CHECKING:
    from natfp_bench.cli import main
else:
    from natfp_bench.base.errors import NatfpError
def f():
    if True:
        from natfp_bench.api import run
"""
    found = [place for place, _ in imported(source, ("natfp_bench", "plan"))]
    assert found == [
        ("plan", "spec"),
        ("plan", "plan"),
        ("pipeline", "store"),
        ("__version__", ""),
        ("models", "train"),
        ("models", "train"),
        ("base", "errors"),
        ("api", ""),
    ]


def test_every_module_has_its_place() -> None:
    assert sorted(PLACES) == sorted({_place(path) for path in FILES})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_reading_order(path: Path) -> None:
    place = _place(path)
    package = ("natfp_bench", *path.relative_to(PACKAGE).parts[:-1])
    # Files of one subpackage know each other.
    inside = [place] if len(package) > 2 else []
    earlier = {*PLACES[: PLACES.index(place)], *inside, ("__version__", "")}
    wrong = [
        f"{path.name}:{line}: {'.'.join(found)}"
        for found, line in imported(path.read_text(), package)
        if found not in earlier
    ]
    assert wrong == []


def test_contributing_lists_the_rooms_in_this_order() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text().split("## Where things are")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ((?:`[\w.]+` ?)+) \|$", text, re.MULTILINE)
    listed = {room: " ".join(re.findall(r"[\w.]+", modules)) for room, modules in rows}
    assert list(listed.items()) == [(room, " ".join(modules.split())) for room, modules in ROOMS.items() if modules]


def test_the_probe_sees_what_isloaded(tmp_path: Path) -> None:
    assert loaded("import scipy", tmp_path) == ["scipy"]


def test_import_is_cheap(tmp_path: Path) -> None:
    assert loaded("import natfp_bench", tmp_path) == []


def test_a_result_is_read_without_attributors(tmp_path: Path) -> None:
    code = "import natfp_bench.results.predictions"
    assert loaded(code, tmp_path, ("natfp_bench.statistics", "natfp_bench.attributors", *HEAVY)) == [
        "natfp_bench.statistics"
    ]


@pytest.mark.parametrize(
    "arguments", ["--help", "list", "list presets", "list baselines", "list corpora", "show seed_id", "schema task"]
)
def test_commands_that_only_look_are_cheap(arguments: str, tmp_path: Path) -> None:
    assert loaded_by(*arguments.split(), folder=tmp_path) == []


@pytest.mark.parametrize("arguments", ["--help", "list", "list presets", "list baselines"])
def test_a_list_needs_no_arrays(arguments: str, tmp_path: Path) -> None:
    assert loaded_by(*arguments.split(), folder=tmp_path, among=("numpy", "pyarrow")) == []


def test_the_leaderboard_is_cheap(tmp_path: Path, seed_run: Any) -> None:
    assert loaded_by("leaderboard", seed_run[1], folder=tmp_path) == []
    (tmp_path / "results").mkdir()
    assert loaded_by("leaderboard", folder=tmp_path, code=2) == []


def test_public_names_are_frozen() -> None:
    public = (
        "Attributor Result Results UserError __version__ ceiling curve distances evaluate_module identify leaderboard"
    )
    public += " load_results load_task metrics report run run_texts sweep trace trends"
    assert natfp_bench.__all__ == public.split()
    assert set(natfp_bench.__all__) <= set(dir(natfp_bench))
    for name in natfp_bench.__all__:
        value = getattr(natfp_bench, name)
        assert value is not None
        assert isinstance(value, str) or value.__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        natfp_bench.nothing  # noqa: B018
    assert (PACKAGE / "py.typed").is_file()


def _calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Calls in a file, each with the last part of the name that is called."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", "")), node


def _opens_text(name: str, call: ast.Call) -> bool:
    """Whether a call opens a file as text."""
    if name != "open":
        return name in ("read_text", "write_text")
    # Of a path, `open` has one plain argument at most; of a store, it has two.
    of_path = isinstance(call.func, ast.Name) or len(call.args) < 2
    binary = ast.unparse(call.func) == "gzip.open" or any("b" in str(getattr(one, "value", "")) for one in call.args)
    return of_path and not binary


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_text_is_utf_8_in_every_locale(path: Path) -> None:
    opened = [(name, call) for name, call in _calls(path) if _opens_text(name, call)]
    assert [call.lineno for _, call in opened if all(k.arg != "encoding" for k in call.keywords)] == []


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda path: path.name)
def test_one_module_prints(path: Path) -> None:
    """Texts may come from anywhere, and one module knows how to show them."""
    printing = [call.lineno for name, call in _calls(path) if name in ("print", "echo", "secho")]
    assert path.name == "terminal.py" or printing == []
