"""Shared fixtures: everything runs offline, in a store of its own."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may touch the user's store."""
    monkeypatch.setenv("NATFP_STORE", str(tmp_path / "default-store"))


@pytest.fixture(scope="session")
def prose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file of a few hundred kilobytes of word salad with structure, the same on every machine."""
    from natfp_bench import streams

    parts = [
        "the miller|a sailor|her brother|the old judge|every child|a tall stranger|the baker|our neighbour",
        "sold|found|carried|lost|painted|remembered|broke|praised|hid|counted",
        "a boat|the red lamp|two horses|his letter|the stone bridge|an apple|seven coins|the map|her song",
        "in the harbour|by the river|at dawn|near the church|before winter|under the oak|on Sunday",
    ]
    subjects, verbs, objects, places = (part.split("|") for part in parts)
    words = streams.raw(4 * 5 * 4000, "tests", "prose").reshape(4000, 5, 4)
    documents = []
    for document in words:
        sentences = [
            " ".join(
                part[int(word % len(part))] for part, word in zip((subjects, verbs, objects, places), row, strict=True)
            )
            for row in document.tolist()
        ]
        documents.append(" ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences))
    path = tmp_path_factory.mktemp("prose") / "prose.txt"
    path.write_text("\n\n".join(documents), encoding="utf-8")
    return path
