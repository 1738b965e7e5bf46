#!/usr/bin/env bash
# The man pages: one for each program and each configuration, well formed, and every key of the
# configurations in them. Needs the programs, built; tests/run.sh builds them.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=packaging/tree.sh
. packaging/tree.sh
bin=${CARGO_TARGET_DIR:-$PWD/target}/release
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

complain() {
    echo "$*"
    failed=1
}

generate "$PWD" "$bin" "$scratch" || exit 1
for name in "${PROGRAMS[@]}"; do
    [ -s "$scratch/man1/$name.1" ] || complain "$name has no man page"
done

for name in config "${CONFIGURED[@]}"; do
    page=$scratch/man5/wstream-$name.5
    # As people read it, without the marks of the typewriter.
    MANWIDTH=1000 man -l "$page" 2>/dev/null | col -b | sed 's/^ *//' >"$scratch/page"
    while IFS= read -r default; do
        # A long default is bold all over, and stands in front of its explanation.
        grep -qF -- "$default" "$scratch/page" || complain "wstream-$name(5) has no line: $default"
    done < <(sed -n -E 's/^#?([a-z_-]+ = .*|\[.*\])$/\1/p' "packaging/$name.toml")
done

if command -v mandoc >/dev/null; then
    # Style is left out: it counts bytes of lines, which nobody sees.
    # What the library that renders pages of section 1 makes of every title and option is not ours.
    if mandoc -T lint -W warning "$scratch"/man[15]/* |
        grep -vE 'cannot parse date|missing date|skipping paragraph macro: br (before|after) sp'; then failed=1; fi
else
    echo "mandoc is not installed: the pages are not linted"
fi

if command -v desktop-file-validate >/dev/null; then
    filled /usr/bin filled packaging/wstream.desktop.in >"$scratch/wstream.desktop"
    desktop-file-validate "$scratch/wstream.desktop" || failed=1
else
    echo "desktop-file-utils is not installed: the desktop entry is not validated"
fi
exit $failed
