# Two commands do everything on a fresh machine: `make demo` and `make test`.
# PIP_ARGS adds arguments to every pip install, e.g. those of a CPU build from PyTorch's installation page.
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
RUN := $(VENV)/bin/python
SWEEP ?= sweeps/window_size.yaml
TEST_JOBS ?= 2
# threads of a trial are a field of its configuration; this sets those of all other processes
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint check clean schema docs campaign campaign-kills campaign-slurm campaign-damage \
	campaign-concurrency campaign-selftest campaign-bench campaign-memory

demo: $(VENV)/.installed
	$(RUN) -m harness sweep $(SWEEP)

# two test files at a time: most tests start processes that wait for each other and leave a core idle
test: $(VENV)/.installed-test
	$(RUN) -m pytest -n $(TEST_JOBS) --dist loadfile

lint: $(VENV)/.installed-test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

check: $(VENV)/.installed
	$(RUN) -m harness check

# the whole fault campaign
campaign: campaign-kills campaign-slurm campaign-damage campaign-concurrency

# 100 SIGKILLs at random instants, 30 of them to a search (about 20 minutes); results so far are in build/campaign, and
# the same command resumes
campaign-kills: $(VENV)/.installed-test
	$(RUN) -m tests.faults.campaign --kills 70
	$(RUN) -m tests.faults.campaign --kills 30 --setting search

# 1,000 seeded damages to the files of finished runs (about 10 minutes); resumes as campaign-kills does
campaign-damage: $(VENV)/.installed-test
	$(RUN) -m tests.damage.campaign --mutations 1000

# 100 faults of concurrency at random instants: edits, deletions, forks, stops, other commands on the same run (about 15
# minutes on a quiet machine); resumes as campaign-kills does
campaign-concurrency: $(VENV)/.installed-test
	$(RUN) -m tests.faults.concurrency.campaign --faults 100

# A/A test of the timing protocol: its false-positive rate over 100 comparisons (half an hour on a quiet machine, an hour on a busy one)
campaign-selftest: $(VENV)/.installed
	$(RUN) -m harness selftest --runs 100 --patience 10s

# SLURM tests that take minutes, on a cluster of their own: real time limits, signals at every moment of a job
campaign-slurm: $(VENV)/.installed-test
	$(RUN) -m pytest tests/slurm -m campaign

# spread of the ratios of ten equal comparisons (goal: 3 %)
campaign-bench: $(VENV)/.installed
	$(RUN) -m harness selftest --pair mixing joint --runs 10

# predicted and measured peak memory of every variant, at sizes with at least 1 GiB of activations
campaign-memory: $(VENV)/.installed-test
	$(RUN) -m tests.measure.memory_campaign

# the JSON Schema of sweep files, for editors; written to the side, so that a failure leaves the old one
schema: $(VENV)/.installed
	$(RUN) -m harness schema > sweeps/schema.json.new
	mv sweeps/schema.json.new sweeps/schema.json

# the documentation as a site, in build/site
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

clean:
	rm -rf $(VENV) build *.egg-info

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q $(PIP_ARGS) -c constraints.txt -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(RUN) -m pip install -q $(PIP_ARGS) -c constraints.txt -e ".[test,oracles]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(RUN) -m pip install -q $(PIP_ARGS) -c constraints.txt -e ".[docs]"
	touch $@
