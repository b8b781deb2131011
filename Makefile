# The two that a newcomer needs: `make demo` and `make test`.

MODULES := . $(sort $(patsubst %/go.mod,%,$(wildcard */go.mod */*/go.mod)))
# Each module is built with what its own go.mod says, as by those who use it.
export GOWORK := off

# Not with the race detector: no goroutine there is ours, and their heavy dependencies would be compiled once more.
PLAIN := bench docs/monitoring examples/payment fence/sqlfence
# What go test says, once it has failed, but for the packages that passed.
failures = awk '/^(ok  |\?   )\t/ {seed = ""; next} /^-test.shuffle / {seed = $$0 "\n"; next} /^exit / {status = $$2; next} \
  {said = said seed $$0 "\n"; seed = ""} END {if (status != "0") {printf "%s", said; exit 1}}'
quietly = (go test $1; echo "exit $$?") 2>&1 | $(failures)
test_of = $(call quietly,$(if $(filter $(PLAIN),$1),,-race) -shuffle=on -timeout 15m ./...)
# Those that mostly wait and so leave a core idle, one after the other, are beside something else and all others; and alone,
# at the end, is what starts many processes at once.
LONG := . cmd/redislock
LAST := torture
tests_of = $(foreach m,$(filter $1,$(MODULES)),(cd $m && $(call test_of,$m)) || failed=1; )
# Some tests name servers, which come from Debian's packages. On a machine that is no Debian these are left out.
NAMED := "redis 6.0" "redis newest" "valkey newest"
ifeq ($(shell command -v apt-get 2>/dev/null),)
REDISLOCK_SERVERS := off
export REDISLOCK_SERVERS
endif
# The root's tests that a server takes part in, once more on the newest of each; mostly they wait. The race detector has seen the Client
# by then.
newest = $(if $(filter off,$(REDISLOCK_SERVERS)),,(export REDISLOCK_TEST_SERVER="$1 newest"; \
  $(call quietly,-shuffle=on -timeout 15m -skip '/^embedded$$' .)) || { echo "that was on $1 newest"; failed=1; };)
define beside
($(call tests_of,$(LONG)) exit $$failed) & long=$$!; \
($(foreach product,redis valkey,$(call newest,$(product))) exit $$failed) & newest=$$!; $1 \
$(call tests_of,$(filter-out $(LONG) $(LAST),$(MODULES))) \
wait $$long || failed=1; wait $$newest || failed=1; $(call tests_of,$(LAST)) exit $$failed
endef
GOFUMPT := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

define format
bad="$$(go run $(GOFUMPT) -l .)"; if [ -n "$$bad" ]; then echo "not formatted by gofumpt:"; echo "$$bad"; exit 1; fi
endef
# With the race detector, as the tests are: so their dependencies are compiled once.
define lint_of
tools="$$(mktemp -d)"; trap 'rm -r "$$tools"' EXIT; GOBIN="$$tools" go install $(STATICCHECK) || exit 1; \
for m in $1; do echo "vet, staticcheck: $$m"; (cd $$m && go vet -race ./... && GOFLAGS="$$GOFLAGS -race" "$$tools/staticcheck" ./...) || exit 1; done
endef

# What people build for: the library, and the command line beside it. The first time takes minutes, then the cache has it; so make test builds
# only for the two that differ most from this machine.
CROSS := linux/amd64 linux/386 linux/arm darwin/amd64 darwin/arm64 freebsd/amd64 windows/amd64
CROSS_OF_TEST := linux/386 windows/amd64
define cross_of
failed=0; for p in $1; do \
  (export CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} && go build . ./barrier ./fence ./local ./quorum ./redislocktest && (cd ui && go build ./...) && \
   cd cmd/redislock && go build -o /dev/null .) || { echo "that was for $$p"; failed=1; }; done; exit $$failed
endef

.PHONY: help
help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.PHONY: quick
quick: ## what a change needs first: the root, lua/, internal/, quorum/ and barrier/ on the embedded server and in fake time, in less than a minute
	@$(call quietly,-short -race -timeout 5m . ./lua ./internal/... ./quorum ./barrier)

.PHONY: demo
demo: ## real processes share locks, on a server that comes along: nothing to set up
	@cd cmd/redislock && go run . demo

.PHONY: payment
payment: ## a paused process writes late, and PostgreSQL refuses it by the fence; needs redis-server and PostgreSQL
	@cd examples/payment && go run .

.PHONY: test
test: redis-server named-servers spin chromium ## everything that CI runs: format, vet and staticcheck of what people build with, builds for other systems, and all tests
	@failed=0; ($(format)) || failed=1; ($(call lint_of,.)) || failed=1; \
	$(call beside,($(call lint_of,$(filter-out . $(PLAIN) torture,$(MODULES)))) || failed=1; ($(call cross_of,$(CROSS_OF_TEST))) || failed=1;)

.PHONY: cross
cross: ## build the library and the command line for Linux, macOS, FreeBSD and Windows, and for 32 bit, and vet their tests for Windows; make test builds for two: make cross [CROSS=darwin/arm64]
	@$(call cross_of,$(CROSS))
	@export GOOS=windows CGO_ENABLED=0; go vet ./... && cd cmd/redislock && go vet ./...

.PHONY: redis-server
redis-server: # the tests start real servers; Debian's package is installed where it can be
	@command -v redis-server >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server; \
	  else \
	    echo "The tests need redis-server. Install it, for example: sudo apt-get install redis-server" >&2; exit 1; \
	  fi; }

.PHONY: named-servers
named-servers: # those that tests name
ifeq ($(REDISLOCK_SERVERS),off)
	@echo 'Not tested: the newest Redis and Valkey, and what is about a certain version. They come from the packages of Debian, by apt-get.'
else
	@go run ./internal/servertest/fetch $(NAMED) >/dev/null
endif

.PHONY: servers
servers: ## fetch the servers that people run, Redis and Valkey, from Debian's packages into .cache/servers: make servers [ONLY='"valkey 9.1"']
	@go run ./internal/servertest/fetch $(ONLY)

.PHONY: lint
lint: ## format, vet, staticcheck
	@$(format)
	@$(call lint_of,$(MODULES))

.PHONY: unit
unit: named-servers ## all tests of all modules, shuffled, with the race detector
	@failed=0; $(call beside,)

.PHONY: topologies
topologies: servers redis-server ## every behaviour test on each server and topology, and the attacks in their short form on the newest Valkey, for about 45 minutes; writes the tables of servers. Or a part: make topologies [SERVERS="valkey 9.1,redis 8.0"] [ON="cluster sentinel"]
	@out="$$(mktemp -d)"; trap 'rm -r "$$out"' EXIT; cd torture && \
	failed=0; go run ./suites -servers "$(or $(SERVERS),all)" $(if $(SERVERS)$(ON),,-docs) -out "$$out/results" $(ON) || failed=1; \
	$(if $(SERVERS)$(ON),,(export REDISLOCK_TEST_SERVER="valkey newest"; $(call quietly,-count=1 -timeout 15m .)) || failed=1;) exit $$failed

.PHONY: torture
torture: redis-server named-servers spin ## attack the promises on real servers, and write docs/reliability.md: less than 30 minutes on two cores
	@out="$$(mktemp -d)"; trap 'rm -r "$$out"' EXIT; cd torture; failed=0; \
	TORTURE=full TORTURE_REPORT="$$out/rows" TORTURE_REPORT_MODEL="$$out/model" go test -count=1 -timeout 20m -p 1 ./... || failed=1; \
	go run ./suites -out "$$out/topologies" || failed=1; \
	go run ./report -rows "$$out/rows" -model "$$out/model" -topologies "$$out/topologies" || failed=1; exit $$failed

.PHONY: spin
spin: # the model checker, and the compiler that it needs
	@command -v spin >/dev/null && command -v gcc >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends spin gcc libc6-dev; \
	  else \
	    echo "The model needs spin and gcc. Install them, for example: sudo apt-get install spin gcc" >&2; exit 1; \
	  fi; }

.PHONY: chromium
chromium: # the page of redislock ui, and the man pages
	@command -v groff >/dev/null && { command -v chromium || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable; } >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium groff-base; \
	  else \
	    echo "The tests of the command line need a Chromium and groff. Install them, for example: sudo apt-get install chromium groff-base" >&2; exit 1; \
	  fi; }

.PHONY: bug
bug: ## bring a bug back in a copy, and see its test fail: make bug NAME=...
	@torture/bugs/reproduce "$(NAME)"

.PHONY: simulate
simulate: ## whole Clients in fake time, decided by a seed: make simulate N=10000 [BASE=1]; what happens in one: SEED=7; with bugs brought back: BUGS=all; one hash each on a busy machine: LOAD=1000
	@go test -count=1 -timeout 0 -v -run '$(if $(LOAD),^TestASeedHasOneHashOnABusyMachine$$,^TestSimulation$(if $(BUGS),FindsEachBug)$$)' ./internal/simulation $(if $(LOAD),-load $(LOAD),$(if $(SEED),-seed $(SEED),$(if $(BUGS),-bugs $(BUGS),-seeds $(or $(N),10000)))) \
	$(if $(BASE),-base $(BASE)) $(if $(TIMES),-times $(TIMES)) $(if $(RECORD),-record) \
	| grep -v '^=== RUN\|^ok \|^PASS$$'

.PHONY: fuzz
fuzz: ## each fuzz target for a while: make fuzz TIME=1m
	@set -e; for f in $$(grep -ro --include='*_test.go' '^func Fuzz[A-Za-z]*' *_test.go lua internal | sed 's/func //'); do \
	  go test -run '^$$' -fuzz "^$${f#*:}$$" -fuzztime $(or $(TIME),10s) "./$$(dirname "$${f%:*}")"; done

.PHONY: measure
measure: redis-server ## server time of the idle path and among 10,000 waiters: make measure [AGAINST=an earlier commit]
	@set -e; if [ -n "$(AGAINST)" ]; then \
	  old="$$(mktemp -d)"; trap 'rm -r "$$old"' EXIT; git archive "$(AGAINST)" lua | tar x -C "$$old"; \
	  go test -run '^$$' -bench 'ServerTimeIdlePair|ServerTimeAgainst' -benchtime 1x ./lua -against "$$old"; \
	else \
	  go test -run '^$$' -bench ServerTime -benchtime 1x ./lua; \
	fi

.PHONY: bench
bench: redis-server ## beside the peers, less than 12 minutes; writes docs/performance.md, its appendix and docs/scale.md, and keeps bench/results.json. Or a part: make bench ONLY=callers
	@cd bench && go run . $(if $(ONLY),-only '$(ONLY)' $(if $(OUT),-out '$(abspath $(OUT))'),-docs ../docs -out '$(or $(and $(OUT),$(abspath $(OUT))),results.json)')

.PHONY: install
install: ## the command line, into $GOBIN
	cd cmd/redislock && go install .

.PHONY: release
release: ## in a clone made for it: the commit and the tags of a release, nothing is pushed: make release VERSION=v0.2.0
	@test -n "$(VERSION)" || { echo "say which: make release VERSION=v0.2.0" >&2; exit 1; }
	@go run ./internal/release -version '$(VERSION)'

.PHONY: rename
rename: ## give the module its public path: make rename MODULE=github.com/you/redislock
	@test -n "$(MODULE)" || { echo "say which: make rename MODULE=github.com/you/redislock" >&2; exit 1; }
	@git grep -lIF example.com/redislock -- . ':!Makefile' | xargs sed -i 's#example\.com/redislock#$(MODULE)#g'
	@sed -i 's#example\.com/redislock#$(MODULE)#g' Makefile
