# Two commands do everything on a fresh machine: `make demo` and `make test`.
# PIP_ARGS chooses another wheel index, e.g. make demo PIP_ARGS="--index-url https://...".
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
RUN := $(VENV)/bin/python
SWEEP ?= sweeps/window_size.yaml
TEST_JOBS ?= 2
# threads of a trial are a field of its configuration; this is for everything else
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint check clean schema campaign campaign-kills campaign-slurm \
	campaign-selftest campaign-bench campaign-memory

demo: $(VENV)/.installed
	$(RUN) -m harness sweep $(SWEEP)

# two files at a time: most tests are processes that wait for each other on one core
test: $(VENV)/.installed-test
	$(RUN) -m pytest -n $(TEST_JOBS) --dist loadfile

lint: $(VENV)/.installed-test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

check: $(VENV)/.installed
	$(RUN) -m harness check

# the fault campaign, whole
campaign: campaign-kills campaign-slurm

# 100 SIGKILLs at random instants, 30 of them to a search (about 20 minutes); what is done lies in build/campaign, the
# same command goes on
campaign-kills: $(VENV)/.installed-test
	$(RUN) -m tests.faults.campaign --kills 70
	$(RUN) -m tests.faults.campaign --kills 30 --setting search

# A/A test of the timing protocol: its false-positive rate over 100 comparisons (half an hour on a quiet machine, an hour on a busy one)
campaign-selftest: $(VENV)/.installed
	$(RUN) -m harness selftest --runs 100 --patience 10s

# what takes SLURM minutes: real time limits, signals at every moment of a job, on a cluster of its own
campaign-slurm: $(VENV)/.installed-test
	$(RUN) -m pytest tests/slurm -m campaign

# the same comparison ten times over: how far its ratios lie apart (wanted: 3 %)
campaign-bench: $(VENV)/.installed
	$(RUN) -m harness selftest --pair mixing joint --runs 10

# predicted against measured peak memory of every variant at sizes with at least 1 GiB of activations
campaign-memory: $(VENV)/.installed-test
	$(RUN) -m tests.measure.memory_campaign

# the JSON Schema beside the sweeps, for editors
schema: $(VENV)/.installed
	$(RUN) -m harness schema > sweeps/schema.json

clean:
	rm -rf $(VENV) build *.egg-info

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q $(PIP_ARGS) -c constraints.txt -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(RUN) -m pip install -q $(PIP_ARGS) -c constraints.txt -e ".[test,oracles]"
	touch $@
