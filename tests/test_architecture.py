"""What holds the package together: the order of imports, what starting up costs, and the public names."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import natfp_bench

PACKAGE = Path(natfp_bench.__file__).parent

ORDER = """
    errors records allocator streams resources environment yaml_source chronicle settings spec source plan split
    text_files texts texts_plan corpus tokens model optimizers fused loss stacked heldout training_state train
    checkpoint sampler sample backend parity words transforms byte_ngrams registry needs engine worker local_engine
    ray_engine attribute text_classifier neural_text metrics planted checks ceiling discrimination identification
    replication fingerprint study results store keys conformance jobs stages resolve evidence fixed_texts scoring
    analysis steps pipeline given_texts result_texts identify_jobs identify overview boards submission regress_reference
    regress leaderboard validate api cells sheets markdown regress_formats terminal console progress export
    lm_eval_export lm_eval_import evaluate_metrics charts report_study_figures report_figures report_texts
    report_tables report_pages report_home_page report_task_page report_attributor_page report_validity_page report
    regress_cli identify_cli baseline_cli export_cli store_cli report_cli cli __main__
""".split()  # noqa: SIM905  a list of words
"""Reading order: a module imports only what stands before it. A new module takes its place here."""

HEAVY = ("torch", "transformers", "datasets", "evaluate", "lm_eval", "ray", "altair", "sklearn", "scipy")


def _module(path: Path) -> str:
    """The place of a file in ORDER: its module, or the subpackage that it is part of."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if _module(path) != "__init__"]


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


def imported(source: str, package: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Modules of natfp_bench that a file of a package (`("natfp_bench",)`) imports, each with its line."""
    for node in _imports(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        else:
            base = list(package[: len(package) + 1 - node.level]) if node.level else []
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        for name in names:
            if name[0] == "natfp_bench":
                yield (name[1] if len(name) > 1 else "__init__"), node.lineno


def test_the_scan_sees_every_way_to_import() -> None:
    source = """
from typing import TYPE_CHECKING
from . import spec, __version__
from .plan import Plan
import natfp_bench.store as s, os
from natfp_bench import keys
from natfp_bench.model import build
if TYPE_CHECKING:
    from .cli import app
else:
    from .errors import NatfpError
def f():
    if True:
        from .engine import Engine
"""
    found = [name for name, _ in imported(source, ("natfp_bench",))]
    assert found == ["spec", "__version__", "plan", "store", "keys", "model", "errors", "engine"]
    inner = "from . import grammar\nfrom ..records import digest\nfrom .. import spec"
    assert [name for name, _ in imported(inner, ("natfp_bench", "chronicle"))] == ["chronicle", "records", "spec"]


def test_every_module_has_its_place() -> None:
    assert sorted(ORDER) == sorted({_module(path) for path in FILES})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_reading_order(path: Path) -> None:
    module = _module(path)
    package = ("natfp_bench", *path.relative_to(PACKAGE).parts[:-1])
    earlier = set(ORDER[: ORDER.index(module)]) | {"__version__"}
    if len(package) > 1:
        earlier.add(module)  # files of one subpackage know each other
    wrong = [f"{path.name}:{line}: {name}" for name, line in imported(path.read_text(), package) if name not in earlier]
    assert wrong == []


def _loaded(code: str, folder: Path) -> list[str]:
    """The heavy libraries that are loaded after the code has run in a process of its own."""
    report = "\nimport sys\nprint('loaded:', *[name for name in sys.argv[1:] if name in sys.modules])"
    paths = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "NATFP_STORE": str(folder / "store")}
    command = [sys.executable, "-c", code + report, *HEAVY]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


def test_the_probe_sees_what_is_loaded(tmp_path: Path) -> None:
    assert _loaded("import scipy", tmp_path) == ["scipy"]


CLI = """
import sys
names, sys.argv = sys.argv, ["natfp-bench", *{arguments}]
from natfp_bench.cli import main
try:
    main()
except SystemExit as end:
    assert (end.code or 0) == {code}, end.code
sys.argv = names
"""


def test_import_is_cheap(tmp_path: Path) -> None:
    assert _loaded("import natfp_bench", tmp_path) == []


@pytest.mark.parametrize(
    "arguments", ["--help", "list", "list presets", "list baselines", "list corpora", "show seed_id", "schema task"]
)
def test_commands_that_only_look_are_cheap(arguments: str, tmp_path: Path) -> None:
    assert _loaded(CLI.format(arguments=arguments.split(), code=0), tmp_path) == []


def test_the_leaderboard_is_cheap(tmp_path: Path, seed_run: Any) -> None:
    assert _loaded(CLI.format(arguments=["leaderboard", str(seed_run[1])], code=0), tmp_path) == []
    (tmp_path / "results").mkdir()
    assert _loaded(CLI.format(arguments=["leaderboard"], code=2), tmp_path) == []


def test_public_names_are_frozen() -> None:
    public = ["Attributor", "__version__", "ceiling", "evaluate_module", "load_results", "load_task", "metrics", "run"]
    assert natfp_bench.__all__ == public
    assert set(natfp_bench.__all__) <= set(dir(natfp_bench))
    for name in natfp_bench.__all__:
        value = getattr(natfp_bench, name)
        assert value is not None
        assert isinstance(value, str) or value.__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        natfp_bench.nothing  # noqa: B018
    assert (PACKAGE / "py.typed").is_file()
