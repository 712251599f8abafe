#!/usr/bin/env bash
# Builds SPIRE 1.15.3 (server and agent) for the tests, into .spire/bin, from the Go modules pinned in tools/.
#
#   spire-config/build-spire.sh          prints the folder with the two programs
#   SPIRE_BIN=DIR spire-config/build-spire.sh   uses the ones in DIR, builds nothing
#
# Needs Go 1.26.6 or later and a C compiler (the server's SQLite). Cold about 6 minutes and 5 GB of caches;
# nothing to do when the programs are there already.
set -euo pipefail

readonly version=1.15.3
readonly go_version_min=1.26.6
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")

# Ends with one line on what is missing and how to go on.
stop() {
  echo "build-spire: $*" >&2
  exit 1
}

# Whether both programs are in folder $1 and have the pinned version.
has_spire() {
  local program found
  for program in spire-server spire-agent; do
    [ -x "$1/$program" ] || return 1
    found=$("$1/$program" --version 2>&1) || return 1
    [ "$found" = "$version" ] || return 1
  done
}

if [ -n "${SPIRE_BIN:-}" ]; then
  has_spire "$SPIRE_BIN" || stop "SPIRE_BIN=$SPIRE_BIN has no spire-server and spire-agent $version"
  echo "$SPIRE_BIN"
  exit 0
fi

bin=$root/.spire/bin
if has_spire "$bin"; then
  echo "$bin"
  exit 0
fi

command -v go >/dev/null || stop "needs Go $go_version_min or later (https://go.dev/dl), or SPIRE_BIN with SPIRE $version"
go_version=$(cd / && GOTOOLCHAIN=local go env GOVERSION)
oldest=$(printf '%s\n' "$go_version_min" "${go_version#go}" | sort -V | head -n 1)
[ "$oldest" = "$go_version_min" ] || stop "needs Go $go_version_min or later, found ${go_version#go}"
compiler=$(go env CC)
command -v "${compiler%% *}" >/dev/null || stop "needs a C compiler (\`$compiler\` not found), for the server's SQLite"

echo "build-spire: building SPIRE $version (about 6 minutes the first time) …" >&2
mkdir -p "$bin"
log=$root/.spire/build.log
# Built beside and moved, so that a build cut short never looks finished.
fresh=$(mktemp -d "$root/.spire/fresh.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
(cd "$here/tools" && CGO_ENABLED=1 GOTOOLCHAIN=local go build -mod=readonly -trimpath \
  -ldflags="-s -w -X github.com/spiffe/spire/pkg/common/version.gittag=$version" \
  -o "$fresh/" tool) >"$log" 2>&1 ||
  stop "go build failed: $(tail -n 1 "$log") (all of it: .spire/build.log)"
has_spire "$fresh" || stop "the programs built are not SPIRE $version"
mv -f "$fresh/spire-server" "$fresh/spire-agent" "$bin/"
echo "$bin"
