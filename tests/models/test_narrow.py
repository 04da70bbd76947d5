"""Narrow models: the probabilities and texts of transformers' own functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, untrained

from natfp_bench.models import narrow, sampler
from natfp_bench.plan.text_settings import SamplingSpec

END, WIDTH, LENGTH = 299, 5, 12


@pytest.fixture
def unsuited(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it, and no model is read by `narrow`."""
    return lambda: monkeypatch.setattr(narrow, "suits", lambda _: False)


def made(seed: int = 0) -> Any:
    """A Llama whose norms have weights, as those of trained models."""
    model = untrained("llama", END, seed)
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(weight, 1.0, 0.3, generator=torch.Generator().manual_seed(seed))
    return model


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("how", [{}, {"temperature": 0.7}, {"top_k": 20, "top_p": 0.9}])
def test_texts_are_those_of_the_models_own_code(how: dict[str, Any], unsuited: Any, *, padded: bool) -> None:
    """In several parts, the last of which is smaller."""
    model, rows = made(), narrow.ROWS + 7
    rng = np.random.default_rng(0)
    tokens = torch.from_numpy(rng.integers(0, END, (rows, WIDTH)))
    mask = None
    if padded:
        mask = (torch.arange(WIDTH) >= torch.arange(rows)[:, None] % WIDTH).long()
    uniforms = torch.from_numpy(rng.random((rows, LENGTH)))
    spec = SamplingSpec(texts=rows, max_tokens=LENGTH, **how)
    assert narrow.suits(model)
    ids, logs = sampler.generate(model, spec, tokens, mask, uniforms, END)
    unsuited()
    expected_ids, expected_logs = sampler.generate(model, spec, tokens, mask, uniforms, END)
    ended = (expected_ids == END).cumsum(1)
    valid = (ended == 0) | ((ended == 1) & (expected_ids == END))
    assert valid.sum() > rows * LENGTH / 2
    assert torch.equal(ids[valid], expected_ids[valid])
    torch.testing.assert_close(logs[valid], expected_logs[valid], rtol=0, atol=1e-5)


def test_a_part_whose_rows_have_ended_leaves_the_others_alone() -> None:
    model, rows = made(), 2 * narrow.ROWS
    tokens = torch.arange(rows)[:, None] % END
    uniforms = torch.from_numpy(np.random.default_rng(0).random((rows, LENGTH)))
    spec = SamplingSpec(texts=rows, max_tokens=LENGTH)
    ids, logs = sampler.generate(model, spec, tokens, None, uniforms, -1)
    first = int(ids[0, 0])
    alike = torch.where(torch.arange(rows) < narrow.ROWS, 0, torch.arange(rows))
    over, some = sampler.generate(model, spec, tokens[alike], None, uniforms[alike], first)
    assert (over[: narrow.ROWS] == first).all()
    assert torch.equal(over[narrow.ROWS :], ids[narrow.ROWS :])
    assert torch.equal(some[narrow.ROWS :], logs[narrow.ROWS :])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_other_architectures_are_read_by_their_own_code(architecture: str) -> None:
    assert narrow.suits(untrained(architecture, END, 0)) == (architecture == "llama")


@pytest.mark.parametrize(
    "change",
    [
        *({"num_key_value_heads": 1}, {"hidden_act": "gelu"}, {"attention_bias": True}, {"mlp_bias": True}),
        *({"hidden_size": 512}, {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}),
    ],
)
def test_other_llamas_are_read_by_their_own_code(change: dict[str, Any]) -> None:
    known = type(made().config).from_dict({**made().config.to_dict(), **change})
    assert not narrow.suits(type(made())(known))
    assert not narrow.suits(made().bfloat16())


def test_a_model_that_was_changed_is_read_by_its_own_code() -> None:
    """By a hook, as `vocabulary.fit` does, or by a part in place of another, as adapters do."""

    class Adapter(torch.nn.Linear):
        pass

    hooked, adapted = made(), made()
    hooked.register_forward_hook(lambda *_: None)
    adapted.model.layers[0].mlp.down_proj = Adapter(64, 32, bias=False)
    assert narrow.suits(made())
    assert not narrow.suits(hooked)
    assert not narrow.suits(adapted)
