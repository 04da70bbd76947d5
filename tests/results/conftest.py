"""Results to read: made by hand, exported, and answered by lm-eval."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exported_texts import with_hostile
from lm_eval_runs import Ran, lm_eval
from made_results import write_result

from natfp_bench.pipeline.store import Store
from natfp_bench.results import export, lm_eval_export
from natfp_bench.results.export import Exported


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Write a result of a task from figures: split -> attributor -> identifiability; returns its file."""
    return functools.partial(write_result, tmp_path)


@pytest.fixture
def copied(seed_run: Any, tmp_path: Path) -> Path:
    """The `result.json` of a copied result."""
    shutil.copytree(seed_run[1], tmp_path / "copied")
    return tmp_path / "copied" / "result.json"


@pytest.fixture(scope="session")
def exported(bench: Any, seed_run: Any) -> Exported:
    """The texts of one run of `seed_id`."""
    return export.gather(seed_run[1] / "result.json", Store(bench.store))


@pytest.fixture(scope="session")
def held_out(bench: Any, rate_run: Any) -> Exported:
    """The texts of one run of `rate`, which holds replicates out."""
    return export.gather(rate_run[1] / "result.json", Store(bench.store))


@pytest.fixture(scope="session")
def ran(bench: Any, seed_run: Any, rate_run: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """Runs of lm-eval with a stub of a model: on a part of the test texts, on all, and with replicates held out."""
    home = tmp_path_factory.mktemp("lm eval [x]")
    store, asked, folders = Store(bench.store), [], {}
    for name, (result, folder), limit in (
        ("part", seed_run, 6),
        ("all", seed_run, 10_000),
        ("held out", rate_run, 9),
    ):
        found = export.gather(folder / "result.json", store)
        if name == "part":
            found = with_hostile(found)
        where = export.make_folder(home / f"export {name}")
        lm_eval_export.write_lm_eval(found, where, limit, 2)
        group = lm_eval_export.group(result.task.name)
        asked.append((where, group, "stub", "pretrained=Org/Stub-1.5B", home / f"output {name}"))
        folders[name] = (where, folder, home / f"output {name}")
    told = lm_eval(home, *asked)
    return {
        name: Ran(*of, acc=one["acc"], seen=one["seen"]) for (name, of), one in zip(folders.items(), told, strict=True)
    }
