#!/usr/bin/env bash
# Licences, sources and forbidden crates, by cargo-deny (deny.toml); advisories where their database
# can be fetched. The program is built once and kept in the target folder.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
# The last that was tried.
readonly VERSION=0.20.2
tools=${CARGO_TARGET_DIR:-$PWD/target}/tools
deny=$tools/bin/cargo-deny
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ ! -x "$deny" ] && command -v cargo-deny >/dev/null; then deny=$(command -v cargo-deny); fi
if [ ! -x "$deny" ]; then
    echo "building cargo-deny $VERSION into $tools (minutes, once)"
    # It runs for a second: optimising it would take longer than it saves.
    if ! CARGO_TARGET_DIR=$tools/build cargo install cargo-deny --version $VERSION --locked --quiet \
        --debug --config 'profile.dev.debug=false' --no-default-features --root "$tools" 2>"$scratch/build"; then
        tail -n 5 "$scratch/build"
        echo "cargo-deny cannot be built here: skipped"
        exit 0
    fi
    rm -rf "$tools/build"
fi
"$deny" --version
"$deny" --locked check --hide-inclusion-graph bans licenses sources || exit 1

# A machine without that network is no reason to fail; a vulnerable crate is.
if "$deny" --locked fetch db >"$scratch/fetch" 2>&1; then
    "$deny" --locked check --disable-fetch --hide-inclusion-graph advisories
else
    echo "the advisories' database cannot be fetched here, so known vulnerabilities were not looked for:"
    grep -m 1 . "$scratch/fetch"
fi
