#!/usr/bin/env bash
# What no compiler checks about the repository's files: where they lie, how long they are, and
# that they name nothing of the machine that they were written on.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
failed=0
complain() {
    echo "$*"
    failed=1
}

# Folders at the top, apart from those that start with a dot.
while IFS= read -r folder; do
    case $folder in
    daemon | ctl | plugins | packaging | tests | .*) ;;
    *) complain "$folder/: no such folder belongs at the top (see CONTRIBUTING.md)" ;;
    esac
done < <(git ls-files --cached --others --exclude-standard | grep / | cut -d/ -f1 | sort -u)

# Hosts of package registries (cargo, pip and apt know their own), and paths of a machine.
# Lock files name the registry by themselves. Each word is broken by a class, so that this file
# does not contain it.
forbidden='crates[.]io|pypi[.]org|python[h]osted[.]org|npmjs[.](org|com)|deb[.]debian[.]org'
forbidden+='|archive[.]ubuntu[.]com|proxy[.]golang[.]org|[/]work[/]|[/]root[/]|[/]home[/][a-z]+[/]'
if git grep --untracked -nIE "$forbidden" -- . ':!*.lock'; then
    complain "the lines above name a registry or a path of some machine"
fi

# 600 lines are the most for a source file; its tests do not count.
while IFS= read -r file; do
    lines=$(awk '/^#\[cfg\(test\)\]/ { exit } { n++ } END { print n + 0 }' "$file")
    if [ "$lines" -gt 600 ]; then complain "$file: $lines lines without tests, more than 600: split it"; fi
done < <(git ls-files --cached --others --exclude-standard '*.rs' '*.sh' '*.py' ':!tests/**/*.rs' ':!**/tests/**' ':!**/tests.rs')

# Unfinished work.
if git grep --untracked -nE '\b(todo|unimplemented)!\(' -- '*.rs'; then complain "the lines above are unfinished"; fi

exit $failed
