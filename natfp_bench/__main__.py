"""`python -m natfp_bench` is `natfp-bench`."""

from .cli import main

main()
