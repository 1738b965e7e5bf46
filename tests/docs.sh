#!/usr/bin/env bash
# The documents against the programs: every command that they print is taken by the program, every
# problem of the doctor's has its heading, and what can be run without a desktop is run, as it is
# printed, in a home of its own. Needs the programs, built.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
bin=${CARGO_TARGET_DIR:-$PWD/target}/release
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
mapfile -t pages < <(git ls-files --cached --others --exclude-standard '*.md' | grep -v -e ^CHANGELOG -e ^tests/)

python3 tests/docs.py commands "$bin" "${pages[@]}" || failed=1
python3 tests/docs.py doctor || failed=1

# Links to files of ours, and to headings of the same page.
while IFS=: read -r page link; do
    case $link in *://* | mailto:*) continue ;; esac
    file=${link%%#*}
    if [ -n "$file" ] && [ ! -e "$(dirname "$page")/$file" ]; then
        echo "$page: there is no $file"
        failed=1
    fi
done < <(grep -oE '\]\([^)]+\)' "${pages[@]}" | sed -E 's/\]\(([^)]*)\)/\1/')

# The commands of README.md that make a configuration, as they are printed; the file is where the
# installer puts it.
home=$scratch/home
mkdir -p "$home/.local/share/doc/wstream"
cp packaging/config.toml "$home/.local/share/doc/wstream/"
block() { awk -v marker="<!-- test: $1 -->" '$0 == marker { wanted = 1; next } wanted && /^```/ { if (inside) exit; inside = 1; next } inside { print }' README.md; }
commands=$(block configuration)
if [ -z "$commands" ]; then
    echo "README.md has no commands <!-- test: configuration -->"
    failed=1
elif ! env -i "HOME=$home" "PATH=$bin:/usr/bin:/bin" LANG=C.UTF-8 bash -eu -c "$commands" >"$scratch/said" 2>&1; then
    cat "$scratch/said"
    echo "README.md's commands for the configuration fail"
    failed=1
fi
exit $failed
