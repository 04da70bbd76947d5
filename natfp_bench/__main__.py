"""`python -m natfp_bench` is `natfp-bench`."""

from .cli.main import main

main()
