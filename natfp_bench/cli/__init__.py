"""The command line. It parses options, calls the Python API or a stage of `results` or `report`, and prints.

Reading order: `terminal` (consoles, tables, errors), `console` (plans, results and leaderboards in the terminal),
`progress` (live progress of jobs), `options` (option types that commands share) and `examples` (the ends of their
help); `running` (what `run` and `texts` share); then one module per command: `look` (list, show, validate, schema),
`run`, `texts`, `compare`, `leaderboard`, `regress`, `identify` (with `descent`), `trace`, `report`, `export`
(also import-lm-eval), `baseline` and `store`; last `main`, which registers the commands and reports errors.

This room may import every other room. A command imports what it needs inside its function, so that `natfp-bench --help`
stays fast.
"""
