#!/usr/bin/env bash
# What tests/deb.sh does in the clean Debian: root's part, and that of the user anna.
# shellcheck disable=SC2317,SC2016 # functions and inner shells are called through check
set -uo pipefail
cd /tmp/in || exit 1
failed=0
check() {
    local what=$1
    shift
    if "$@"; then echo "ok: $what"; else
        echo "FAILED: $what"
        failed=1
        return 1
    fi
}

# quiet FILE COMMAND...: its output goes to FILE, and is shown where it fails.
quiet() {
    local file=$1
    shift
    if ! "$@" >"$file" 2>&1; then
        tail -n 30 "$file"
        return 1
    fi
}

# code EXPECTED FILE COMMAND...
code() {
    local expected=$1 file=$2 code=0
    shift 2
    "$@" >"$file" 2>&1 || code=$?
    if [ "$code" != "$expected" ]; then
        tail -n 30 "$file"
        echo "ended with $code, not $expected"
        return 1
    fi
}

# Waits until a command succeeds, for a time that is only there so that nothing hangs.
until_it() {
    local tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || return 1
        sleep 0.1
    done
}

# Everything on the disk, but for what apt and others keep of their own work.
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /home \
        -o -path /var/cache -o -path /var/log -o -path /var/lib/apt -o -path '/var/lib/dpkg/*-old' \
        -o -path /var/lib/dpkg/triggers -o -path /var/lib/systemd \) -prune -o -printf '%y %p\n' | sort
}

# Programs of ours that run.
running() { for exe in /proc/[0-9]*/exe; do readlink "$exe" 2>/dev/null; done | grep '^/usr/bin/wstream'; }
nothing_runs() { ! running; }
engine_runs() { running | grep -qx /usr/bin/wstream-engine; }

# --- before -----------------------------------------------------------------------------------------

useradd --create-home --uid 1000 --shell /bin/bash anna || exit 1
quiet update apt-get update || { echo "Debian's mirror cannot be reached: skipped" && exit 0; }
# What it depends on stays behind it until autoremove, and is not ours.
apt-get -s install --no-install-recommends ./new.deb >simulated 2>&1 || { cat simulated && exit 1; }
sed -n 's/^Inst \([^ ]*\).*/\1/p' simulated | grep -vx wstream >needed
xargs apt-get install -y --no-install-recommends <needed >needs 2>&1 || { tail needs && exit 1; }
check "what it recommends can be had" quiet recommended apt-get -s install ./new.deb

home=$(getent passwd anna | cut -d : -f 6)
# The last is where services get their view of the files; the system's manager makes it, and a user
# cannot.
mkdir -p /run/systemd/system /run/dbus /run/systemd/unit-root
install -d -m 700 -o anna -g anna /run/user/1000
environment=("HOME=$home" USER=anna LOGNAME=anna XDG_RUNTIME_DIR=/run/user/1000 PATH=/usr/bin:/bin LANG=C.UTF-8
    DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus)
anna() { (cd "$home" && exec env -i "${environment[@]}" setpriv --reuid=1000 --regid=1000 --init-groups --inh-caps=-all "$@"); }
anna env SYSTEMD_LOG_TARGET=console /lib/systemd/systemd --user >manager 2>&1 &
manager=$!
if ! until_it anna systemctl --user show-environment || ! until_it anna busctl --user status; then
    tail manager
    echo "no service manager can be started for a user here: skipped"
    exit 0
fi
files >before

# What systemd has to say of the daemon; there is no journal here.
why() {
    anna systemctl --user --no-pager status wstreamd
    grep -v "^Started\|Finished" manager | tail -n 20
}

# --- installed --------------------------------------------------------------------------------------

name=org.wstream.Dictation1
check "apt installs it" quiet install apt-get install -y ./new.deb --no-install-recommends
dpkg -L wstream | grep -vx /. >owned
is_there() { while IFS= read -r file; do [ -e "$file" ] || { echo "$file" && return 1; }; done <owned; }
check "all of its files are there" is_there
for program in wstreamd wstream-engine wstreamctl wstream-hooks wstream-history wstream-notify wstream-words; do
    check "$program runs, with nothing missing" quiet version anna $program --version
    check "$program has a man page" quiet page anna man -w 1 $program
