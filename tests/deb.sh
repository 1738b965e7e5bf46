#!/usr/bin/env bash
# The Debian package, for real: built, looked at by lintian, installed by apt into a clean Debian,
# used by a user with a service manager and a bus of his own, upgraded while it runs, removed and
# purged. Nothing is installed on this machine; Debian's files are kept in the target folder.
#
# tests/run.sh builds the programs and sets WSTREAM_MODELS_DIR; tiny.en must be in it.
set -uo pipefail
# shellcheck disable=SC2317 # functions are called through check
cd "$(dirname "$0")/.." || exit 1
target=${CARGO_TARGET_DIR:-$PWD/target}
readonly KEPT=$target/test-debian
readonly SUITE=bookworm
readonly SAMPLE=/usr/share/sounds/alsa/Front_Center.wav

skip() {
    echo "$*: skipped"
    exit 0
}

[ "$(id -u)" = 0 ] || skip "only root can make a tree of Debian's"
for tool in debootstrap unshare setpriv dpkg-deb; do
    command -v $tool >/dev/null || skip "$tool is not installed"
done
model=${WSTREAM_MODELS_DIR:-$target/test-models}/ggml-tiny.en.bin
[ -s "$model" ] || skip "the model tiny.en is not there (tests/run.sh model)"
[ -s $SAMPLE ] || skip "alsa-utils, which brings a voice, is not installed"

# Every mount is in a view of the file system that ends before anything is removed: what is mounted
# there is never in reach of the removal here.
if [ "${1:-}" != --alone ]; then
    mkdir -p "$KEPT"
    scratch=$(mktemp -d "$KEPT/run.XXXXXX")
    code=0
    unshare --mount --propagation private "$0" --alone "$scratch" || code=$?
    for dir in /sys/fs/cgroup/{systemd,unified,.}/"$(basename "$scratch")"; do
        for _ in {1..50}; do
            if [ ! -d "$dir" ] || find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null; then break; fi
            sleep 0.1
        done
    done
    rm -rf --one-file-system "$scratch"
    exit $code
fi
scratch=$2

mirror=$(sed -n -E 's/^(URIs: |deb (\[[^]]*\] )?)(https?:[^ ]*\/debian)\/?( .*)?$/\3/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
[ -n "$mirror" ] || skip "no mirror of Debian's is configured for apt here"
mkdir -p "$KEPT/archives"
if [ ! -e "$KEPT/complete" ]; then
    rm -rf "$KEPT/tree"
    if ! debootstrap --variant=minbase --include=ca-certificates,dbus,dbus-user-session,libpam-systemd,systemd,man-db \
        $SUITE "$KEPT/tree" "$mirror" >"$KEPT/log" 2>&1; then
        tail -n 3 "$KEPT/log"
        skip "$SUITE cannot be fetched from $mirror"
    fi
    touch "$KEPT/complete"
fi

groups=()
failed=0
check() {
    local what=$1
    shift
    if "$@"; then echo "ok: $what"; else
        echo "FAILED: $what"
        failed=1
    fi
}

# --- the package ----------------------------------------------------------------------------------

if ! packaging/deb.sh --built --fast --output "$scratch/new" >"$scratch/deb.log" 2>&1 ||
    ! packaging/deb.sh --built --fast --version 99.0 --output "$scratch/newer" >>"$scratch/deb.log" 2>&1; then
    cat "$scratch/deb.log"
    echo "FAILED: the package is built"
    exit 1
fi
# Of the same name, whatever the version is.
mv "$scratch"/new/*.deb "$scratch/new.deb"
mv "$scratch"/newer/*.deb "$scratch/newer.deb"
package=$scratch/new.deb
field() { dpkg-deb -f "$package" "$1"; }
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
check "its version is the workspace's" test "$(field Version)" = "$version"
for library in libc6 libasound2 libpipewire-0.3-0; do
    check "it depends on $library" grep -qF "$library" <(field Depends)
done

dpkg-deb -c "$package" | awk '$1 !~ /^d/ { print substr($6, 2) }' | sed 's/\.gz$//' | sort >"$scratch/contents"
# shellcheck source=packaging/tree.sh
. packaging/tree.sh
generate "$PWD" "$target/release" "$scratch/generated"
tree "$PWD" "$target/release" "$scratch/generated" /usr /usr/lib/systemd/user /usr/share/dbus-1/services true |
    cut -f 3 | sort >"$scratch/listed"
left_out() { comm -13 "$scratch/contents" "$scratch/listed"; }
if [ -n "$(left_out)" ]; then left_out; fi
check "all that the installer installs is in it" test -z "$(left_out)"
for paper in copyright changelog CHANGELOG.md README.md; do
    check "it has its $paper" grep -qx "/usr/share/doc/wstream/$paper" "$scratch/contents"
done

if command -v lintian >/dev/null; then
    # What is overridden is explained in packaging/deb/lintian-overrides.
    lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$package" >"$scratch/lintian" 2>&1
    lintian_said=$?
    cat "$scratch/lintian"
    check "lintian has no error and no warning" test $lintian_said = 0
else
    echo "lintian is not installed: the package is not linted"
fi

# --- a clean Debian ---------------------------------------------------------------------------------

root=$scratch/root
mkdir "$root" "$scratch/upper" "$scratch/work"
mount -t overlay -o "lowerdir=$KEPT/tree,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$root" 2>/dev/null || {
    # A file system that cannot be laid over another: a copy, which must be a mount as well.
    cp -a "$KEPT/tree/." "$root/" && mount --bind "$root" "$root"
} || exit 1
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
for dir in sys dev; do mount --rbind /$dir "$root/$dir"; done
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root/var/cache/apt/archives"
mount --bind "$KEPT/archives" "$root/var/cache/apt/archives"
# Debian's services are not to be started in here.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
mkdir "$root/tmp/in"
cp "$scratch/new.deb" "$scratch/newer.deb" "$model" $SAMPLE tests/deb-inside.sh "$root/tmp/in/"

# A user's service manager wants a group of processes of its own.
for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ -e $hierarchy/cgroup.procs ] || continue
    group=$hierarchy/$(basename "$scratch")
    mkdir "$group" && groups+=("$group") && chown -R 1000:1000 "$group"
done
# Not chroot: whoever is in one may make no user namespaces, which the unit's sandbox needs.
# shellcheck disable=SC2016 # the inner shell's own
readonly ENTER='cd "$1" && mkdir tmp/old && pivot_root . tmp/old && mount -t proc proc /proc && umount -l /tmp/old &&
    rmdir /tmp/old && shift && exec /usr/bin/env -i "$@"'
# shellcheck disable=SC2016 # the inner shell's own
sh -c 'for dir in '"${groups[*]}"'; do echo $$ >$dir/cgroup.procs; done; exec "$@"' sh \
    unshare --mount --pid --fork --kill-child --propagation private sh -c "$ENTER" sh "$root" PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    /bin/bash /tmp/in/deb-inside.sh || failed=1
exit $failed
