"""The Python face: the functions and classes that `import natfp_bench` offers to scripts and notebooks.

Reading order: `frames` (rows of scores, and pandas when it is asked for), `html` (sentences, tables and figures for a
notebook), `progress` (live progress, and errors without noise), `finished` (a finished run, and a collection of them),
`answers` (leaderboards and identifications as notebooks show them), `run`, `ask` and `trace` (the functions).

Each function does what a command does, with the same defaults: it calls `natfp_bench.api` or a stage of `results` or
`report`, and shows the progress of `cli`. So this room comes after all others, and no other room imports it.
"""
