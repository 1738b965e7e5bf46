#!/usr/bin/env bash
# Installs what the tests need, then runs them.
#
#   tests/run.sh                everything
#   tests/run.sh lint unit      these sections, or groups of them, only
#   tests/run.sh --list         the names
#
# Everything is built once: release profile, one set of features. Nothing is asked; what cannot be
# installed is said in a sentence. RUN_SLOW_TESTS=1 adds what takes minutes.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

readonly LINT=(format shell strings lock units clippy man)
readonly SECTIONS=(packages python model "${LINT[@]}" build unit doc e2e soak wer interop fuzz install deb deny docs)
readonly BUILD=(--release --locked --workspace --features wstreamd/pipewire)
# Debian's names: compiling; linting; sound and bus for the end-to-end tests; desktops
# for notifications.
readonly PACKAGES=(
    g++ make cmake pkg-config libasound2-dev libpipewire-0.3-dev libclang-dev
    shellcheck systemd man-db mandoc bsdextrautils desktop-file-utils
    debootstrap lintian dpkg-dev binutils
    haproxy openssl dbus libglib2.0-bin gnome-settings-daemon-common dconf-gsettings-backend pulseaudio pulseaudio-utils pipewire pipewire-pulse wireplumber libasound2-plugins
    alsa-utils espeak-ng flac sox python3 python3-gi python3-pip python3-venv
    xvfb x11-utils x11-xkb-utils xdotool xterm icewm sxhkd procps python3-pyqt5 gir1.2-gtk-3.0 gir1.2-gtk-4.0 dunst sway swaylock xwayland x11-xserver-utils foot ibus ibus-gtk3 ibus-gtk4 ibus-libpinyin fcitx5 fcitx5-hangul fcitx5-frontend-gtk3 fcitx5-frontend-gtk4 wtype mako-notifier grim imagemagick fonts-dejavu-core at-spi2-core
)

# The bindings that come with whisper-rs-sys are used, as the installer does.
export WHISPER_DONT_GENERATE_BINDINGS=1
target=${CARGO_TARGET_DIR:-$PWD/target}
export WSTREAM_MODELS_DIR=${WSTREAM_MODELS_DIR:-$target/test-models}
export WSTREAM_PYTHON=${WSTREAM_PYTHON:-$target/test-venv/bin/python}

run_packages() {
    local missing=() package command
    if ! command -v dpkg-query >/dev/null; then
        echo "this is no Debian or Ubuntu: install the equivalents of ${PACKAGES[*]} if a test misses them"
        return 0
    fi
    for package in "${PACKAGES[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    if [ ${#missing[@]} = 0 ]; then
        echo "all there"
        return 0
    fi
    command="apt-get install -y --no-install-recommends ${missing[*]}"
    if [ "$(id -u)" = 0 ]; then
        as_root=()
    elif sudo -n true 2>/dev/null; then
        as_root=(sudo)
    else
        echo "packages are missing, and only root can install them: $command"
        return 1
    fi
    echo "$command"
    # A third party's broken source must not hold us up, so the update may fail.
    "${as_root[@]}" apt-get update -qq || true
    # shellcheck disable=SC2086 # words of a command that this script made itself
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive $command >"$scratch/apt" 2>&1 || {
        tail -n 20 "$scratch/apt"
        return 1
    }
}

# Clients in another language than ours: a version 1 client, and the word error rate's counting.
readonly PYTHON_PACKAGES=(websockets==17.4 whisper-normalizer==0.1.15 jeepney==0.9.0)
run_python() {
    if "$WSTREAM_PYTHON" -c 'import jeepney, websockets, whisper_normalizer' 2>/dev/null; then
        echo "all there"
        return 0
    fi
    if [ "$WSTREAM_PYTHON" != "$target/test-venv/bin/python" ]; then
        echo "$WSTREAM_PYTHON lacks ${PYTHON_PACKAGES[*]}: install them, or leave WSTREAM_PYTHON unset"
        return 1
    fi
    python3 -m venv "$target/test-venv" && "$target/test-venv/bin/pip" install --quiet "${PYTHON_PACKAGES[@]}"
}

run_build() { cargo build "${BUILD[@]}" --all-targets; }

# The smallest model that is real, kept beside the build so that it is fetched once.
run_model() {
    if [ -e "$WSTREAM_MODELS_DIR/ggml-tiny.en.bin" ]; then
        echo "tiny.en is there"
        return
    fi
    run_build && "$target/release/wstream-engine" model pull tiny.en
}

run_format() { cargo fmt --all --check; }

run_shell() {
    local scripts
    if ! command -v shellcheck >/dev/null; then
        echo "shellcheck is not installed: skipped"
        return 0
    fi
    mapfile -t scripts < <(git ls-files --cached --others --exclude-standard | while IFS= read -r file; do
        if head -n 1 "$file" | grep -E '^#!.*\b(sh|bash)$' >/dev/null; then echo "$file"; fi
    done)
    # What scripts share is followed.
    shellcheck -x "${scripts[@]}"
}

