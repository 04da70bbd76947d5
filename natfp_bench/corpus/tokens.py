"""From documents to blocks of tokens. Documents are chosen and packed once, independently of any seed.

All variants that train on the same data read the same blocks; a seed only changes their order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from natfp_bench.base.errors import UserError
from natfp_bench.base.progress import Progress, no_progress
from natfp_bench.base.records import digest, file_digest
from natfp_bench.plan.settings import MAX_EPOCHS, TokenizerSpec

from .documents import Corpus, Document
from .metas import CorpusMeta

END = "<|endoftext|>"
"""The only special token: it begins a text, and ends it."""

BATCH_DOCUMENTS, BATCH_CHARACTERS = 512, 200_000
"""Most documents, and about the most characters, that are encoded together."""


class TextReader(NamedTuple):
    """A tokenizer, and the tokens that begin and end a text."""

    tokenizer: Tokenizer
    begin: int
    end: int


def identity(found: TextReader) -> str:
    """Digest of how texts are read: special tokens do not count, since no text has them."""
    content = json.loads(found.tokenizer.to_str())
    ordinary = [token for token in content["added_tokens"] if not token["special"]]
    return digest([{**content, "added_tokens": ordinary}, found.begin, found.end])


def reader(folder: Path, meta: Mapping[str, Any]) -> TextReader:
    """Read the tokenizer of a model or corpus; if its meta has no begin and end, END is both."""
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    if "begin" in meta:
        return TextReader(tokenizer, meta["begin"], meta["end"])
    end = tokenizer.token_to_id(END)
    return TextReader(tokenizer, end, end)


def train_tokenizer(documents: Iterable[str], spec: TokenizerSpec) -> Tokenizer:
    """Train a byte-level BPE tokenizer; raises UserError if there is too little text for the vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocabulary,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    if tokenizer.get_vocab_size() < spec.vocabulary:
        raise UserError(
            f"the corpus is too small for the preset: its text gives a vocabulary of {tokenizer.get_vocab_size()}, and "
            f"tokenizer.vocabulary is {spec.vocabulary}\n  take more text, or --set tokenizer.vocabulary=257"
        )
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """Load `tokenizer.json`; a text that spells the end token is encoded as ordinary text."""
    return reading_whole_texts(Tokenizer.from_file(str(path)))


