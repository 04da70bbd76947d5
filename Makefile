# make run      make .venv, install, and run one task    make test      the fast tests; ROOM=statistics: of one room
# make lint     formatting, lint, types                  make check     everything that is too slow for make test
# make format   mend formatting and lint                 make times     how long test and check take
# make regress  is a classifier worse on fixed texts?    make reference accept what classifiers do now as the reference
# make results  run every task that trains, and keep the results in docs/results (hours; it goes on where it stopped)
# make figures  the figures of the README and docs/results.md, from docs/results (or RESULTS=folder)
# make trends   docs/trends.md from results of sweeps in docs/results (or SWEEPS=folder)
# make docs     the documentation site, in build/docs, with the report of docs/results (or REPORT=folder)
# make dist     the wheel and the source in dist/       make sbom     the packages that the wheel runs with
# make hashes   write the files of hashes anew, after a change of constraints.txt
#
# Every package is installed at the version and with a hash of constraints.hashed.txt. Where other files must be
# installed (another index, another system), make HASHES=0 installs the versions of constraints.txt without hashes.

PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE ?= 1

# One task that holds out replicates and one that does not, with all fast baselines.
FIXED = $(BIN)/natfp-bench run --fixed-texts --task seed_id,lr_id --store "$$folder/store" -o "$$folder/results"
# Two processes, each with whole files: the fixtures of a file are made once. Files with the most tests are first, or
# with --no-loadscope-reorder those that take longest (tests/conftest.py).
PARALLEL = -n 2 --dist loadfile
REFERENCE = benchmarks/reference.parquet
HASHES ?= 1
# pip would compile one file after the other, which takes as long as all else; compileall uses all cores. It ends with 1
# if some file is no Python, as templates of packages are.
PIP = $(BIN)/python -m pip install --disable-pip-version-check --no-compile -q
# The files of hashes are complete, so pip looks for no dependencies, and nothing is installed that they do not list.
# A few packages come as source alone. setuptools builds them; isolated builds would fetch it without a hash.
HASHED = $(PIP) --require-hashes --no-deps --no-build-isolation
ifeq ($(HASHES),1)
CONSTRAINTS = constraints.txt constraints.hashed.txt constraints.cpu.txt constraints.cuda.txt
else
CONSTRAINTS = constraints.txt
endif

.PHONY: run test check times regress reference results figures trends docs hashes dist sbom lint format .venv clean

run: .venv
	$(BIN)/natfp-bench run --task seed_id

test: .venv
	$(BIN)/python -m pytest $(PARALLEL) $(ROOM:%=tests/%)

check: .venv regress
	$(BIN)/python -m pytest $(PARALLEL) --no-loadscope-reorder -m slow
	store=$$(mktemp -d) && trap 'rm -rf "$$store"' EXIT && \
	$(BIN)/natfp-bench run --task all --preset brief --include-path benchmarks --baseline majority,naive_bayes \
		--store "$$store/store" -o "$$store/results" && \
	$(BIN)/natfp-bench leaderboard "$$store/results" && $(BIN)/natfp-bench store verify --store "$$store/store"
	$(BIN)/python benchmarks/performance.py --guard

times: .venv
	$(BIN)/python benchmarks/times.py

regress: .venv
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(FIXED) && \
	$(BIN)/natfp-bench regress --reference $(REFERENCE) --results "$$folder/results"

reference: .venv
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(FIXED) && \
	$(BIN)/natfp-bench regress --reference $(REFERENCE) --results "$$folder/results" --update

# The preset has enough runs per level to test every factor of one table. Predictions are left out, and results are compressed.
results: .venv
	$(BIN)/natfp-bench run --task all --preset quick -o build/results \
		--baseline majority,unigram,naive_bayes,word_ngram,ngram_lm
	for result in build/results/*/quick/*/result.json; do \
		folder=docs/results/$$(echo "$$result" | cut -d / -f 3) && mkdir -p "$$folder" && \
		gzip -9nc "$$result" > "$$folder/result.json.gz" || exit 1; \
	done

RESULTS ?= docs/results
figures: .venv
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && mkdir -p docs/figures && \
	$(BIN)/natfp-bench report $(RESULTS) --figures "$$folder" --only 'index-factors*' && \
	$(BIN)/natfp-bench report $(RESULTS)/seed_id --figures "$$folder" --only 'tasks-seed_id-*-length' --overwrite && \
	cp "$$(ls "$$folder"/index-factors*.svg | head -n 1)" docs/figures/factors.svg && \
	cp "$$(ls "$$folder"/tasks-*-length.svg | head -n 1)" docs/figures/length.svg
	$(BIN)/natfp-bench leaderboard $(RESULTS) --format md -o docs/results.md --figures docs/figures/curves

# Results of sweeps, of crossed seeds, and of tasks with many seeds.
SWEEPS ?= docs/results
trends: .venv
	$(BIN)/natfp-bench leaderboard $(SWEEPS) --trends --format md -o docs/trends.md --figures docs/figures/trends

# Needs the extra docs. A link to nothing, or a name without a docstring to show, is an error.
REPORT ?= docs/results
docs: .venv
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	if [ -d $(REPORT) ]; then $(BIN)/natfp-bench report $(REPORT) -o "$$folder/report" && export NATFP_REPORT="$$folder/report"; fi && \
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict -q -f docs/site/mkdocs.yml

lint: .venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --num-workers auto
	$(BIN)/mypy .github benchmarks/hashed_constraints.py
	$(BIN)/zizmor --offline --no-progress .github
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

format: .venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv: .venv/installed

# Made again if it is missing, or older than these files.
.venv/installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv --clear .venv
ifeq ($(HASHES),1)
	sed -n '/^setuptools==/,/[^\\]$$/p' constraints.hashed.txt > .venv/setuptools.txt
	$(HASHED) -r .venv/setuptools.txt
	$(HASHED) -r constraints.cpu.txt 2>/dev/null || echo 'pip finds no CPU build of torch, so it takes the one of PyPI'
	$(HASHED) -r constraints.hashed.txt
	if $(BIN)/python -c 'import sys, importlib.metadata as of; sys.exit("cuda" not in str(of.requires("torch")))'; then \
		$(HASHED) -r constraints.cuda.txt; \
	fi
	$(PIP) --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip check --disable-pip-version-check
else
	$(PIP) -c constraints.txt -e '.[dev]'
endif
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true
	touch $@

# Times in the files are those of the commit: who builds the same commit gets the same bytes. It is built twice to see.
dist: .venv
	rm -rf dist build && export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) && \
	$(BIN)/python -m hatchling build -d dist && $(BIN)/python -m hatchling build -d build/again && diff -r dist build/again

sbom: dist
	rm -rf build/fresh build/tool && $(PYTHON) -m venv build/fresh && $(PYTHON) -m venv build/tool
	build/fresh/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt dist/*.whl
	build/tool/bin/python -m pip install --disable-pip-version-check -q --require-hashes --no-deps -r constraints.sbom.txt
	build/tool/bin/cyclonedx-py environment build/fresh/bin/python --pyproject pyproject.toml --output-reproducible \
		-o build/sbom.cdx.json

hashes:
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder" && \
	"$$folder/bin/python" -m pip install --disable-pip-version-check -q uv==0.13.8 && \
	$(PYTHON) benchmarks/hashed_constraints.py "$$folder/bin/uv"

clean:
	rm -rf .venv results
