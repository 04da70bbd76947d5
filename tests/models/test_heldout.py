"""Bits of held-out documents: the same as lm-eval computes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from trainings import CPU
from transformers import AutoModelForCausalLM

from natfp_bench.corpus import tokens
from natfp_bench.models import heldout


@pytest.mark.parametrize("length", [2, 3, 31, 32, 33, 34, 63, 64, 65, 66, 97, 200])
def test_document_bits_are_those_of_lm_eval(tiny_model: Path, length: int) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    end = model.config.eos_token_id
    document = [end, *np.random.default_rng(length).integers(0, 300, length - 2).tolist(), end]
    nats = 0.0
    for pair in get_rolling_token_windows(document[1:], prefix_token=end, max_seq_len=32, context_len=1):
        before, predicted = make_disjoint_window(pair)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*before, *predicted[:-1]]])).logits[0].log_softmax(-1)
        scored = logits[-len(predicted) :].gather(-1, torch.tensor(predicted)[:, None])
        nats -= scored.double().sum().item()
    bits = heldout.document_bits(model, document, 32, CPU)
    assert bits == pytest.approx(nats / math.log(2), rel=1e-6)
    if length <= 32:
        row = torch.tensor([document])
        with torch.no_grad():
            loss = model(input_ids=row, labels=row).loss.item()
        assert bits == pytest.approx(loss * (length - 1) / math.log(2), rel=1e-5)


def test_held_out_bits_count_ends_and_bytes(tiny_corpus: Path, tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    tokenizer = tokens.load_tokenizer(tiny_corpus / "tokenizer.json")
    end = model.config.eos_token_id
    held = pq.read_table(tiny_model / "heldout.parquet").to_pydict()
    documents = tokens.read_heldout(tiny_corpus)
    assert held["bytes"] == [len(document.text.encode()) for document in documents]
    row = [end, *tokenizer.encode(documents[0].text).ids, end]
    assert held["bits"][0] == pytest.approx(heldout.document_bits(model, row, 32, CPU), rel=1e-9)
