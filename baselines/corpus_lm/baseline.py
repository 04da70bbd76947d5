"""A small model trained on the sources' corpus, continued on the texts of each class; the likeliest class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tokenizers import Tokenizer

from natfp_bench.attributors.kit import ClassModels, Knowledge, Trunk, epochs_over, small_llama

END = "<|endoftext|>"
"""The token of the corpus' tokenizer that begins and ends a text."""

CONTEXT = 128

READ, MOST = 2_000_000, 4
"""Tokens of the corpus to read, and how often it is read at most if it has fewer."""

AT_ONCE = 256
"""Documents that are encoded together."""


class CorpusLM(ClassModels):
    """The trunk knows the language of the corpus as the sources learnt it, and nothing of how they were trained."""

    def __init__(self, seed: int, knowledge: Knowledge, *, width: int = 64, layers: int = 2, read: int = READ) -> None:
        super().__init__(seed, knowledge)
        self.width, self.layers, self.read = width, layers, read

    def trunk(self, texts: Sequence[str]) -> Trunk:  # noqa: ARG002
        """Train a small Llama on the corpus; torch is seeded already."""
        tokenizer = Tokenizer.from_file(str(self.knowledge.corpus / "tokenizer.json"))
        tokenizer.encode_special_tokens = True
        end = tokenizer.token_to_id(END)
        made = small_llama(tokenizer, end, width=self.width, layers=self.layers, context=CONTEXT)
        rows = list(self._rows(tokenizer, end))
        passes = min(max(1, self.read // (CONTEXT * max(1, len(rows)))), MOST)
        name = ("CorpusLM", "corpus", self.seed)
        epoch = epochs_over(made.model, rows, *name, epochs=passes, batch=self.batch, rate=self.rate)
        made.model.train()
        for number in range(passes):
            epoch(number)
        return made

    def _rows(self, tokenizer: Tokenizer, end: int) -> Iterator[list[int]]:
        """The first tokens of the corpus, one document after another, in rows that fill the context."""
        stream, left, texts = [end], self.read, self.knowledge.corpus_texts()
        while left > 0 and (part := [text for text, _ in zip(texts, range(AT_ONCE), strict=False)]):
            for encoded in tokenizer.encode_batch(part, add_special_tokens=False):
                stream += [*encoded.ids, end]
            while len(stream) > CONTEXT and left > 0:
                yield stream[: CONTEXT + 1]
                # The last token of a row is the first of the next: each is predicted once.
                stream, left = stream[CONTEXT:], left - CONTEXT


def build(seed: int, knowledge: Knowledge) -> CorpusLM:
    """Build an unfitted attributor."""
    return CorpusLM(seed, knowledge)
