# The two commands a newcomer needs are `make report` and `make test`; `make help` lists the others.
# Python and venv must be there (make says what is missing); all else goes into .venv from a lock file.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= all

SCENARIO ?= abstract

.PHONY: help report share score test pipeline-test fault-test lint lock clean
.DELETE_ON_ERROR:

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

report: $(VENV)/run.installed ## run the bundled case and print where its report is
	@$(BIN)/snakemake --cores $(CORES)

share: $(VENV)/run.installed ## pack report, figures and tables for others, without raw files, and check the pack
	@$(BIN)/snakemake --cores $(CORES) results/share.zip

score: $(VENV)/run.installed ## compare the bundled case's tables with what was simulated (SCENARIO=no_change for another)
	@$(BIN)/snakemake --cores $(CORES) results/score/score.html --config scenario=$(SCENARIO)
	@echo "The score: $(CURDIR)/results/score/score.html"

test: $(VENV)/test.installed $(VENV)/axe/made ## run the tests (6 minutes or less on two cores)
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile $(TESTS)

pipeline-test: $(VENV)/test.installed ## whole runs: scenarios, designs, what reruns, what is new, sharing (5 minutes on two cores)
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile tests/pipeline/*_runs.py

lint: $(VENV)/test.installed ## ruff, snakefmt and snakemake --lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/snakefmt --check Snakefile rules
	@$(BIN)/snakemake --lint

lock: ## write the lock files anew from requirements/*.in (needs uv)
	@for set in run test conda-test slurm; do \
	  uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	    --no-header --no-emit-index-url --no-emit-find-links --no-annotate \
	    $$(test $$set != run && echo "--constraints requirements/run.lock") \
	    requirements/$$set.in --output-file requirements/$$set.lock || exit 1; \
	done

fault-test: $(VENV)/test.installed ## kill runs, fill disks, break files: does the same command go on? (8 minutes on two cores, as root)
	@$(BIN)/python -m pytest -q -s -p no:cacheprovider tests/faults/fault_runs.py

clean: ## remove everything generated, and the environment
	rm -rf $(VENV) .snakemake .pytest_cache .ruff_cache .hypothesis logs benchmarks/results
	find results -mindepth 1 ! -name README.md -delete

# test.lock holds all of run.lock in the same versions, so both go into one environment.
$(VENV)/%.installed: requirements/%.lock | $(BIN)/python
	@echo "Installing the packages of $< into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 --require-hashes -r $< \
	  || { echo "error: the packages of $< could not be installed (see above). A connection to the package index is needed for the first run." >&2; exit 1; }
	@touch $@

$(VENV)/axe/made: requirements/axe.lock | $(BIN)/python
	@rm -rf $(VENV)/axe
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  --target $(VENV)/axe -r $< \
	  && touch $@ || echo "The rules of axe-core could not be fetched: their tests will be skipped." >&2

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "error: $(PYTHON) is missing. Install Python 3.11 or newer (Debian: apt-get install python3 python3-venv), or name yours: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1), and Python 3.11 or newer is needed. Install one, or name yours: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "error: $(PYTHON) lacks the venv module. Install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# Conda. What the test needs is downloaded once, by hash, as wheels: its tools, a Snakemake that has
# nothing beside it, and, for a machine without conda, the packages of a local channel.
CONDA_TEST := $(VENV)/conda

.PHONY: conda-test
conda-test: $(CONDA_TEST)/made ## run the bundled case in its conda environments (4 minutes on two cores)
	@$(CONDA_TEST)/tools/bin/python -m pytest -q -s -p no:cacheprovider --basetemp $(CONDA_TEST)/run \
	  tests/conda/test_lock_worlds.py tests/conda/conda_runs.py

$(CONDA_TEST)/made: requirements/run.lock requirements/conda-test.lock tests/conda/channel.py | $(BIN)/python
	@rm -rf $(CONDA_TEST)
	@echo "Making what the conda test needs in $(CONDA_TEST) ..."
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --use-pep517 --no-deps --require-hashes \
	  -r requirements/run.lock -r requirements/conda-test.lock --wheel-dir $(CONDA_TEST)/wheels
	@for name in tools snakemake; do $(BIN)/python -m venv $(CONDA_TEST)/$$name || exit 1; done
	@$(CONDA_TEST)/tools/bin/python -m pip install --quiet --disable-pip-version-check \
	  --no-index --find-links $(CONDA_TEST)/wheels -r requirements/conda-test.in
	@$(CONDA_TEST)/snakemake/bin/python -m pip install --quiet --disable-pip-version-check \
	  --no-index --find-links $(CONDA_TEST)/wheels snakemake
	@command -v conda >/dev/null || $(CONDA_TEST)/tools/bin/python tests/conda/channel.py \
	  $(CONDA_TEST)/wheels $(CONDA_TEST)/channel/conda-forge
	@touch $@

# Slurm. The test starts a Slurm of its own from Debian's packages, as root.
.PHONY: slurm slurm-test
slurm: $(VENV)/slurm.installed ## add to the environment what running on a cluster needs

slurm-test: $(VENV)/test.installed $(VENV)/slurm.installed ## run the bundled case and faults on a Slurm of its own (10 minutes on two cores)
	@for program in slurmctld slurmd slurmdbd munged mariadbd; do \
	  PATH=$$PATH:/usr/sbin command -v $$program >/dev/null || { echo "error: $$program is missing. Debian, as root: apt-get install --no-install-recommends slurm-wlm munge slurmdbd mariadb-server-core" >&2; exit 1; }; \
	done
	@$(BIN)/python -m pytest -q -s -p no:cacheprovider --basetemp $(VENV)/slurm-run tests/slurm/slurm_runs.py
