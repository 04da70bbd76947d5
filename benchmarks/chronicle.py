"""How fast the embedded corpus is generated and parsed, and how much information its text holds.

python benchmarks/chronicle.py [documents]
"""

from __future__ import annotations

import math
import sys
import time

from natfp_bench.corpus import chronicle


def main() -> None:
    """Print the figures of the first documents of seed 0."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    chronicle.document(0, 0)  # builds the tables
    start = time.perf_counter()
    documents = [chronicle.document(0, index) for index in range(number)]
    written = time.perf_counter() - start
    start = time.perf_counter()
    read = [chronicle.bits(document.text) for document in documents]
    parsed = time.perf_counter() - start

    sizes = [len(document.text.encode()) for document in documents]
    total, bits = sum(sizes), sum(document.bits for document in documents)
    rate = bits / total
    residuals = [document.bits - rate * size for document, size in zip(documents, sizes, strict=True)]
    error = math.sqrt(sum(residual**2 for residual in residuals)) / total
    words = {word for document in documents for word in document.text.lower().split()}
    print(f"documents           {number}, {total / number:.0f} bytes each")
    print(f"generated           {total / written / 1e6:.2f} MB/s")
    print(f"parsed              {total / parsed / 1e6:.2f} MB/s")
    print(f"bits per byte       {rate:.4f}, standard error {error:.4f}")
    print(
        f"parsed as written   {sum(abs(a - b.bits) < 1e-9 for a, b in zip(read, documents, strict=True))} of {number}"
    )
    print(f"word types          {len(chronicle.word_types())} in the lexicon, {len(words)} strings seen between spaces")


if __name__ == "__main__":
    main()
