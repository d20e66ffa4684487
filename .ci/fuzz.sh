#!/usr/bin/env bash
# Runs every fuzz target for a while: .ci/fuzz.sh 10s
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}

grep -rno --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed -E 's,^\./(.*)/[^/]*:[0-9]+:func ,\1 ,' | sort -u |
	while read -r package target; do
		echo "== $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./$package" </dev/null
	done
