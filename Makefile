# CAOS: build, try, test. `make help` lists the targets.

GO             ?= go
DEMO_FLAGS     ?=
TEST_FLAGS     ?=
BENCH_FLAGS    ?=
FAULT_FLAGS    ?=
STATICCHECK    := honnef.co/go/tools/cmd/staticcheck@v0.7.0
GO_WANTED      := $(shell sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' go.mod)
VERSION        := $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.0.0-unversioned)
PURE           := caos caos-verify
DEVCHAIN       := caos-devchain
CGO            := caos-worker
# caos-worker has C++ in it. Without a compiler everything else is built and tested, and
# what needs the worker says so.
HAVE_CXX       := $(shell command -v "$$($(GO) env CXX 2>/dev/null | cut -d' ' -f1)" 2>/dev/null)
NO_CXX         := missing: a C++ compiler (apt-get install g++, or your system's package): caos-worker is not built, and pipelines and validations are refused until it is
# Two builds of one commit give the same bytes: no paths, no build id, no time.
BUILD_FLAGS    := -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$(VERSION)"

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench faults faults-seeded histories contracts build clean need-go need-git need-npm

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: need-go bin/caos bin/caos-verify bin/$(CGO) bin/$(DEVCHAIN) ## the main job on real input in a temporary folder; DEMO_FLAGS="--keep" leaves it running, "--json" is for scripts
	@PATH="$(CURDIR)/bin:$$PATH" bin/caos demo $(DEMO_FLAGS)

test: need-go need-git ## all tests; PostgreSQL is used where its programs are installed or CAOS_TEST_POSTGRES names a server
	$(if $(HAVE_CXX),,@echo "$(NO_CXX)" >&2)
	$(if $(HAVE_CXX),,CGO_ENABLED=0) $(GO) test -timeout 30m $(TEST_FLAGS) ./...
	$(GO) -C bench test -short -timeout 10m $(TEST_FLAGS) ./...

lint: need-go ## gofmt, vet, staticcheck
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); if [ -n "$$out" ]; then echo "gofmt -w these files:"; echo "$$out"; exit 1; fi
	$(if $(HAVE_CXX),,CGO_ENABLED=0) $(GO) vet ./...
	$(if $(HAVE_CXX),,CGO_ENABLED=0) $(GO) run $(STATICCHECK) ./...
	$(GO) -C bench vet ./...

bench: need-go build ## the figures beside those of their peers, one table
	@if [ ! -f bench/go.mod ]; then echo "make bench: the folder bench/ (a module of its own, see docs/decisions/0001-peers-in-a-module-of-their-own.md) is missing"; exit 1; fi
	$(GO) -C bench run . $(BENCH_FLAGS)

faults: need-go ## the long fault campaign: kill -9, stopped nodes, wrong clocks, lost answers, on both databases; CAOS_FAULT_KILLS_SQLITE=20 and the like shrink it
	CAOS_FAULTS=1 $(GO) test -run '^TestFault' -count=1 -timeout 120m $(FAULT_FLAGS) ./...
	CAOS_FAULTS=1 $(GO) -C bench test -run '^TestFault' -count=1 -v -timeout 120m $(FAULT_FLAGS) ./faults

faults-seeded: need-go ## shows that the campaign finds faults: runs it on builds with one mistake each
	CAOS_FAULTS=seeded $(GO) -C bench test -run '^TestSeeded' -count=1 -v -timeout 120m $(FAULT_FLAGS) ./faults

histories: need-go ## 10,000 random histories of people, and 1,000 concurrent votes and revocations: nobody barred ever counts; CAOS_HISTORIES=1000 shrinks it
	CAOS_HISTORIES=$${CAOS_HISTORIES:-10000} CAOS_CONCURRENT=$${CAOS_CONCURRENT:-100} $(GO) test -run '^(TestHistories|TestVotesAtOnce)$$' -count=1 -v -timeout 120m ./internal/readiness

ABIGEN         := github.com/ethereum/go-ethereum/cmd/abigen

contracts: need-go need-npm ## compiles contracts/ and writes what Go needs of it to internal/ethereum; only after a change of a contract
	cd contracts && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	node contracts/compile.js > internal/ethereum/production_registry.json.new
	@mkdir -p bin/contracts
	node -e 'const c = JSON.parse(fs.readFileSync(0)); fs.writeFileSync("bin/contracts/abi", JSON.stringify(c.abi)); fs.writeFileSync("bin/contracts/bin", c.bytecode.slice(2))' < internal/ethereum/production_registry.json.new
	CGO_ENABLED=0 $(GO) run $(ABIGEN) --v2 --abi bin/contracts/abi --bin bin/contracts/bin --pkg binding --type ProductionRegistry --out bin/contracts/binding.go
	sed '2s,.*,// `make contracts` writes it from contracts/ProductionRegistry.sol; a change made here is lost.,' bin/contracts/binding.go > internal/ethereum/binding/production_registry.go
	@mv internal/ethereum/production_registry.json.new internal/ethereum/production_registry.json
	@rm -rf bin/contracts

build: need-go $(PURE:%=bin/%) bin/$(CGO) bin/$(DEVCHAIN) ## the programs, in bin/
	@echo "built $(VERSION): $(wildcard $(PURE:%=bin/%) bin/$(CGO) bin/$(DEVCHAIN))" >&2

# go decides what is out of date, so these always run.
.PHONY: $(PURE:%=bin/%) bin/$(CGO) bin/$(DEVCHAIN)
$(PURE:%=bin/%): need-go
	@echo "building $@" >&2
	@CGO_ENABLED=0 $(GO) build $(BUILD_FLAGS) -o $@ ./cmd/$(notdir $@)

bin/$(DEVCHAIN): need-go
	@echo "building $@ (a node of Ethereum: about a minute the first time)" >&2
	@CGO_ENABLED=0 $(GO) build $(BUILD_FLAGS) -o $@ ./cmd/$(DEVCHAIN)

bin/$(CGO): need-go
ifeq ($(HAVE_CXX),)
	@echo "$(NO_CXX)" >&2
else
	@echo "building $@" >&2
	@CGO_ENABLED=1 $(GO) build $(BUILD_FLAGS) -o $@ ./cmd/$(CGO)
endif

clean: ## remove what was built
	rm -rf bin dist coverage

need-go:
	@command -v $(GO) >/dev/null || { echo "missing: Go $(GO_WANTED) or later (https://go.dev/dl/); it must be on PATH, or say make GO=/path/to/go" >&2; exit 1; }
	@have=$$($(GO) env GOVERSION | sed 's/^go//'); \
	  printf '%s\n%s\n' "$(GO_WANTED)" "$$have" | sort -V -C || { echo "missing: Go $(GO_WANTED) or later; $$($(GO) env GOROOT) is go$$have" >&2; exit 1; }

need-git:
	@command -v git >/dev/null || { echo "missing: git (apt-get install git, or your system's package); tests and the version stamp use it" >&2; exit 1; }

need-npm:
	@command -v npm >/dev/null || { echo "missing: npm (apt-get install npm, or your system's package); the compiler of contracts comes from it" >&2; exit 1; }
