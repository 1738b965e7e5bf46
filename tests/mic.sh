#!/bin/sh
# A private sound server with a microphone made of software, for tests: whatever is played into its
# sink "speaker" is heard by its default source "microphone".
#
#   tests/mic.sh run pulseaudio|pipewire COMMAND [ARGUMENT…]
#       starts the server in a folder of its own, runs the command with the environment set so that
#       every client finds this server and no other, and ends all that it started
#   tests/mic.sh unplug     within COMMAND: takes the microphone and the sink away
#   tests/mic.sh stop       within COMMAND: kills the server
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

plug() {
    # Without norewinds PulseAudio's null sink hands over nothing for a second, then all at once.
    pactl load-module module-null-sink sink_name=speaker norewinds=1 rate=48000 channels=1 \
        channel_map=mono >/dev/null
    pactl load-module module-remap-source source_name=microphone master=speaker.monitor channels=1 \
        channel_map=mono master_channel_map=mono remix=no \
        source_properties=device.description=Test-Microphone >/dev/null
    within pactl set-default-source microphone
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
    export MIC_DIR
    export XDG_RUNTIME_DIR="$MIC_DIR/run" PIPEWIRE_RUNTIME_DIR="$MIC_DIR/run"
    export PULSE_SERVER="unix:$MIC_DIR/run/pulse/native" PULSE_CLIENTCONFIG="$MIC_DIR/client.conf"
    export ALSA_CONFIG_PATH="$MIC_DIR/asound.conf"
    unset PULSE_COOKIE DISPLAY || :
    raise_server "$kind"
    plug
    "$@"
    ;;
unplug)
    : "${MIC_DIR:?only within mic.sh run}"
    pactl unload-module module-remap-source
    pactl unload-module module-null-sink
    ;;
stop)
    : "${MIC_DIR:?only within mic.sh run}"
    end_all KILL
    ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
