#!/bin/sh
# A private sound server with a microphone made of software, for tests: whatever is played into its
# sink "speaker" is heard by its default source "microphone".
#
#   tests/mic.sh run pulseaudio|pipewire COMMAND [ARGUMENT…]
#       starts the server in a folder of its own, runs the command with the environment set so that
#       every client finds this server and no other, and ends all that it started
#   tests/mic.sh unplug          within COMMAND: takes the microphone and the sink away
#   tests/mic.sh plug            within COMMAND: brings them back
#   tests/mic.sh plug-second     within COMMAND: brings a second microphone, which hears the sink
#                                "speaker2", and makes it the default
#   tests/mic.sh unplug-second   within COMMAND: takes it away
#   tests/mic.sh default NAME    within COMMAND: makes "microphone" or "microphone2" the default
#   tests/mic.sh stop [SIGNAL]   within COMMAND: kills the server, or ends it by another signal
#   tests/mic.sh start           within COMMAND: starts it again, with the microphone
#   tests/mic.sh suspend|resume  within COMMAND: as when another program takes the device for itself
#   tests/mic.sh stall|go-on     within COMMAND: holds the server up; lets it go on
#
# COMMAND speaks with `paplay --device=speaker FILE`. Exit code 77: what the server needs is not
# installed. Needs pulseaudio, pulseaudio-utils, libasound2-plugins; for pipewire also dbus,
# pipewire, pipewire-pulse and wireplumber.
set -eu

has() {
    for program; do
        command -v "$program" >/dev/null || { echo "mic.sh: $program is not installed" >&2; exit 77; }
    done
}

# start NAME COMMAND…: in the background, its process id in $MIC_DIR/NAME.pid
start() {
    name=$1
    shift
    "$@" >"$MIC_DIR/$name.log" 2>&1 </dev/null &
    echo $! >"$MIC_DIR/$name.pid"
}

# Whether the process runs; one that has ended and was not waited for does not.
runs() {
    [ -r "/proc/$1/status" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

# end NAME SIGNAL: and wait until it has gone
end() {
    [ -s "$MIC_DIR/$1.pid" ] || return 0
    pid=$(cat "$MIC_DIR/$1.pid")
    rm -f "$MIC_DIR/$1.pid"
    kill "-$2" "$pid" 2>/dev/null || return 0
    tries=0
    while runs "$pid" && [ $tries -lt 200 ]; do
        sleep 0.02
        tries=$((tries + 1))
    done
}

end_all() {
    for name in pulse manager server bus; do
        end "$name" "$1"
    done
}

# within COMMAND…: until it succeeds, for ten seconds at most
within() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 500 ] || { echo "mic.sh: gave up on: $*" >&2; exit 1; }
        sleep 0.02
    done
}

# In place of a background shell: COMMAND with no display and no bus of the caller's, which the
# servers would join.
alone() {
    exec env -u DISPLAY -u WAYLAND_DISPLAY -u DBUS_SESSION_BUS_ADDRESS HOME="$MIC_DIR" \
        XDG_RUNTIME_DIR="$MIC_DIR/run" "$@"
}

raise_server() {
    mkdir -p "$MIC_DIR/run/pulse"
    chmod 700 "$MIC_DIR/run" "$MIC_DIR/run/pulse"
    # Else a client that finds no server starts one.
    echo 'autospawn = no' >"$MIC_DIR/client.conf"
    cat >"$MIC_DIR/asound.conf" <<END
</usr/share/alsa/alsa.conf>
pcm.!default { type pulse hint { show on description "The sound server" } }
ctl.!default { type pulse }
END
    # A server that was killed leaves its socket behind, and who waits for it would go on too early.
    rm -f "$MIC_DIR/run/bus" "$MIC_DIR/run/pulse/native" "$MIC_DIR/run"/pipewire-0*
    case $1 in
    pulseaudio)
        start server alone pulseaudio -n --daemonize=no --use-pid-file=no --exit-idle-time=-1 \
            --realtime=no --high-priority=no --log-target=stderr \
            -L "module-native-protocol-unix socket=$MIC_DIR/run/pulse/native auth-anonymous=1"
        ;;
    pipewire)
        start bus dbus-daemon --session --nofork --nopidfile --address="unix:path=$MIC_DIR/run/bus"
        within test -S "$MIC_DIR/run/bus"
        start server alone pipewire
        within test -S "$MIC_DIR/run/pipewire-0"
        start manager alone env DBUS_SESSION_BUS_ADDRESS="unix:path=$MIC_DIR/run/bus" wireplumber
        start pulse alone env DBUS_SESSION_BUS_ADDRESS="unix:path=$MIC_DIR/run/bus" pipewire-pulse
        ;;
    esac
    within pactl info
}

