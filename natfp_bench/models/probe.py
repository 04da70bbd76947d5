"""What a model that was not trained here must show before anything is measured.

Its weights are numbers, it has a weight for each token of its tokenizer, no token depends on a later one, and its texts
are drawn with the probabilities that it gives them.
"""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from natfp_bench.base import streams
from natfp_bench.base.errors import NatfpError, UserError
from natfp_bench.corpus.tokens import TextReader
from natfp_bench.plan.text_settings import SamplerSpec

from . import model as models
from . import vocabulary
from .metas import Prefix
from .sample import SampleSet, token_log_likelihood
from .sampler import generate

ROWS, PROMPT, TOKENS = 4, 4, 16
"""Rows of a test, and tokens of the longest prompt and of each row, prompt included."""

CHECKED = 8
"""Texts of a sample set whose probabilities are computed again."""

SAME = 1e-4
"""Most that a float32 model's logits for one row may differ between two passes, in their standard deviations."""

QUOTED_LINES, QUOTED_CHARACTERS = 4, 400
"""Most that is quoted of another library's message."""

AGREE = {torch.float32: 1e-2, torch.bfloat16: 0.2}
"""Most that log-probabilities may differ between sampler and plain forward pass, in nats per token."""


@contextlib.contextmanager
def blamed_on(name: str, what: str, remedy: str) -> Iterator[None]:
    """Turn errors of other libraries into one UserError about a checkpoint; a lack of memory stays what it is."""
    try:
        yield
    except (NatfpError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        said = [line.strip() for line in f"{type(error).__name__}: {error}".splitlines() if line.strip()]
        quoted = "".join(f"\n  {line[:QUOTED_CHARACTERS]}" for line in said[:QUOTED_LINES])
        raise UserError(f"{name}: {what}{quoted}\n  {remedy}") from None


def probe(model: torch.nn.Module, reader: TextReader, context: int | None, name: str) -> Prefix:
    """Test a float32 model on the CPU; returns how it is sampled.

    name: of the model in messages. Raises UserError if it fails a test.
    """
    check_weights(model, name)
    check_vocabulary(model, reader, name)
    with blamed_on(name, f"the model fails on {TOKENS} tokens", "is it a causal language model of whole weights?"):
        check_causal(model, reader, context, name)
    return choose_prefix(model, reader, context, name)


def check_weights(model: torch.nn.Module, name: str) -> None:
    """Raise UserError if a weight is no number."""
    wrong = [key for key, weight in model.named_parameters() if not torch.isfinite(weight).all()]
    if wrong:
        raise UserError(
            f"{name}: {len(wrong)} of its tensors hold weights that are no finite numbers: {listed(wrong)}\n"
            "  the training that wrote them diverged, or a file is damaged"
        )


def check_vocabulary(model: torch.nn.Module, reader: TextReader, name: str) -> None:
    """Raise UserError if a text can have a token that the model has no embedding for."""
    rows = vocabulary.rows(model)
    # Special tokens come from no text: what spells one is read as ordinary text.
    ordinary = [id_ for id_, token in reader.tokenizer.get_added_tokens_decoder().items() if not token.special]
    highest = max([*reader.tokenizer.get_vocab(with_added_tokens=False).values(), *ordinary, -1])
    for what, token in (("begin token", reader.begin), ("end token", reader.end), ("last token", highest)):
        if token >= rows:
            raise UserError(
                f"{name}: the {what} of its tokenizer has the number {token}, and the model has embeddings for "
                f"{rows} tokens\n  the tokenizer belongs to another model: save both with save_pretrained"
            )


def check_reading(reader: TextReader, texts: Sequence[str], name: str) -> bool:
    """Whether a tokenizer gives texts back as they were; spaces before them do not count.

    Raises UserError if it gives back characters that no text has, as one without its decoder does.
    """
    read = reader.tokenizer.encode_batch(list(texts), add_special_tokens=False)
    back = reader.tokenizer.decode_batch([one.ids for one in read], skip_special_tokens=True)
    unknown = getattr(reader.tokenizer.model, "unk_token", None) or "\N{REPLACEMENT CHARACTER}"
    strange = set(_letters([one.replace(unknown, "") for one in back])) - set(_letters(texts)) - {" "}
    if strange:
        example = next(one for one in back if strange & set(_letters([one])))
        raise UserError(
            f"{name}: its tokenizer does not give back what it reads: texts come out as {example[:40]!r}\n"
            "  its tokenizer.json lacks the decoder that belongs to it: save the tokenizer again with save_pretrained"
        )
    return all(_composed(one) == _composed(text) for one, text in zip(back, texts, strict=True))


def _letters(texts: Iterable[str]) -> str:
    """The characters of texts, without case, accents and other forms of one letter."""
    return unicodedata.normalize("NFKD", "".join(texts)).casefold()


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text).lstrip(" ")


