#!/usr/bin/env bash
# Runs all tests, then those of packages with goroutines under the race
# detector. As root a skip is a failure unless .ci/skips lists it; as an
# ordinary user what needs root is skipped by name.
set -euo pipefail
cd "$(dirname "$0")/.."

concurrent=(./app/... ./adapters/rpc/... ./adapters/control/... ./adapters/dbus/... ./adapters/systemd ./adapters/hooks
	./adapters/logging ./adapters/audit ./adapters/background ./wiring/front ./wiring/controller ./wiring/daemon)
[ ! -d wiring/harness ] || concurrent+=(./wiring/harness/...)

judge=$(mktemp -d)
trap 'rm -rf "$judge"' EXIT
go build -o "$judge/verdict" .ci/verdict.go
go test .ci/verdict.go .ci/verdict_test.go

# run passes its arguments to go test and judges the result.
run() {
	local begin=$SECONDS
	echo "== go test $*"
	go test -json "$@" 2>&1 | "$judge/verdict" .ci/skips || return 1
	echo "== $((SECONDS - begin))s"
}

status=0
run -count=1 -timeout 10m ./... || status=1
if command -v gcc >/dev/null; then
	CGO_ENABLED=1 run -count=1 -timeout 10m -race "${concurrent[@]}" || status=1
else
	echo "== no race detector: it needs gcc"
fi
[ $status -eq 0 ] && echo "test: ok" || echo "test: FAILED"
exit $status
