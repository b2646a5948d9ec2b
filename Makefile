# SPDX-License-Identifier: MIT
# `make help` lists the targets, from the comments behind them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_PRESET ?= fast
ARGS ?=
ABLATE ?= --preset fast
FUZZ ?= --seconds 60
CPP := $(wildcard c3video/native/src/*/*.cpp c3video/native/src/*/*.h)
# A process a core; one that has nothing left takes tests from the other, since a few files take a minute each.
PARALLEL := -n auto --maxprocesses 8 --dist worksteal
SANITIZED := tests/native $(wildcard tests/*/fit/test_native_*.py) tests/hybrid/test_decode.py tests/test_conformance.py \
  tests/test_corruption.py
# Plain C++ and the widest vectors of this machine; AVX2 is the same source in between, VNNI reads and writes as AVX-512.
SANITIZED_SETS ?= plain;$(if $(shell grep -m 1 avx512vl /proc/cpuinfo 2>/dev/null),avx512,avx2)
UNDER_SANITIZERS = ASAN_OPTIONS=detect_leaks=0 \
  LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)"

export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Where ccache is installed, a build compiles only what has changed, though pip builds in a new folder each time.
ifneq ($(shell command -v ccache),)
export CMAKE_CXX_COMPILER_LAUNCHER ?= ccache
export CCACHE_NOHASHDIR ?= 1
export CCACHE_SLOPPINESS ?= include_file_mtime,include_file_ctime,time_macros
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-sanitize fuzz fuzz-sanitize bench wheel reference uvg-eval clips-eval hd-eval \
  kodak-eval eval-smoke ablate check format clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## make the environment in .venv (PYTHON=python3.12 picks an interpreter); done by the others when needed
	@echo "$(VENV) is ready"

$(READY): pyproject.toml constraints.txt $(wildcard c3video/native/src/*/*) c3video/native/CMakeLists.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "c3video needs Python 3.10 or newer; this is $$($(PYTHON) -V 2>&1). Try: make setup PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing c3video and its dependencies into $(VENV) ..." >&2
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)  ## encode a small real clip, decode it through a pipe, check every frame, compare with x264 and x265 (DEMO_PRESET=fast)
	@$(BIN)/python -m eval.demo --preset $(DEMO_PRESET)

test: $(READY)  ## run the quick tests, on all cores
	@$(BIN)/python -m pytest -q -m "not slow" $(PARALLEL)

test-slow: $(READY)  ## run the slow tests, on all cores
	@$(BIN)/python -m pytest -q -m slow $(PARALLEL)

test-sanitize: build/sanitize/.ready  ## run the extension's tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@cd build/sanitize/package && $(UNDER_SANITIZERS) ../bin/python -m pytest -q -p no:cacheprovider \
	  -c ../../../pyproject.toml --rootdir=. -o pythonpath= $(SANITIZED)

# A package of its own, beside the packages of .venv but for the editable c3video there.
build/sanitize/.ready: $(READY) $(wildcard c3video/*.py c3video/*/*.py c3video/*/fit/*.py c3video/*/*/*.i16) \
  $(wildcard tests/*.py tests/*/*.py tests/*/fit/*.py tests/vectors/*.c3v tests/vectors/*.json tests/fuzz/corpus/*)
	@test -x build/sanitize/bin/python || $(BIN)/python -m venv --without-pip build/sanitize
	@rm -rf build/sanitize/package
	@$(BIN)/python -m pip install --quiet --no-deps --target build/sanitize/package \
	  --config-settings=build-dir=build/sanitize/cmake \
	  --config-settings=cmake.define.C3VIDEO_SANITIZE=ON \
	  --config-settings='cmake.define.C3VIDEO_INSTRUCTION_SETS=$(SANITIZED_SETS)' .
	@$(BIN)/python -c 'import sys; print(*(path for path in sys.path if path.endswith("site-packages")), sep="\n")' \
	  > $$(build/sanitize/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/packages.pth
	@cp -R tests build/sanitize/package/
	@touch $@

fuzz-sanitize: build/sanitize/.ready  ## the same as fuzz, under the sanitizers (FUZZ="--seconds 3600")
	@cd build/sanitize/package && $(UNDER_SANITIZERS) ../bin/python -m tests.fuzz.run --out ../fuzz $(FUZZ)

fuzz: $(READY)  ## decode streams that are wrong behind right checksums (FUZZ="--seconds 3600"); a minute by default
	@$(BIN)/python -m tests.fuzz.run $(FUZZ)

bench: $(READY)  ## measure decoding and fitting on this machine; keeps streams and figures in bench/
	@$(BIN)/python -m eval.bench

wheel: $(READY)  ## build a wheel for this Python in dist/ (all platforms: cibuildwheel reads pyproject.toml)
	@$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

reference: $(READY)  ## fit the patch that the reference was run on as it was, compare with its figures (ARGS="--steps 4.7")
	@$(BIN)/python -m eval.reference_patch $(PATCH) $(ARGS)

uvg-eval: $(READY)  ## the paper's experiment on UVG (UVG_DIR=folder; ARGS="--clips Jockey --frames 0:60 --workers 2")
	@UVG_DIR="$(UVG_DIR)" $(BIN)/python -m pipelines.evaluate uvg $(ARGS)

hd-eval: $(READY)  ## the same at 720x576 to 1920x1080 (CLIPS_DIR=folder of your own; ARGS=...)
	@$(BIN)/python -m pipelines.evaluate hd $(if $(CLIPS_DIR),--folder "$(CLIPS_DIR)") $(ARGS)

kodak-eval: $(READY)  ## stills beside what others publish for each (KODAK_DIR=folder; ARGS="--preset medium --clips kodim03")
	@KODAK_DIR="$(KODAK_DIR)" $(BIN)/python -m pipelines.evaluate kodak $(ARGS)

clips-eval: $(READY)  ## the same on small clips and stills (CLIPS_DIR=folder of your own; ARGS=...)
	@$(BIN)/python -m pipelines.evaluate clips $(if $(CLIPS_DIR),--folder "$(CLIPS_DIR)") $(ARGS)

eval-smoke: $(READY)  ## the same on three frames, about a minute
	@$(BIN)/python -m pipelines.evaluate smoke $(ARGS)

ablate: $(READY)  ## what each ingredient of a fit brings (ABLATE="--clips a.mkv b.mkv --rd-weights 3e-4 1e-3 3e-3 --name rates")
	@$(BIN)/python -m eval.ablate $(ABLATE)

check: $(READY)  ## lint, formatting (of C++ too) and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@if test -x $(BIN)/clang-format; then $(BIN)/clang-format --dry-run --Werror $(CPP); \
	  else echo "clang-format is not there: C++ was not checked" >&2; fi

format: $(READY)  ## put the formatting right
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@if test -x $(BIN)/clang-format; then $(BIN)/clang-format -i $(CPP); fi

clean:  ## remove the environment, caches and the demo's files
	rm -rf $(VENV) demo bench build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
