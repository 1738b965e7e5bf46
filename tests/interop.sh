#!/usr/bin/env bash
# The real daemon as a client of other people's servers, from their packages.
#
#   tests/interop.sh [DIR]              everything; DIR (else $WSTREAM_INTEROP) keeps what is installed
#   tests/interop.sh DIR --only NAME    one server, beside the local engine: see --help of interop.py
#
# Installing takes minutes and 7 GB, so tests/run.sh does it only with RUN_SLOW_TESTS=1. Needs the
# programs built, the model tiny.en and the corpus of speech (WSTREAM_SHARED).
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD/tests

dir=${WSTREAM_INTEROP:-}
if [ $# -gt 0 ] && [[ $1 != -* ]]; then
    dir=$1
    shift
fi
if [ -z "$dir" ]; then
    echo "interop.sh: name a folder for the servers, or set WSTREAM_INTEROP" >&2
    exit 2
fi
export WSTREAM_BIN=${WSTREAM_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/release}
python=${WSTREAM_PYTHON:-${CARGO_TARGET_DIR:-$PWD/target}/test-venv/bin/python}

# The servers that are measured anyway, with the same versions, and the weights for all.
"$here/bench/peers/setup.sh" "$dir" whisperlivekit whisper-live

# One environment more: Wyoming's server, and what our version 1 server in Python needs.
environment=$dir/interop
list=$here/interop/requirements.txt
if ! cmp -s "$list" "$environment/installed.txt"; then
    rm -rf "${environment:?}"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --no-deps --only-binary=:all: -r "$list"
    cp "$list" "$environment/installed.txt"
fi

"$python" "$here/interop/interop.py" --dir "$dir" "$@"
