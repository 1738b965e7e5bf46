#!/usr/bin/env bash
# The installer, for real, in a new home: install, install again, run the README's examples with
# what was installed, uninstall. Crates and model come from where the other tests have them.
# shellcheck disable=SC2317 # functions are called through check
#
# tests/run.sh sets WSTREAM_MODELS_DIR; tiny.en must be in it.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
home=$scratch/home
models=$home/.local/share/wstream/models
failed=0

check() {
    local what=$1
    shift
    if "$@"; then echo "ok: $what"; else
        echo "FAILED: $what"
        failed=1
    fi
}

# Nothing of this session's bus, folders or settings reaches the installer.
clean_env=(
    env -i "HOME=$home" "PATH=$PATH" LANG=C.UTF-8
    "CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}" "RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}"
    "CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}"
)
install() { "${clean_env[@]}" packaging/install.sh "$@" </dev/null; }

# code EXPECTED FILE COMMAND...: whether the command ends with that code; its output goes to FILE.
code() {
    local expected=$1 file=$2 code=0
    shift 2
    "$@" >"$file" 2>&1 || code=$?
    if [ "$code" != "$expected" ]; then
        tail -n 40 "$file"
        echo "ended with $code, not $expected"
        return 1
    fi
}

block() {
    awk -v marker="<!-- test: $1 -->" '
        $0 == marker { wanted = 1; next }
        wanted && /^```/ { if (inside) exit; inside = 1; next }
        inside { print }' README.md
}

mkdir -p "$models"
cp "$WSTREAM_MODELS_DIR/ggml-tiny.en.bin" "$models/" || exit 1

check "an unknown option is wrong usage" code 2 "$scratch/usage" install --bogus
check "nothing to uninstall is said" code 1 "$scratch/nothing" install --uninstall --prefix "$home/.local"

# A machine without cmake, where nobody can be asked.
mkdir "$scratch/few"
find -L /usr/bin -maxdepth 1 -type f ! -name cmake ! -name 'cmake*' -exec ln -s -t "$scratch/few" {} + 2>/dev/null
check "a missing tool ends with what to run" code 3 "$scratch/few.log" \
    env "PATH=$scratch/few" "HOME=$home" "$scratch/few/bash" packaging/install.sh --prefix "$home/.local" </dev/null
check "that names the package" grep -q 'install.* cmake' "$scratch/few.log"

check "it installs" code 0 "$scratch/first" install --yes --prefix "$home/.local" --model tiny.en
sed -n '/^==> dictating/,$p' "$scratch/first"
check "the sample's words came before it was over" grep -q '^~ .*[a-z]' "$scratch/first"
check "the sample's words came" grep -qiE '^[^~=]*(center|sentence)' "$scratch/first"
check "it installs again" code 0 "$scratch/second" install --yes --prefix "$home/.local" --model tiny.en

missing() { grep -v '/$' "$home/.local/share/wstream/manifest" | while IFS= read -r file; do [ -s "$file" ] || echo "$file"; done; }
check "all files are there" test -z "$(missing)"
check "the bus can start the daemon" grep -qx "Exec=$home/.local/bin/wstreamd" \
    "$home/.local/share/dbus-1/services/org.wstream.Dictation1.service"

# The README's examples, followers first. A follower has no way to say that it follows, so the
# sample is dictated until both have heard of it. The bus is told where to look for what it may
# start, because it would take the home folder from the user database.
for name in busctl python shell; do block $name >"$scratch/$name"; done
cat >"$scratch/examples" <<'END'
set -eu
cd "$1"
/usr/bin/python3 python >python.out 2>&1 &
python=$!
sh shell >shell.out 2>&1 &
shell=$!
tries=0
until grep -qi center python.out && grep -qi center "$HOME/dictated.jsonl" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -le 10 ] || { cat python.out shell.out; exit 1; }
    wstreamctl transcribe --language en /usr/share/sounds/alsa/Front_Center.wav
done
sh -eu busctl
kill $python $shell
END
check "the README's examples work" code 0 "$scratch/examples.log" \
    "${clean_env[@]}" "PATH=$home/.local/bin:$PATH" "XDG_DATA_HOME=$home/.local/share" dbus-run-session -- bash "$scratch/examples" "$scratch"
check "busctl showed the state" grep -qE '^s "(idle|finishing)"' "$scratch/examples.log"
check "busctl showed what was said" grep -qi center "$scratch/examples.log"
rm -f "$home/dictated.jsonl"

check "it uninstalls" code 0 "$scratch/uninstall" install --uninstall --prefix "$home/.local"
left() { find "$home" -type f ! -path "$models/*" ! -path "$home/.local/state/wstream/*"; }
if [ -n "$(left)" ]; then left; fi
check "only models and state are left" test -z "$(left)"
check "the model is left" test -s "$models/ggml-tiny.en.bin"
exit $failed