def reading_whole_texts(tokenizer: Tokenizer) -> Tokenizer:
    """Switch off what the last user of a tokenizer's file left in it: truncation, padding and random merges."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if getattr(tokenizer.model, "dropout", None):
        tokenizer.model.dropout = None
    tokenizer.encode_special_tokens = True
    return tokenizer


def prepare(
    corpus: Corpus,
    spec: TokenizerSpec | TextReader,
    *,
    context: int,
    blocks: int,
    heldout: int,
    folder: Path,
    whole: Corpus | None = None,
    reads: int | None = None,
    fresh: int = 0,
    tail: Corpus | None = None,
    progress: Progress = no_progress,
) -> CorpusMeta:
    """Train the tokenizer, pack the first training documents, and keep the first held-out documents.

    whole: a corpus of which `corpus` is a part; tokenizer and held-out documents then come from the whole, so that
    models of different parts share them. reads: blocks that training reads, repetitions included (default: each block
    once); the last `fresh` blocks are never repeated, and are those of the corpus `tail` if there is one. spec: a
    tokenizer to train, or that of a model that exists already. Writes `tokenizer.json`, `blocks.bin` (little-endian
    uint32, (blocks, context)) and `heldout.parquet` (text, bits) into the folder; fewer than `blocks` blocks if the
    corpus has no more. Memory stays bounded. Raises UserError if the corpus is too small: if blocks had to be read more
    than four times, if there are too few for the fine-tuning, or if there are no held-out documents.
    """
    whole, reads = whole or corpus, blocks - fresh if reads is None else reads
    if isinstance(spec, TokenizerSpec):
        sample = _until((doc.text for doc in whole.documents() if not doc.heldout), spec.train_bytes)
        train_tokenizer(sample, spec).save(str(folder / "tokenizer.json"))
        known = reader(folder, {})
    else:
        known = spec
        known.tokenizer.save(str(folder / "tokenizer.json"))
    documents = size = written = 0
    with (folder / "blocks.bin").open("wb") as file:
        for source, wanted in [(corpus, blocks)] if tail is None else [(corpus, blocks - fresh), (tail, fresh)]:
            done = 0
            for packed in _packed(source, known, context):
                documents += packed.documents
                size += packed.bytes
                ready = packed.blocks[: wanted - done]
                ready.tofile(file)
                done += len(ready)
                progress((written + done) * context, blocks * context, "tokens")
                if done == wanted:
                    break
            written += done
    if tail is not None and done < fresh:
        raise UserError(
            f"there are too few documents for the fine-tuning: they have {done * context:,} tokens, and it reads "
            f"{fresh * context:,}\n  take more text, or a smaller finetune.share"
        )
    if (written - fresh) * MAX_EPOCHS < reads:
        raise UserError(
            f"the corpus is too small for the preset: it has {written * context:,} tokens to train on "
            f"({size:,} bytes). Training reads {(reads + fresh) * context:,} tokens, which needs a corpus of at least "
            f"{(-(-reads // MAX_EPOCHS) + fresh) * context:,} with at most {MAX_EPOCHS} epochs\n"
            "  take more text, a smaller --preset, or --set budget.tokens=N"
        )
    kept = _keep_heldout(whole, heldout, folder)
    return CorpusMeta(
        documents=documents,
        bytes=size,
        tokens=written * context,
        blocks=written,
        context=context,
        heldout_documents=kept,
        digest=file_digest(folder / "blocks.bin"),
    )


class _Packed(NamedTuple):
    """Blocks of tokens, (blocks, context) uint32, and the documents that were read for them."""

    blocks: NDArray[Any]
    documents: int
    bytes: int


def _packed(corpus: Corpus, known: TextReader, context: int) -> Iterator[_Packed]:
    """Pack the training documents of a corpus, in bounded memory."""
    # Where one token begins and ends texts, it separates them once.
    last = [] if known.begin == known.end else [known.end]
    pending: list[int] = []
    for batch in _batches(corpus.documents()):
        texts = [doc.text for doc in batch if not doc.heldout]
        for encoding in known.tokenizer.encode_batch(texts, add_special_tokens=False):
            pending += [known.begin, *encoding.ids, *last]
        ready = len(pending) // context
        blocks = np.array(pending[: ready * context], dtype="<u4").reshape(ready, context)
        pending = pending[ready * context :]
        yield _Packed(blocks, len(texts), sum(len(text.encode()) for text in texts))


def prepare_heldout(corpus: Corpus, heldout: int, folder: Path) -> CorpusMeta:
    """Keep only the first held-out documents; models that are not trained here are measured on them."""
    kept = _keep_heldout(corpus, heldout, folder)
    made = file_digest(folder / "heldout.parquet")
    return CorpusMeta(documents=0, bytes=0, tokens=0, blocks=0, context=0, heldout_documents=kept, digest=made)


def _keep_heldout(corpus: Corpus, heldout: int, folder: Path) -> int:
    """Write `heldout.parquet` (text, bits); return the number of its documents."""
    kept = list(islice((doc for doc in corpus.documents() if doc.heldout), heldout))
    if len(kept) < min(heldout, 2):
        raise UserError(
            f"the corpus is too small for the preset: {len(kept)} of its documents are held out, and 2 are needed\n"
            "  take more text; blank lines separate documents"
        )
    columns = {"text": [doc.text for doc in kept], "bits": pa.array([doc.bits for doc in kept], pa.float64())}
    pq.write_table(pa.table(columns), folder / "heldout.parquet")
    return len(kept)


def _until(texts: Iterable[str], limit: int) -> Iterator[str]:
    total = 0
    for text in texts:
        yield text
        total += len(text.encode())
        if total >= limit:
            return


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if len(batch) == BATCH_DOCUMENTS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def read_blocks(folder: Path, context: int) -> NDArray[Any]:
    """Map the packed blocks into memory: (blocks, context) uint32, read-only."""
    return np.memmap(folder / "blocks.bin", dtype="<u4", mode="r").reshape(-1, context)


def read_heldout(folder: Path) -> list[Document]:
    """Read the held-out documents."""
    table = pq.read_table(folder / "heldout.parquet")
    return [Document(row["text"], row["bits"]) for row in table.to_pylist()]


def prompts(folder: Path, characters: int) -> list[str]:
    """First characters of each held-out document that is long enough; one empty prompt if `characters` is 0.

    Documents with the same beginning give one prompt: with two ids, it could be on both sides of a split by prompt.
    Raises UserError if there are fewer than two prompts.
    """
    if not characters:
        return [""]
    found = dict.fromkeys(doc.text[:characters] for doc in read_heldout(folder) if len(doc.text) >= characters)
    if len(found) < 2:
        raise UserError(
            f"at least two prompts are needed, and the held-out documents have {len(found)} different beginnings of "
            f"{characters} characters\n  take more text, or --set sampling.prompt_characters=N"
        )
    return list(found)
