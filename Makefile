# make run      make .venv, install, and run one task    make test      the fast tests; ROOM=statistics: of one room
# make lint     formatting, lint, types                  make check     everything that is too slow for make test
# make format   mend formatting and lint                 make times     how long test and check take
# make regress  is a classifier worse on fixed texts?    make reference accept what classifiers do now as the reference
# make figures  the figures of the README, from the results in results/ (or RESULTS=folder)

PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE ?= 1

# One task that holds out replicates and one that does not, with all fast baselines.
FIXED = $(BIN)/natfp-bench run --fixed-texts --task seed_id,lr_id --store "$$folder/store" -o "$$folder/results"
# Two processes, each with whole files: the fixtures of a file are made once.
PARALLEL = -n 2 --dist loadfile
REFERENCE = benchmarks/reference.parquet

.PHONY: run test check times regress reference figures lint format .venv clean

run: .venv
	$(BIN)/natfp-bench run --task seed_id

test: .venv
	$(BIN)/python -m pytest $(PARALLEL) $(ROOM:%=tests/%)

check: .venv regress
	$(BIN)/python -m pytest -n 2 -m slow
	store=$$(mktemp -d) && trap 'rm -rf "$$store"' EXIT && \
	$(BIN)/natfp-bench run --task all --preset smoke --baseline majority,naive_bayes,ngram_lm \
		--store "$$store/store" -o "$$store/results" && \
	$(BIN)/natfp-bench leaderboard "$$store/results" && $(BIN)/natfp-bench store verify --store "$$store/store"

times: .venv
	$(BIN)/python benchmarks/times.py

regress: .venv
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(FIXED) && \
	$(BIN)/natfp-bench regress --reference $(REFERENCE) --results "$$folder/results"

reference: .venv
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(FIXED) && \
	$(BIN)/natfp-bench regress --reference $(REFERENCE) --results "$$folder/results" --update

RESULTS ?= results
figures: .venv
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && mkdir -p docs/figures && \
	$(BIN)/natfp-bench report $(RESULTS) --figures "$$folder" --only 'index-factors*,tasks-seed_id-quick-*-length' && \
	cp "$$(ls "$$folder"/index-factors*.svg | head -n 1)" docs/figures/factors.svg && \
	cp "$$(ls "$$folder"/tasks-*-length.svg | head -n 1)" docs/figures/length.svg

lint: .venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv: .venv/installed

# Made again if it is missing, or older than these files.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv results