run_strings() { tests/lint-files.sh; }
run_lock() { tests/lint-lock.sh; }
run_units() { tests/lint-units.sh; }
run_clippy() { cargo clippy "${BUILD[@]}" --all-targets -- -D warnings; }
# The pages come from the programs.
run_man() { run_build && tests/lint-man.sh; }
run_unit() { cargo test "${BUILD[@]}" --no-fail-fast --lib --bins; }
run_doc() { cargo test "${BUILD[@]}" --doc; }
# One after the other: each decodes speech, and two at once on two cores would only wait for each other.
# Windows and sound are waited for, not computed: what needs them goes side by side.
readonly WINDOWS=(x11 wayland ibus composing)
run_e2e() {
    local beside failed=0 name options=()
    run_build || return 1
    cargo test "${BUILD[@]}" --test microphone >"$scratch/microphone" 2>&1 &
    beside=$!
    for name in "${WINDOWS[@]}"; do options+=(--test "$name"); done
    RUST_TEST_THREADS=1 cargo test "${BUILD[@]}" --no-fail-fast "${options[@]}" || failed=1
    wait "$beside" || failed=1
    cat "$scratch/microphone"
    options=()
    for name in $(test_targets); do
        [[ " microphone ${WINDOWS[*]} " == *" $name "* ]] || options+=(--test "$name")
    done
    RUST_TEST_THREADS=1 cargo test "${BUILD[@]}" --no-fail-fast "${options[@]}" || failed=1
    return "$failed"
}
# The names of all programs of tests, of all packages.
test_targets() {
    cargo metadata --no-deps --format-version 1 | python3 -c '
import json, sys
targets = [t for p in json.load(sys.stdin)["packages"] for t in p["targets"]]
print(*sorted({t["name"] for t in targets if "test" in t["kind"]}))'
}

# Minutes of what is meant for hours (tests/soak); a run that failed is repeated with its seed.
run_soak() { run_build && "$target/release/wstream-soak" --minutes 7; }

# A guard, not the figure: on few files a few words more or less are chance. By hand: tests/wer.py.
run_wer() {
    if [ ! -e "${WSTREAM_SHARED:-../shared}/speech/dev/manifest.tsv" ]; then
        echo "no corpus of speech on this machine: skipped"
        return 0
    fi
    run_build || return 1
    if ! WSTREAM_BIN=$target/release "$WSTREAM_PYTHON" tests/wer.py --every 10 --limit 5 2>"$scratch/wer"; then
        tail -n 20 "$scratch/wer"
        return 1
    fi
}

# What a network reaches, ten seconds each; tests/fuzz/README.md has the others, and how to go on.
run_fuzz() {
    local target
    if ! cargo fuzz --version >/dev/null 2>&1; then
        echo "cargo-fuzz is not installed (cargo install cargo-fuzz): skipped"
        return 0
    fi
    for target in wire request session; do
        # A stable compiler takes the sanitizer's options then.
        if ! RUSTC_BOOTSTRAP=1 cargo fuzz run --no-default-features --fuzz-dir tests/fuzz "$target" -- -max_total_time=10 >"$scratch/fuzz" 2>&1; then
            tail -n 40 "$scratch/fuzz"
            return 1
        fi
        echo "$target: $(tail -n 1 "$scratch/fuzz")"
    done
}
# Other people's servers, from their packages; by hand: tests/interop.sh.
run_interop() {
    if [ -z "${RUN_SLOW_TESTS:-}" ]; then
        echo "installs 7 GB and takes minutes: skipped without RUN_SLOW_TESTS=1"
        return 0
    fi
    if [ ! -e "${WSTREAM_SHARED:-../shared}/speech/dev/manifest.tsv" ]; then
        echo "no corpus of speech on this machine: skipped"
        return 0
    fi
    run_build && WSTREAM_BIN=$target/release tests/interop.sh "${WSTREAM_INTEROP:-$target/test-interop}"
}
run_install() { run_build && tests/install.sh; }
# In a clean Debian; by hand: tests/deb.sh.
run_deb() {
    if [ -z "${RUN_SLOW_TESTS:-}" ] && [ ! -x "$target/tools/bin/cargo-deb" ]; then
        echo "builds what makes the package, and fetches a Debian, which takes minutes: skipped without RUN_SLOW_TESTS=1"
        return 0
    fi
    run_build && tests/deb.sh
}
run_deny() { tests/deny.sh; }
# Every command that the documents print.
run_docs() { run_build && tests/docs.sh; }

declare -a chosen=()
for argument in "$@"; do
    case $argument in
    --list)
        printf '%s\n' "${SECTIONS[@]}" "lint (${LINT[*]})"
        exit 0
        ;;
    lint) chosen+=("${LINT[@]}") ;;
    *)
        if [[ " ${SECTIONS[*]} " != *" $argument "* ]]; then
            sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
            echo "there is no section $argument: tests/run.sh --list tells the names" >&2
            exit 2
        fi
        chosen+=("$argument")
        ;;
    esac
done
if [ ${#chosen[@]} = 0 ]; then chosen=("${SECTIONS[@]}"); fi

if ! command -v cargo >/dev/null; then PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH; fi
if ! command -v cargo >/dev/null; then
    echo "cargo is not installed: get Rust from your distribution or https://rustup.rs and run this again" >&2
    exit 1
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

passed=0 failed=0 summary=()
for section in "${chosen[@]}"; do
    printf '\n== %s\n' "$section"
    started=$SECONDS
    if "run_$section"; then
        passed=$((passed + 1)) result=passed
    else
        failed=$((failed + 1)) result=FAILED
    fi
    summary+=("$(printf '%-10s %-7s %5d s' "$section" "$result" $((SECONDS - started)))")
done

printf '\n'
printf '%s\n' "${summary[@]}"
printf '%-10s %-7s %5d s\n\n' all '' "$SECONDS"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