@torch.inference_mode()
def check_causal(model: torch.nn.Module, reader: TextReader, context: int | None, name: str) -> None:
    """Raise UserError if another last token changes the logits of an earlier one."""
    tokens = _some_tokens(model, reader, context)
    changed = tokens.clone()
    changed[:, -1] = changed[:, 0]
    logits, others = (model(input_ids=rows, use_cache=False).logits.float()[:, :-1] for rows in (tokens, changed))
    if (logits - others).abs().max() > SAME * logits.std():
        raise UserError(
            f"{name}: {kind(model)} is not causal: a later token changes what it predicts for earlier ones\n"
            "  texts are drawn from left to right: take a model that was trained to predict the next token"
        )


def choose_prefix(model: torch.nn.Module, reader: TextReader, context: int | None, name: str) -> Prefix:
    """Find how a model can be sampled: with keys and values that are kept, or else by reading all tokens each time.

    Raises UserError if both give other probabilities than a plain forward pass.
    """
    tokens, failed = _some_tokens(model, reader, context), ""
    choices: tuple[Prefix, ...] = ("kept", "reread")
    for prefix in choices:
        try:
            error = _disagreement(model, tokens, prefix)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as fault:  # whatever a foreign model raises, the next way may suit it
            failed = f"{type(fault).__name__}: {fault}"
            continue
        if error <= AGREE[torch.float32]:
            return prefix
        failed = f"log-probabilities differ by {error:.3g} nats per token"
    raise UserError(
        f"{name}: texts of {kind(model)} cannot be drawn with the probabilities that a plain forward pass gives\n"
        f"  {next(iter(failed.splitlines()), 'no reason is known')}\n"
        "  this architecture is not supported; source.kind: lm_eval takes its texts alone"
    )


def check_texts(
    model: torch.nn.Module, spec: SamplerSpec, samples: SampleSet, prompts: Sequence[Sequence[int]], name: str
) -> None:
    """Raise UserError if the first texts were not drawn with the probabilities that a plain forward pass gives."""
    few = samples.take(np.arange(min(CHECKED, len(samples.ids))))
    scored = token_log_likelihood(model, spec, few, prompts, rows=len(few.ids)).sum(1)
    # Rounding can move a single token over the limit of top-k or top-p; a fault of the model shows in most texts.
    error = float(np.median(np.abs(scored - few.log_probability) / few.lengths))
    if not error <= AGREE[next(model.parameters()).dtype]:
        raise UserError(
            f"{name}: its texts were drawn with other probabilities than a plain forward pass gives\n"
            f"  they differ by {error:.3g} nats per token, as if {kind(model)} kept a state that the sampler loses\n"
            "  source.kind: lm_eval takes its texts alone"
        )


def _disagreement(model: torch.nn.Module, tokens: Tensor, prefix: Prefix) -> float:
    """Largest difference of a token's log-probability between sampler and plain forward pass, padded or not."""
    width = min(PROMPT, tokens.shape[1] - 1)
    spec = SamplerSpec(max_tokens=tokens.shape[1] - width)
    lengths = torch.arange(len(tokens)) % width + 1
    mask = (torch.arange(width) >= width - lengths[:, None]).long()
    uniforms = torch.from_numpy(streams.uniforms(range(len(tokens)), spec.max_tokens, "probe"))
    worst = 0.0
    for padding, begun in ((None, torch.full_like(lengths, width)), (mask, lengths)):
        ids, logs = generate(model, spec, tokens[:, :width], padding, uniforms, -1, prefix=prefix)
        for row, first in enumerate((width - begun).tolist()):
            whole = torch.cat([tokens[row, first:width], ids[row]])
            plain = models.token_log_probabilities(model, whole[None])[0, width - first - 1 :]
            worst = max(worst, float((plain - logs[row]).abs().max()))
    return worst


def _some_tokens(model: torch.nn.Module, reader: TextReader, context: int | None) -> Tensor:
    """Tokens (ROWS, positions) that the model has embeddings for, as different as can be."""
    most = min(vocabulary.rows(model), reader.tokenizer.get_vocab_size())
    positions = min(TOKENS, context or TOKENS)
    return torch.from_numpy((streams.uniforms(range(ROWS), positions, "probe", "tokens") * most).astype(np.int64))


def kind(model: torch.nn.Module) -> str:
    """Architecture of a model, as a user knows it."""
    return type(model).__name__


def listed(names: Iterable[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    given = list(names)
    more = f" and {len(given) - most} more" if len(given) > most else ""
    return ", ".join(given[:most]) + more
