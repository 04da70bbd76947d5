"""Checks files of users: tasks, presets, baselines, results."""

from __future__ import annotations

from pathlib import Path

from natfp_bench.attributors import registry
from natfp_bench.base import yaml_records, yaml_source
from natfp_bench.base.errors import SpecError, UserError
from natfp_bench.pipeline import curve_result
from natfp_bench.pipeline import result_files as results
from natfp_bench.plan import make_plan
from natfp_bench.plan import task_files as spec


def validate(path: Path) -> str:
    """Check one file or baseline folder; returns its kind and name. Raises UserError with all faults."""
    if not path.exists():
        raise UserError(f"no file {str(path)!r}\n  validate takes task, preset, card and result files")
    if path.is_dir() or path.name == "card.yaml":
        return f"baseline {registry.read(path if path.is_dir() else path.parent).name}"
    if curve_result.is_curve(path):
        curve = curve_result.read(path)
        return f"curve of {curve.task.name} at {curve.preset}"
    if path.suffix == ".json":
        found = results.read(path)
        return f"result of {found.task.name} at {found.preset}"
    source = yaml_source.examine(path)
    # Only a task has a name or a factor: a file with one of them is checked as a task.
    if not {"task", "factor"} & source.data.keys():
        yaml_records.validate(source, spec.Preset)
        return f"preset {path.stem}"
    task, _ = spec.load_task(path)
    presets = spec.preset_files()
    faults: dict[str, list[str]] = {}
    for preset in presets:
        try:
            make_plan.make_plan(path, preset)
        except SpecError as error:
            for fault in error.faults:
                faults.setdefault(fault, []).append(preset)
    if faults:
        at = {
            fault: "" if len(where) == len(presets) else f" (at {', '.join(where)})" for fault, where in faults.items()
        }
        raise SpecError([fault + at[fault] for fault in faults])
    return f"task {task.name}"