# plug [NUMBER NAME]: the microphone, or another
plug() {
    # Without norewinds PulseAudio's null sink hands over nothing for a second, then all at once.
    pactl load-module module-null-sink "sink_name=speaker${1:-}" norewinds=1 rate=48000 channels=1 \
        channel_map=mono >"$MIC_DIR/modules${1:-}"
    pactl load-module module-remap-source "source_name=microphone${1:-}" \
        "master=speaker${1:-}.monitor" channels=1 channel_map=mono master_channel_map=mono remix=no \
        "source_properties=device.description=${2:-Test-Microphone}" >>"$MIC_DIR/modules${1:-}"
    make_default "microphone${1:-}"
}

# make_default NAME: and wait until clients see it. PipeWire takes the name before it has the source,
# and its session manager makes it the default later still.
make_default() {
    within has_source "$1"
    within pactl set-default-source "$1"
    within is_default "$1"
}
has_source() { pactl list short sources | cut -f 2 | grep -qx "$1"; }
is_default() { [ "$(pactl get-default-source)" = "$1" ]; }

# unplug [NUMBER]: its source first
unplug() {
    sort -rn "$MIC_DIR/modules${1:-}" | while read -r module; do
        pactl unload-module "$module"
    done
}

# to_server SIGNAL: to all that are the server
to_server() {
    for name in server manager pulse; do
        [ ! -s "$MIC_DIR/$name.pid" ] || kill "-$1" "$(cat "$MIC_DIR/$name.pid")"
    done
}

case ${1:-} in
run)
    kind=${2:?pulseaudio or pipewire}
    shift 2
    case $kind in
    pulseaudio) has pulseaudio pactl paplay ;;
    pipewire) has dbus-daemon pipewire wireplumber pipewire-pulse pactl paplay ;;
    *) echo "mic.sh: no sound server $kind" >&2; exit 2 ;;
    esac
    # Short: the path of a socket has 107 bytes at most.
    MIC_DIR=$(mktemp -d /tmp/wstream-mic.XXXXXX)
    trap 'end_all TERM; rm -rf "$MIC_DIR"' EXIT
    trap 'exit 1' HUP INT TERM
    MIC_KIND=$kind
    export MIC_DIR MIC_KIND
    export XDG_RUNTIME_DIR="$MIC_DIR/run" PIPEWIRE_RUNTIME_DIR="$MIC_DIR/run"
    export PULSE_SERVER="unix:$MIC_DIR/run/pulse/native" PULSE_CLIENTCONFIG="$MIC_DIR/client.conf"
    export ALSA_CONFIG_PATH="$MIC_DIR/asound.conf"
    unset PULSE_COOKIE DISPLAY || :
    raise_server "$kind"
    plug
    "$@"
    ;;
unplug | plug | plug-second | unplug-second | default | stop | start | stall | go-on | suspend | resume)
    : "${MIC_DIR:?only within mic.sh run}"
    case $1 in
    unplug) unplug ;;
    plug) plug ;;
    plug-second) plug 2 Second-Microphone ;;
    unplug-second) unplug 2 ;;
    default) make_default "${2:?which microphone}" ;;
    stop) end_all "${2:-KILL}" ;;
    start)
        raise_server "${MIC_KIND:?only within mic.sh run}"
        plug
        ;;
    suspend) pactl suspend-source microphone 1 ;;
    resume) pactl suspend-source microphone 0 ;;
    stall) to_server STOP ;;
    go-on) to_server CONT ;;
    esac
    ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
