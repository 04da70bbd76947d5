"""What tests of sampling share: a small trained model, its tokenizer and its end token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from natfp_bench.corpus import tokens


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Tokenizer:
    return tokens.load_tokenizer(tiny_model / "tokenizer.json")


@pytest.fixture(scope="module")
def end(tokenizer: Tokenizer) -> int:
    return int(tokenizer.token_to_id(tokens.END))


@pytest.fixture(scope="module")
def trained(tiny_model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_model).eval()
