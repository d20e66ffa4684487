#!/usr/bin/env bash
# All that can be said about the sources without running them. Every part is
# tried, so that one run shows everything; nothing in the tree is changed.
set -uo pipefail
cd "$(dirname "$0")/.."

staticcheck_version=v0.8.2
failed=()

# part runs one check and remembers its failure.
part() {
	local name=$1 begin=$SECONDS
	shift
	if "$@"; then
		printf 'ok    %s (%ds)\n' "$name" $((SECONDS - begin))
	else
		printf 'FAIL  %s\n' "$name"
		failed+=("$name")
	fi
}

format() {
	local files
	files=$(gofmt -l adapters app cmd domain fakes ports wiring .ci) || return 1
	[ -z "$files" ] || { echo "not formatted (gofmt -w):"; echo "$files"; return 1; }
}

vet() { go vet ./... && go vet .ci/verdict.go .ci/verdict_test.go; }

# staticcheck of the wanted version, installed once into a cache of its own.
lint() {
	local tools=${XDG_CACHE_HOME:-$HOME/.cache}/virtlxcd-tools/$staticcheck_version program
	program=$tools/staticcheck
	if command -v staticcheck >/dev/null && staticcheck -version | grep -qF "(${staticcheck_version#v})"; then
		program=$(command -v staticcheck)
	elif [ ! -x "$program" ]; then
		echo "installing staticcheck $staticcheck_version"
		GOBIN=$tools go install "honnef.co/go/tools/cmd/staticcheck@$staticcheck_version" || return 1
	fi
	"$program" ./... && "$program" .ci/verdict.go
}

imports() { go test -count=1 -run '^(TestArchitecture|TestProgramsDoNotLinkFakes|TestControllerIsSmall)$' ./wiring; }

# generated compares what the generator makes now, elsewhere, with what is there.
generated() {
	local package=adapters/rpc/protocol fresh name stale=0
	fresh=$(mktemp -d) || return 1
	cp -r $package/tables "$fresh" && go build -o "$fresh/generate" ./$package/internal/generate &&
		(cd "$fresh" && ./generate) || stale=1
	for name in $({ ls $package; ls "$fresh"; } | grep '_gen\.go$' | sort -u); do
		cmp -s "$fresh/$name" "$package/$name" || { echo "stale: $package/$name"; stale=1; }
	done
	rm -rf "$fresh"
	[ $stale -eq 0 ] || echo "run: go generate ./$package"
	return $stale
}

# injectors asks wire about every package with an injector.
injectors() {
	local packages
	packages=$(grep -rl --include='*.go' '^//go:build wireinject' wiring | xargs -n1 dirname | sort -u | sed 's,^,./,')
	# shellcheck disable=SC2086
	go tool wire diff $packages || { echo "run: go tool wire" $packages; return 1; }
}

modules() { go mod tidy -diff; }

part format format
part vet vet
part lint lint
part imports imports
part "generated protocol" generated
part "generated injectors" injectors
part modules modules
part "manual pages" .ci/man.sh
if [ ${#failed[@]} -gt 0 ]; then
	echo "check: FAILED: $(IFS=,; echo "${failed[*]}")"
	exit 1
fi
echo "check: ok"
