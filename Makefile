# graft: set-up, build and checks. `make` alone lists the targets.
#
#   GRAFT_CACHE=DIR   where native libraries and models are kept (default: ~/.cache/graft)
#   DEVICE=cuda       add the CUDA libraries to the set-up
#   CXX=COMPILER      the C++ compiler behind cgo (default: g++)
#   PYTHON=PYTHON3    the interpreter of the set-up; `make interop` needs Python 3.11

SHELL := /bin/bash
PYTHON ?= python3
DEVICE ?= cpu
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The wrapper itself is no choice: a shell that has sourced the environment file passes it on.
ifneq ($(origin CXX),default)
ifeq ($(filter %/cfg/cxx,$(CXX)),)
export GRAFT_CXX ?= $(CXX)
endif
endif
export PYTHON

# The cache's folder for this checkout's lock files, and the environment that make, CI and editors share.
NATIVE := $(shell $(PYTHON) native/setup.py --print-dir 2>/dev/null)
WITH_ENV = set -a && . "$(NATIVE)/env" && set +a &&
# gotch's largest file takes 2.5 GB to compile: one compiler at a time where memory is short.
GOBUILD = go build $(shell awk '/^MemTotal/ && $$2 < 6000000 { print "-p=1" }' /proc/meminfo 2>/dev/null)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS = -ldflags "-X graft/runtime/ort.NativeDir=$(NATIVE) $(if $(VERSION),-X main.version=$(VERSION))"

MINILM = $(NATIVE)/models/minilm
# Where the CPU multiplies in bfloat16, training does.
BF16   = $(shell grep -qE 'amx_bf16|avx512_bf16' /proc/cpuinfo && echo --bf16)
CUDA   = $(if $(filter cuda,$(DEVICE)),cuda)
# The set-up checks its prerequisites itself, but for the interpreter that it runs on.
SETUP  = command -v $(PYTHON) >/dev/null || exec native/prerequisites.sh 3 / python3 pip go g++ cargo; $(PYTHON) native/setup.py

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "%-12s %s\n", $$1, $$2 }'

.PHONY: setup setup-lite setup-test
setup: ## fetch and build the native libraries into the cache
	@$(SETUP) runtime train $(CUDA)

setup-lite: ## the same without libtorch
	@$(SETUP) runtime

setup-test: setup
	@$(SETUP) runtime train test

.PHONY: build build-lite
build: setup ## build bin/graft
	$(WITH_ENV) $(GOBUILD) $(LDFLAGS) -o bin/graft ./cmd/graft

build-lite: setup-lite ## build bin/graft without libtorch: everything but training
	$(WITH_ENV) $(GOBUILD) $(LDFLAGS) -tags lite -o bin/graft ./cmd/graft

.PHONY: quickstart
quickstart: build ## the whole story: score a real model on a task, train it on the task's own data, score it again
	bin/graft data godoc -o build/godoc --overwrite
	bin/graft export "$(MINILM)" -o build/minilm --overwrite
	bin/graft eval build/minilm --task godoc --data build/godoc -o build/results
	bin/graft train "$(MINILM)" -o build/minilm-godoc --train-data build/godoc/train.jsonl --train-group-size 1 --batch-size 32 \
		--passage-max-len 128 --temperature 0.05 --weight-decay 0.01 --warmup-ratio 0.1 $(BF16) --overwrite
	bin/graft export build/minilm-godoc -o build/minilm-tuned --overwrite
	bin/graft eval build/minilm build/minilm-tuned --task godoc --data build/godoc -o build/results

.PHONY: test unit race interop golden
test: fmt vet unit race lint ## format, vet, all tests, race detector, staticcheck

unit: build setup-test
	$(WITH_ENV) go test -timeout 30m ./...

# The race detector sees Go alone: packages that call native code, themselves or in their tests, are left out.
race: setup-test
	$(WITH_ENV) go test -race -timeout 30m $$(go list -f '{{.ImportPath}} {{.Deps}} {{.TestImports}} {{.XTestImports}}' ./... | \
		grep -v -E 'gotch|daulet/tokenizers|onnxruntime_go|graft/(runtime|train/torch)' | cut -d' ' -f1)

interop: build setup-test ## the tests that need the real Python libraries, in environments of their own
	@$(SETUP) interop
	$(WITH_ENV) GRAFT_PYTHON="$(NATIVE)/python/sentence-transformers/bin/python" \
		GRAFT_PYTHON_OPTIMUM="$(NATIVE)/python/optimum/bin/python" \
		go test -tags interop -run Interop -timeout 60m ./...

golden: build setup-test ## the goldens on real models and data (GOLDENFLAGS=-short: without the longest)
	@$(SETUP) golden
	$(WITH_ENV) go test -tags golden -run Golden -timeout 60m $(GOLDENFLAGS) ./...

.PHONY: fmt vet lint
fmt: ## fail where gofmt would change a file
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "gofmt -w is due: $$files"; exit 1; fi

vet: setup-test ## go vet, for every build
	$(WITH_ENV) go vet -tags golden,interop ./... && go vet -tags lite ./...

lint: setup-test ## staticcheck and the set-up's own tests
	$(WITH_ENV) go run $(STATICCHECK) -tags golden,interop ./...
	$(PYTHON) -B native/setup_test.py

.PHONY: clean
clean: ## remove what the build made here; the cache stays
	rm -rf bin build
