"""Models: seeds, and checkpoint folders that other tools can load."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from architectures import ARCHITECTURES, small
from transformers import AutoModelForCausalLM, AutoTokenizer

from natfp_bench.base.errors import UserError
from natfp_bench.corpus import tokens
from natfp_bench.models import model as models
from natfp_bench.plan.settings import NumericsSpec
from natfp_bench.plan.text_settings import ServeSpec

CPU = torch.device("cpu")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_initial_weights_are_a_function_of_their_stream(architecture: str) -> None:
    of = small(architecture=architecture)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    built = models.build(of, 300, 0, 5, "init", 0)
    assert {parameter.dtype for parameter in built.parameters()} == {torch.float32}
    first = models.weights_digest(built)
    assert torch.equal(torch.get_rng_state(), before), "nobody else's random numbers are used up"
    torch.manual_seed(2)
    assert models.weights_digest(models.build(of, 300, 0, 5, "init", 0)) == first
    assert models.weights_digest(models.build(of, 300, 0, 5, "init", 1)) != first


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_dropout_reaches_the_model(architecture: str) -> None:
    row = torch.arange(1, 21)[None]
    for dropout in (0.0, 0.5):
        built = models.build(small(architecture=architecture, dropout=dropout), 300, 0, "a").train()
        with torch.no_grad():
            same = torch.equal(built(input_ids=row).logits, built(input_ids=row).logits)
        assert same == (dropout == 0.0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("tied", [True, False])
def test_a_checkpoint_folder_is_an_ordinary_one(
    architecture: str, tied: bool, tiny_corpus: Path, tmp_path: Path
) -> None:
    tokenizer = tokens.load_tokenizer(tiny_corpus / "tokenizer.json")
    end = tokenizer.token_to_id(tokens.END)
    built = models.build(small(architecture=architecture, tied_embeddings=tied), 300, end, "a").eval()
    models.save(built, tiny_corpus / "tokenizer.json", 32, tmp_path)
    row = torch.randint(0, 300, (3, 32), generator=torch.Generator().manual_seed(0))
    ours = models.load(tmp_path, ServeSpec(), CPU)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        expected = built(input_ids=row).logits
        assert torch.equal(ours(input_ids=row).logits, expected)
        assert torch.equal(theirs(input_ids=row).logits, expected)
    assert models.weights_digest(theirs) == models.weights_digest(built)
    assert theirs.config.eos_token_id == theirs.config.bos_token_id == end
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.eos_token == loaded.bos_token == tokens.END
    assert loaded.model_max_length == 32
    text = "The old judge  lost ,  a boat . Ünï 漢字\n\n\tend"
    ids = loaded(text, add_special_tokens=False)["input_ids"]
    assert ids == tokenizer.encode(text, add_special_tokens=False).ids
    assert loaded.decode(ids) == text


def test_bfloat16_is_loaded_as_asked(tiny_model: Path) -> None:
    loaded = models.load(tiny_model, ServeSpec(dtype="bfloat16"), CPU)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}
    assert not loaded.training


# Eight bits.


def channels(name: str, weight: torch.Tensor, architecture: str) -> torch.Tensor:
    """A matrix with one row per output channel: GPT-2 transposes those of its layers."""
    inner = architecture == "gpt2" and not any(part in name for part in ("wte", "wpe", "lm_head"))
    return weight.T if inner else weight


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("bits", "whole"), [(8, False), (8, True), (4, False), (4, True)])
def test_rounding_puts_every_channel_on_a_grid(architecture: str, tied: bool, bits: int, whole: bool) -> None:
    """w = s q with integers |q| <= 127 (7 for 4 bits) and s = max|w| / 127, computed here with torch's rounding."""
    most = 2 ** (bits - 1) - 1
    built = models.build(small(architecture=architecture, tied_embeddings=tied), 300, 0, "a")
    before = {name: parameter.detach().clone() for name, parameter in built.named_parameters()}
    models.quantize(built, bits, whole=whole)
    matrices = 0
    for name, parameter in built.named_parameters():
        if parameter.ndim < 2:
            assert torch.equal(parameter, before[name]), "vectors stay as they are"
            continue
        matrices += 1
        old, new = (channels(name, weight.detach(), architecture).double() for weight in (before[name], parameter))
        if whole:
            old, new = old.reshape(1, -1), new.reshape(1, -1)
        scale = old.abs().amax(1, keepdim=True) / most
        grid = new / scale
        assert torch.allclose(grid, grid.round(), atol=1e-4), name
        assert grid.abs().max() <= most + 1e-4
        assert (grid.abs().amax(1) > most - 1e-4).all(), "each channel, or the matrix, uses the whole range"
        assert ((new - old).abs() <= scale * (0.5 + 1e-4)).all(), "to the nearest"
        assert not torch.equal(new, old)
    assert matrices > 8


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_int8_of_int8_changes_nothing(architecture: str) -> None:
    built = models.build(small(architecture=architecture), 300, 0, "a")
    models.quantize(built)
    before = {name: parameter.detach().clone() for name, parameter in built.named_parameters()}
    models.quantize(built)
    for name, parameter in built.named_parameters():
        assert torch.equal(parameter, before[name]), name


