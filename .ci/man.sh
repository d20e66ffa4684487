#!/usr/bin/env bash
# Formats the manual pages and fails on whatever the formatter complains of.
set -euo pipefail
cd "$(dirname "$0")/.."
.ci/packages.sh groff || {
	[ "$(id -u)" -ne 0 ] || exit 1
	echo "man: not looked at"
	exit 0
}

status=0
for page in docs/man/*.[1-9]; do
	warnings=$(LC_ALL=C.UTF-8 groff -t -man -Tutf8 -ww -rLL=78n -rCHECKSTYLE=3 -z "$page" 2>&1) || status=1
	[ -z "$warnings" ] || { printf '%s\n' "$warnings"; status=1; }
	# The name in the header is that of the file, and the page says what it is.
	name=$(basename "$page")
	title=$(sed -n 's/^\.TH \([^ ]*\) \([1-9]\).*/\1.\2/p' "$page" | tr -d '\\' | tr A-Z a-z)
	[ "$title" = "$(tr A-Z a-z <<<"$name")" ] || { echo "$page: its .TH says '$title'"; status=1; }
	grep -q "^${name%.*}\( \|\\\\\).*\\\\- " <(sed 's/\\-\([^ ]\)/-\1/g' "$page") || { echo "$page: no line '${name%.*} \\- what it is' in NAME"; status=1; }
	! grep -nE '[[:blank:]]$|.{100}' "$page" || { echo "$page: blanks at an end, or a long line"; status=1; }
done
[ $status -eq 0 ] && echo "man: ok" || echo "man: FAILED"
exit $status
