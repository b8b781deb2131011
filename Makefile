# The two that a newcomer needs: `make demo` and `make test`.

MODULES := . $(sort $(patsubst %/go.mod,%,$(wildcard */go.mod */*/go.mod)))
# Each module is built with what its own go.mod says, as by those who use it.
export GOWORK := off

TEST := go test -race -shuffle=on -timeout 15m ./...
GOFUMPT := go run mvdan.cc/gofumpt@v0.12.0
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help
help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.PHONY: demo
demo: ## real processes share locks, on a server that comes along: nothing to set up
	@cd cmd/redislock && go run . demo

.PHONY: payment
payment: ## a paused process writes late, and PostgreSQL refuses it by the fence; needs redis-server and PostgreSQL
	@cd examples/payment && go run .

.PHONY: test
test: redis-server lint unit ## everything that CI runs

.PHONY: redis-server
redis-server: # the tests start real servers; Debian's package is installed where it can be
	@command -v redis-server >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server; \
	  else \
	    echo "The tests need redis-server. Install it, for example: sudo apt-get install redis-server" >&2; exit 1; \
	  fi; }

.PHONY: lint
lint: ## format, vet, staticcheck
	@bad="$$($(GOFUMPT) -l .)"; if [ -n "$$bad" ]; then echo "not formatted by gofumpt:"; echo "$$bad"; exit 1; fi
	@set -e; for m in $(MODULES); do echo "vet, staticcheck: $$m"; (cd $$m && go vet ./... && $(STATICCHECK) ./...); done

.PHONY: unit
unit: ## all tests of all modules, shuffled, with the race detector; the root's beside the others, for they leave a core idle
	@$(TEST) & root=$$!; failed=0; \
	for m in $(filter-out .,$(MODULES)); do (cd $$m && $(TEST)) || failed=1; done; \
	wait $$root || failed=1; exit $$failed

.PHONY: topologies
topologies: redis-server ## every behaviour test on each topology: make topologies [ON="cluster sentinel"]
	@tests="$$(awk '/^func Test/ {sub(/\(.*/, "", $$2); name = $$2} /^\t+both\(t/ {print name}' *_test.go | sort -u | paste -sd '|' -)"; \
	for on in $(or $(ON),server resp2 resp3 autopipeline tls sentinel cluster cluster/resp2); do \
	  echo "$$on"; REDISLOCK_TEST_TOPOLOGY=$$on go test -race -timeout 8m -run "^($$tests|TestTheTopologyExists)$$/^real$$" . || exit 1; \
	done

.PHONY: fuzz
fuzz: ## each fuzz target for a while: make fuzz TIME=1m
	@set -e; for f in $$(grep -ho 'func Fuzz[A-Za-z]*' *_test.go | cut -c6-); do go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(TIME),10s) .; done

.PHONY: measure
measure: redis-server ## server time of the idle path and among 10,000 waiters: make measure [AGAINST=an earlier commit]
	@set -e; if [ -n "$(AGAINST)" ]; then \
	  old="$$(mktemp -d)"; trap 'rm -r "$$old"' EXIT; git archive "$(AGAINST)" lua | tar x -C "$$old"; \
	  go test -run '^$$' -bench ServerTimeIdlePair -benchtime 1x . -against "$$old"; \
	else \
	  go test -run '^$$' -bench ServerTime -benchtime 1x .; \
	fi

.PHONY: install
install: ## the command line, into $GOBIN
	cd cmd/redislock && go install .

.PHONY: rename
rename: ## give the module its public path: make rename MODULE=github.com/you/redislock
	@test -n "$(MODULE)" || { echo "say which: make rename MODULE=github.com/you/redislock" >&2; exit 1; }
	@git grep -lIF example.com/redislock -- . ':!Makefile' | xargs sed -i 's#example\.com/redislock#$(MODULE)#g'
	@sed -i 's#example\.com/redislock#$(MODULE)#g' Makefile
