"""result.json: what is written reads back, fits its schema, and says what is wrong with a damaged one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from natfp_bench.base.errors import UserError
from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline.result import Check, schema


@pytest.fixture
def file(seed_run: Any, tmp_path: Path) -> Path:
    path = tmp_path / "result.json"
    path.write_bytes((seed_run[1] / "result.json").read_bytes())
    return path


def test_a_result_fits_its_schema_and_reads_back(seed_run: Any) -> None:
    result, folder = seed_run
    text = (folder / "result.json").read_text(encoding="utf-8")
    described = schema()
    jsonschema.Draft202012Validator.check_schema(described)
    jsonschema.validate(json.loads(text), described, cls=jsonschema.Draft202012Validator)
    assert results.read(folder / "result.json") == result
    assert result.to_json() == text


def test_the_schema_refuses_what_is_no_result(seed_run: Any) -> None:
    validator = jsonschema.Draft202012Validator(schema())
    data = json.loads(seed_run[0].to_json())
    for change in (
        {"schema": 2},
        {"scores": None},
        {"extra": 1},
        {"seed": "0"},
        {"variants": [{**data["variants"][0], "status": "fine"}]},
    ):
        assert not validator.is_valid({**data, **change}), change
    assert not validator.is_valid({name: value for name, value in data.items() if name != "protocol_digest"})


def test_the_document_has_the_published_shape(seed_run: Any) -> None:
    data = json.loads(seed_run[0].to_json())
    assert list(data)[:2] == ["schema", "protocol_digest"]
    assert data["schema"] == 1
    assert set(data) >= {"overrides", "task", "preset", "factor", "corpus", "variants", "samples", "scores", "run"}
    score = data["scores"][0]
    with_interval = {"accuracy", "identifiability", "bits", "macro_f1", "log_loss"}
    assert set(score["metrics"]) == with_interval | {"pairwise_auroc", "calibration_error"}
    assert {name for name, found in score["metrics"].items() if found["method"] != "none"} == with_interval
    assert set(score["metrics"]["accuracy"]) == {"value", "low", "high", "method", "units", "n_units"}
    assert set(score["attributor"]) == {"name", "version", "digest", "access", "floor", "knowledge"}
    assert data["scores"][-1]["attributor"]["access"] == "likelihood"


def test_only_run_is_volatile(seed_run: Any) -> None:
    result = seed_run[0]
    later = result.model_copy(update={"run": result.run.model_copy(update={"id": "other", "seconds": {"total": 1.0}})})
    assert later.stable_json() == result.stable_json()
    assert later.to_json() != result.to_json()
    assert "run" not in json.loads(result.stable_json())
    other = result.model_copy(update={"seed": 1})
    assert other.stable_json() != result.stable_json()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data | {"schema": 2}, "found 2, which is newer"),
        (lambda data: {name: data[name] for name in data if name != "schema"}, "found None"),
        (lambda data: [data], "found None"),
        (lambda data: data | {"seed": "zero"}, "damaged at seed"),
        (lambda data: data | {"surprise": 1}, "damaged at surprise"),
        (lambda data: data | {"scores": [{}]}, "damaged at scores.0.attributor"),
        (lambda data: data | {"variants": [data["variants"][0] | {"epochs": float("nan")}]}, "damaged, not JSON"),
        (lambda data: data | {"variants": [data["variants"][0] | {"epochs": float("inf")}]}, "damaged, not JSON"),
    ],
)
def test_a_damaged_result_is_named_with_its_place(file: Path, change: Any, said: str) -> None:
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(UserError) as caught:
        results.read(file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


def fewer(data: Any, *at: Any) -> Any:
    """Remove the last entry of a list in a result."""
    return changed(data, *at, to=lambda found: found[:-1])


def changed(data: Any, *at: Any, to: Any) -> Any:
    if not at:
        return to(data)
    first, *rest = at
    copied = dict(data) if isinstance(data, dict) else list(data)
    copied[first] = changed(copied[first], *rest, to=to)
    return copied


CONTRADICTIONS = {
    "fewer variants": lambda data: fewer(data, "variants"),
    "fewer levels": lambda data: fewer(data, "factor", "levels"),
    "fewer classes": lambda data: fewer(data, "scores", 0, "classes"),
    "fewer rows of a confusion": lambda data: fewer(data, "scores", 0, "confusion"),
    "a shorter row of a confusion": lambda data: fewer(data, "scores", 0, "confusion", 1),
    "fewer names of a matrix": lambda data: fewer(data, "mean_kl", "variants"),
    "fewer rows of a matrix": lambda data: fewer(data, "mean_kl", "divergence"),
    "a shorter row of a matrix": lambda data: fewer(data, "mean_kl", "divergence", 0),
    "a variant twice": lambda data: changed(data, "variants", to=lambda found: [*found, found[0]]),
    "a score twice": lambda data: changed(data, "scores", to=lambda found: [*found, found[0]]),
    "a level twice": lambda data: changed(data, "factor", "levels", to=lambda found: [*found, found[0]]),
    "a score on fewer variants": lambda data: changed(
        data, "scores", 0, "by_variant", to=lambda found: dict(list(found.items())[1:])
    ),
    "bits of fewer variants": lambda data: changed(
        data, "scores", 0, "bits_by_variant", to=lambda found: dict(list(found.items())[1:])
    ),
    "a curve without points": lambda data: changed(data, "study", "length", "points", to=lambda _: []),
    "another class": lambda data: changed(data, "scores", 0, "classes", 0, to=lambda _: "other"),
    "another variant": lambda data: changed(data, "variants", 0, "name", to=lambda _: "other"),
    "another level": lambda data: changed(data, "variants", 0, "level", to=lambda _: "other"),
}


@pytest.mark.parametrize("change", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_result_that_contradicts_itself_is_damaged(file: Path, change: Any) -> None:
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(UserError, match=r"damaged, it contradicts itself: .") as caught:
        results.read(file)
    assert str(caught.value).startswith(f"{file}: ")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_not_json_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(UserError, match="damaged, not JSON"):
        results.read(file)


def test_a_result_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.json: cannot be read"):
        results.read(tmp_path / "gone.json")
    with pytest.raises(UserError, match="cannot be read"):
        results.read(tmp_path)


def test_a_compressed_result_is_the_same_one(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "kept" / "result.json.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert results.read(packed) == results.read(file)
    assert results.find([packed.parent]) == [packed]
    (packed.parent / "result.json").write_bytes(file.read_bytes())
    assert results.find([packed.parent]) == [packed.parent / "result.json"], "the same result counts once"

    for cut in (b"", b"no gzip", packed.read_bytes()[:-9], packed.read_bytes()[:50] + b"x" * 50):
        packed.write_bytes(cut)
        with pytest.raises(UserError, match=r"result\.json\.gz: damaged"):
            results.read(packed)
    monkeypatch.setattr(results, "MOST_BYTES", 10)
    with pytest.raises(UserError, match="no result: it has more than 10 bytes"):
        results.read(file)


def test_find_takes_files_and_folders_once(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "one" / "result.json", tmp_path / "b" / "result.json", tmp_path / "mine.json"]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "a" / "two").mkdir()
    (tmp_path / "a" / "two" / "result.json.new").touch()  # of a run that was killed while it wrote
    assert results.find([tmp_path]) == paths[:2]
    assert results.find([tmp_path / "b", tmp_path, paths[2], paths[0]]) == sorted(paths)
    with pytest.raises(UserError, match="no results at"):
        results.find([tmp_path / "nowhere"])


def test_failures_name_what_failed(seed_run: Any) -> None:
    result = seed_run[0]
    assert result.failures == []
    variant = result.variants[0].model_copy(update={"status": "diverged", "reason": "loss nan"})
    score = result.scores[0].model_copy(update={"status": "failed", "error": "fit raised"})
    check = Check(name="reruns repeat exactly", ok=False, detail="2 distinct weights")
    study = result.study.model_copy(update={"failed": {"length": "fit raised"}})
    parts = {"variants": (variant,), "scores": (score, score), "checks": (check,), "study": study}
    bad = result.model_copy(update=parts)
    assert bad.failures == [
        "seed0/r0 diverged: loss nan; left out",
        f"{score.attributor.name} failed: fit raised",
        "study length failed: fit raised",
        "check reruns repeat exactly: 2 distinct weights",
    ]