done
for page in config history notify words; do check "wstream-$page(5) is there" quiet page anna man -w 5 wstream-$page; done
# shellcheck disable=SC2016 # anna's shell's own
check "bash completes it" anna bash -c '. /usr/share/bash-completion/completions/wstreamctl && complete -p wstreamctl >/dev/null'
units_verify() { quiet verify systemd-analyze --man=no verify /usr/lib/systemd/system/wstream-engine.socket; }
check "systemd takes the engine's units" units_verify
check "nothing of it runs yet" nothing_runs

# The bus notices the new file by itself.
is_activatable() { anna busctl --user list --activatable --no-legend | grep -q "^$name "; }
check "the bus can start it" until_it is_activatable
asked() { anna busctl --user get-property "$name" /org/wstream/Dictation1 "$name" Version; }
check "it is started by asking for it" quiet asked asked || why
check "and can be talked to" quiet status anna wstreamctl status
property() { anna systemctl --user show wstreamd -p "$1" --value; }
check "as a unit of the user's" test "$(property ActiveState)" = active
daemon=$(property MainPID)
check "which has a process" test "$daemon" -gt 1
check "from where it was installed" test "$(readlink "/proc/$daemon/exe")" = /usr/bin/wstreamd
check "that is ready when it says so" test "$(property Type)" = notify

# --- without and with a model ----------------------------------------------------------------------

check "without a model there is no text, with the code for it" code 5 no-model anna wstreamctl transcribe /tmp/in/Front_Center.wav
check "it is said what to do" grep -q 'model pull' no-model
code 1 doctor anna wstreamctl doctor --no-microphone --no-window
check "the doctor finds that" grep -qE '^problem +model .*model pull' doctor
check "and that everything is installed together" grep -qE '^ok +programs ' doctor
check "and that the unit runs" grep -qE '^ok +service .*wstreamd.service is active' doctor
anna mkdir -p "$home/.local/share/wstream/models"
install -o anna -g anna -m 644 ggml-tiny.en.bin "$home/.local/share/wstream/models/"
dictate() { quiet "$1" anna wstreamctl transcribe --language en /tmp/in/Front_Center.wav && grep -qi center "$1"; }
check "with a model there is" dictate said
check "the engine runs from where it was installed" engine_runs
check "what it said can be asked for" sh -c 'exec "$@" | grep -qi center' sh env -i "${environment[@]}" \
    setpriv --reuid=1000 --regid=1000 --init-groups wstreamctl last
check "it can be enabled for the desktop" quiet enable anna systemctl --user enable wstreamd
check "which is a link of the user's" test -L "$home/.config/systemd/user/graphical-session.target.wants/wstreamd.service"

# --- upgraded while it runs ----------------------------------------------------------------------------

check "apt upgrades it while it runs" quiet upgrade apt-get install -y ./newer.deb --no-install-recommends
check "and says what the user is to do" grep -q 'systemctl --user restart wstreamd' upgrade
is_the_same() { [ "$(property MainPID)" = "$daemon" ] && [ -e "/proc/$daemon/exe" ]; }
check "the daemon was left alone" is_the_same
check "and still dictates" dictate said
check "the package is the new one" test "$(dpkg-query -W -f '${Version}' wstream)" = 99.0
check "its user restarts it" quiet restart anna systemctl --user restart wstreamd || anna journalctl --user -n 20 -u wstreamd
check "then it is another" test "$(property MainPID)" != "$daemon"
check "which is the new program" test "$(readlink "/proc/$(property MainPID)/exe")" = /usr/bin/wstreamd
check "and dictates" dictate said

# --- removed ----------------------------------------------------------------------------------------

check "its user ends it" quiet disable anna systemctl --user disable --now wstreamd
check "apt removes it" quiet remove apt-get remove -y wstream
programs_left() { ls /usr/bin/wstream* 2>/dev/null; }
check "its programs are gone" test -z "$(programs_left)"
has_gone() { ! is_activatable; }
check "the bus has forgotten it" until_it has_gone
check "apt purges it" quiet purge apt-get purge -y wstream
files >after
if ! cmp -s before after; then diff before after | grep '^[<>]'; fi
check "the disk is as before" cmp -s before after
homes() { find "$home" -type f ! -path "$home/.bash*" ! -path "$home/.profile" | sort; }
homes
check "the user's data is left" test -s "$home/.local/share/wstream/models/ggml-tiny.en.bin"
others() { homes | grep -v -e "^$home/.local/share/wstream/" -e "^$home/.local/state/wstream/"; }
check "and nothing else" test -z "$(others)"
check "nothing of it runs" nothing_runs
kill $manager
wait $manager 2>/dev/null
exit $failed
