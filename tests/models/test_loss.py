"""The loss of language modelling: against its definition, in parts, and compiled."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters
from torch._inductor import config as inductor
from trainings import changed, log

from natfp_bench.base.errors import UserError
from natfp_bench.models import model as models
from natfp_bench.models import train
from natfp_bench.models.compiled import compiled
from natfp_bench.models.loss import _CrossEntropy, next_token_loss
from natfp_bench.models.train import TrainingJob
from natfp_bench.plan.settings import Settings

CPU = torch.device("cpu")
ROWS = torch.randint(0, 300, (4, 32), generator=torch.Generator().manual_seed(0))


def test_the_loss_is_the_mean_of_what_each_token_costs(tiny: Settings) -> None:
    model = models.build(tiny.model, 300, 0, "a")
    scored = models.token_log_probabilities(model.eval(), ROWS)
    assert next_token_loss(model, ROWS).item() == pytest.approx(-scored.mean().item(), rel=1e-6)


@pytest.mark.slow
def test_a_machine_that_cannot_compile_is_a_users_fault(
    tiny: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    without = inductor.patch({"cpp.cxx": (None, str(tmp_path / "no-compiler"))})
    with without, pytest.raises(UserError, match=r"--set numerics\.compile=false"):
        compiled(next_token_loss)(models.build(tiny.model, 300, 0, "a"), ROWS)


@pytest.mark.slow
def test_every_shape_is_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """However many shapes a worker has seen: torch itself stops compiling after eight."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    counters["stats"].clear()
    doubled = compiled(lambda values: 2 * values)
    for size in range(2, 12):
        assert doubled(torch.ones(size)).tolist() == [2.0] * size
    assert counters["stats"]["unique_graphs"] == 10


@pytest.mark.slow
def test_compiled_training_is_plain_training(
    tiny: Settings, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The losses of the first twenty steps agree, and a repetition gives the same weights."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    monkeypatch.setattr(train, "LOG_EVERY", 1)

    def weights(name: str, *, fused: bool) -> str:
        settings = changed(tiny, numerics__compile=fused, budget__tokens=8 * 32 * 20)
        (tmp_path / name / "model").mkdir(parents=True)
        job = TrainingJob(settings, 0, tiny_corpus, tmp_path / name / "model", tmp_path / name / "partial")
        return train.train(job, CPU).weights

    first, again, plain = weights("first", fused=True), weights("again", fused=True), weights("plain", fused=False)
    assert first == again != plain
    ours, theirs = ([line["loss"] for line in log(tmp_path / name)] for name in ("first", "plain"))
    assert len(ours) == 20
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_the_cross_entropy_and_its_derivative_are_torchs() -> None:
    logits = 5 * torch.randn(6, 300, generator=torch.Generator().manual_seed(1))
    logits[0, 0], targets = 80.0, torch.tensor([7, 299, -100, 0, 5, -100])  # one that was all but impossible
    found = []
    for cross_entropy in (torch.nn.functional.cross_entropy, _CrossEntropy.apply):
        given = logits.clone().requires_grad_()
        loss = cross_entropy(given, targets)
        (3 * loss).backward()
        found.append((loss.item(), given.grad))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-6)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-5, atol=1e-7)
