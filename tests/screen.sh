#!/bin/sh
# A private screen that nobody looks at, for tests: an X server or a Wayland compositor, without a
# notification server.
#
#   tests/screen.sh x11|wayland COMMAND [ARGUMENT…]
#       raises it in a folder of its own, runs the command with the environment set so that clients
#       find this screen and no other, and ends all that it started
#
# Exit code 77: what the screen needs is not installed. Needs xvfb; for wayland sway and wtype.
# sway refuses to run as root, so root has "nobody" run it; clients run as who they are.
set -eu

has() {
    for program; do
        command -v "$program" >/dev/null || { echo "screen.sh: $program is not installed" >&2; exit 77; }
    done
}

# Whether the process runs; one that has ended and was not waited for does not.
runs() {
    [ -r "/proc/$1/status" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

end_all() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null || continue
        tries=0
        while runs "$pid" && [ $tries -lt 200 ]; do
            sleep 0.02
            tries=$((tries + 1))
        done
    done
    rm -rf "$dir"
}

# within COMMAND…: until it succeeds, for ten seconds at most
within() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 500 ] || { echo "screen.sh: gave up on: $*" >&2; cat "$dir"/*.log >&2; exit 1; }
        sleep 0.02
    done
}

x11() {
    # The server finds a free number, and writes it when it is ready.
    : >"$dir/display"
    sh -c "exec Xvfb -displayfd 3 -screen 0 800x400x24 -nolisten tcp -noreset 3>'$dir/display'" \
        >"$dir/xvfb.log" 2>&1 </dev/null &
    pids=$!
    within test -s "$dir/display"
    DISPLAY=:$(cat "$dir/display")
    export DISPLAY
    unset WAYLAND_DISPLAY
}

wayland() {
    as=
    mkdir -m 700 "$dir/run"
    if [ "$(id -u)" = 0 ]; then
        as="setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all"
        chown 65534:65534 "$dir/run"
        chmod 755 "$dir"
    fi
    printf '%s\n' 'output HEADLESS-1 resolution 800x400' 'xwayland disable' >"$dir/sway.conf"
    # shellcheck disable=SC2086 # words of a command that this script made itself
    env -u WAYLAND_DISPLAY -u DISPLAY -u SWAYSOCK XDG_RUNTIME_DIR="$dir/run" HOME="$dir/run" \
        WLR_BACKENDS=headless WLR_LIBINPUT_NO_DEVICES=1 WLR_RENDERER=pixman \
        $as sway -c "$dir/sway.conf" >"$dir/sway.log" 2>&1 </dev/null &
    pids=$!
    within test -S "$dir/run/wayland-1"
    WAYLAND_DISPLAY=$dir/run/wayland-1
    SWAYSOCK=$(echo "$dir"/run/sway-ipc.*.sock)
    export WAYLAND_DISPLAY SWAYSOCK
    unset DISPLAY
    within swaymsg -t get_outputs
    # A seat without a keyboard gives no window the focus.
    wtype -s 2000000000 >"$dir/wtype.log" 2>&1 </dev/null &
    pids="$! $pids"
    within sh -c 'swaymsg -t get_inputs | grep -q keyboard'
}

case ${1:-} in
x11) has Xvfb ;;
wayland) has sway swaymsg wtype setpriv ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
kind=$1
shift
pids=
dir=$(mktemp -d)
trap end_all EXIT
trap 'exit 1' HUP INT TERM
$kind
"$@"
