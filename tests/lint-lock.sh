#!/usr/bin/env bash
# One version of tokio and of zbus: two would be two runtimes, or types that do not fit.
# deny.toml says the same to cargo-deny, which also looks at licences and advisories.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
failed=0
for name in tokio zbus; do
    count=$(grep -cx "name = \"$name\"" Cargo.lock)
    if [ "$count" != 1 ]; then
        echo "Cargo.lock has $count versions of $name, not one: cargo tree -d -i $name shows why"
        failed=1
    fi
done
if command -v cargo-deny >/dev/null; then cargo deny --offline check licenses bans sources || failed=1; fi
exit $failed
