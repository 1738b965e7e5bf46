#!/usr/bin/env bash
# Builds the Debian package of everything and says where it lies.
set -euo pipefail

usage() {
    cat <<'END'
usage: packaging/deb.sh [OPTION]...

  --built            package what is built already, in release form, in the target folder
  --version VERSION  call it this instead of the workspace's version (to try upgrades)
  --fast             compress less, for tests
  --output DIR       put it there instead of target/debian
  --help             this text

It needs what the build needs (packaging/install.sh installs that), dpkg-dev and strip.
END
}

die() {
    echo "deb.sh: $*" >&2
    exit 1
}

built=false more=() version='' output=''
while [ $# -gt 0 ]; do
    case $1 in
    --built) built=true ;;
    --fast) more+=(--fast) ;;
    --version | --output)
        [ -n "${2:-}" ] || { usage >&2; exit 2; }
        if [ "$1" = --version ]; then version=$2; else output=$(realpath -m "$2"); fi
        shift
        ;;
    --help | -h)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done

cd "$(dirname "$0")/.."
# shellcheck source=packaging/tree.sh
. packaging/tree.sh
# The last that was tried; a newer one may lay the package out otherwise.
readonly CARGO_DEB=3.8.0
repository=$PWD
target=${CARGO_TARGET_DIR:-$PWD/target}
release=$target/release
tree=$release/deb-tree
tools=$target/tools
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for tool in dpkg-shlibdeps strip; do
    command -v $tool >/dev/null || die "$tool is missing: apt install dpkg-dev binutils"
done
if [ "$("$tools/bin/cargo-deb" --version 2>/dev/null)" != "cargo-deb $CARGO_DEB" ]; then
    echo "getting cargo-deb $CARGO_DEB into $tools (minutes, once)" >&2
    CARGO_TARGET_DIR=$tools/build cargo install cargo-deb --version $CARGO_DEB --locked --quiet --force --root "$tools" ||
        die "that failed: the lines above say why"
    rm -rf "$tools/build"
fi
if ! $built; then
    what=()
    for name in "${PROGRAMS[@]}"; do what+=(-p "$name"); done
    # Debian has PipeWire's library everywhere; the package depends on it.
    WHISPER_DONT_GENERATE_BINDINGS=1 cargo build --release --locked "${what[@]}" --features wstreamd/pipewire
fi
for name in "${PROGRAMS[@]}"; do
    [ -x "$release/$name" ] || die "$release/$name is not there: leave --built out"
done

rm -rf "$tree"
generate "$repository" "$release" "$scratch/generated"
tree "$repository" "$release" "$scratch/generated" /usr /usr/lib/systemd/user /usr/share/dbus-1/services true >"$scratch/tree"
while IFS=$'\t' read -r how file path; do
    case $how in
    filled)
        filled /usr/bin "$how" "$file" >"$scratch/filled"
        install -D -m 644 "$scratch/filled" "$tree$path"
        ;;
    755)
        install -D -m 755 "$file" "$tree$path"
        strip --strip-unneeded --remove-section=.comment --remove-section=.note "$tree$path"
        ;;
    644)
        install -D -m 644 "$file" "$tree$path"
        case $path in */man/*) gzip -9n "$tree$path" ;; esac
        ;;
    esac
done <"$scratch/tree"

# What only a package has: its papers.
own=${version:-$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)}
doc=$tree/usr/share/doc/wstream
when=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH=$when
{
    printf 'wstream (%s) unstable; urgency=medium\n\n' "$own"
    printf '  * What has changed for users is in CHANGELOG.md.gz.\n\n'
    printf ' -- wstream maintainers <wstream@users.noreply.github.com>  %s\n' "$(date -u -R -d "@$when")"
} | gzip -9n >"$doc/changelog.gz"
gzip -9nc CHANGELOG.md >"$doc/CHANGELOG.md.gz"
gzip -9nc README.md >"$doc/README.md.gz"
gzip -9nc SECURITY.md >"$doc/SECURITY.md.gz"
gzip -9nc packaging/TROUBLESHOOTING.md >"$doc/TROUBLESHOOTING.md.gz"
install -D -m 644 packaging/deb/lintian-overrides "$tree/usr/share/lintian/overrides/wstream"

if [ -n "$version" ]; then more+=(--deb-version "$version"); fi
if [ -z "$output" ]; then output=$target/debian; fi
mkdir -p "$output"
"$tools/bin/cargo-deb" --no-build --no-strip --locked --quiet -p wstreamd --output "$output/" "${more[@]}"
