export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
BIN    := .venv/bin
EXTRAS := learn,scale,structures,feff,relax,tables,explain,detectors,dev
DATA   := $(abspath ../shared/data)
ONE    := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1 MPLBACKEND=agg
ifneq ($(wildcard $(DATA)),)
export MATTERSCOPE_DATA ?= $(DATA)
endif
.PHONY: demo test slow lint newest

.venv/.ok: pyproject.toml constraints.txt
	test -d .venv || python3 -m venv .venv
	$(BIN)/pip install -q torch==2.13.0                  # first, so that no later range can reach for CUDA
	$(BIN)/pip install -q -e '.[$(EXTRAS)]'
	$(BIN)/python -c "import os, sys, torch; m = 'a CUDA build of torch was installed: it works but takes gigabytes (see README)'; torch.version.cuda and (sys.exit(m) if os.environ.get('CI') else print('note:', m))"
	$(BIN)/python -c "import sys, importlib.util as u; sys.exit(u.find_spec('torchvision') and 'torchvision must not be installed')"
	touch $@ .venv/.demo

# the demo needs no torch
.venv/.demo: pyproject.toml constraints.txt
	test -d .venv || python3 -m venv .venv
	$(BIN)/pip install -q -e .
	touch $@

demo: .venv/.demo
	$(ONE) $(BIN)/matterscope demo --out demo-out --seed 0

test: .venv/.ok
	$(ONE) $(BIN)/pytest -n 2 --dist loadfile -m 'not slow and not e2e and not oracle'

slow: .venv/.ok
	$(ONE) $(BIN)/pytest -n 2 --dist loadfile -m 'slow and not e2e and not oracle'

lint: .venv/.ok
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src
