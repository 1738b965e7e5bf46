#!/usr/bin/env bash
# Whether systemd and the bus understand what the installer gives them.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# Any program will do as ours; systemd only looks whether there is one.
for name in wstreamd wstream-engine; do
    ln -s "$(type -P true)" "$scratch/$name"
    sed "s|@BINDIR@|$scratch|" packaging/$name.service >"$scratch/$name.service"
done
cp packaging/wstream-engine.socket "$scratch/"
if command -v systemd-analyze >/dev/null; then
    XDG_RUNTIME_DIR=$scratch systemd-analyze --user --man=no verify "$scratch/wstreamd.service" || failed=1
    # The system's manager knows its units by their folder.
    SYSTEMD_UNIT_PATH=$scratch: systemd-analyze --man=no verify "$scratch/wstream-engine."{service,socket} || failed=1
    # systemd's own count of what a service could still do, in tenths; SECURITY.md says it.
    for unit in wstreamd=33 wstream-engine=14; do
        systemd-analyze security --offline=yes --no-pager --threshold="${unit#*=}" "$scratch/${unit%=*}.service" >"$scratch/security" ||
            { tail -n 2 "$scratch/security"; failed=1; }
    done
else
    echo "systemd-analyze is not installed: the unit is not verified"
fi

# The activation file's own rules: a name equal to the file's, an absolute program, a unit we have.
file=packaging/org.wstream.Dictation1.service.in
for line in '[D-BUS Service]' Name=org.wstream.Dictation1 Exec=@BINDIR@/wstreamd SystemdService=wstreamd.service; do
    if ! grep -qxF "$line" $file; then
        echo "$file lacks the line $line"
        failed=1
    fi
done
exit $failed