def test_int8_leaves_a_dead_channel_dead() -> None:
    built = models.build(small(), 300, 0, "a")
    with torch.no_grad():
        built.get_input_embeddings().weight[7] = 0.0  # type: ignore[operator]
    models.quantize(built)
    weight = built.get_input_embeddings().weight  # type: ignore[operator]
    assert (weight[7] == 0).all()
    assert torch.isfinite(weight).all()


def test_tied_embeddings_stay_tied_and_are_rounded_once(tiny_model: Path) -> None:
    plain, rounded = (models.load(tiny_model, ServeSpec(quantization=how), CPU) for how in ("none", "int8"))
    table, head = (rounded.get_input_embeddings(), rounded.get_output_embeddings())  # type: ignore[operator]
    assert table.weight is head.weight
    old = plain.get_input_embeddings().weight  # type: ignore[operator]
    scale = old.abs().amax(1, keepdim=True) / 127
    torch.testing.assert_close(table.weight, (old / scale).round() * scale)
    assert {parameter.dtype for parameter in rounded.parameters()} == {torch.float32}


def test_what_is_served_is_close_to_what_was_trained(tiny_model: Path) -> None:
    row = torch.randint(0, 300, (4, 32), generator=torch.Generator().manual_seed(0))
    served = [
        models.load(tiny_model, ServeSpec(dtype=dtype, quantization=how), CPU)
        for dtype in ("float32", "bfloat16")
        for how in ("none", "int8")
    ]
    with torch.no_grad():
        found = [model(input_ids=row).logits.float().log_softmax(-1) for model in served]
    for i, one in enumerate(found):
        for other in found[:i]:
            assert 0 < (one - other).abs().max() < 0.5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_token_log_probabilities_are_a_plain_forward(architecture: str) -> None:
    built = models.build(small(architecture=architecture), 300, 0, "a").eval()
    rows = torch.randint(0, 300, (4, 33), generator=torch.Generator().manual_seed(0))
    scored = models.token_log_probabilities(built, rows)
    assert scored.shape == (4, 32)
    with torch.no_grad():
        loss = built(input_ids=rows[:, :32], labels=rows[:, :32]).loss
    assert -scored[:, :31].mean().item() == pytest.approx(loss.item(), abs=1e-5)


def test_devices() -> None:
    assert models.pick_device("cpu") == CPU
    if torch.cuda.is_available():
        assert models.pick_device("auto") == models.pick_device("cuda") == torch.device("cuda")
    else:
        assert models.pick_device("auto") == CPU
        with pytest.raises(UserError, match="no CUDA device"):
            models.pick_device("cuda")


def test_numerics_fix_the_number_of_threads() -> None:
    models.set_numerics(NumericsSpec(threads=2), CPU)
    assert torch.get_num_threads() == 2
    models.set_numerics(NumericsSpec(), CPU)
    assert torch.get_num_threads() == 1
