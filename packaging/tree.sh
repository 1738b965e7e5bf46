# shellcheck shell=bash
# What of wstream is installed where: the one list, for install.sh and deb.sh. To be sourced.

# shellcheck disable=SC2034 # used by those who source this
readonly BUS_NAME=org.wstream.Dictation1 UNIT=wstreamd.service
# The programs; each is a package of the workspace with the same name.
readonly PROGRAMS=(wstreamd wstream-engine wstreamctl wstream-hooks wstream-history wstream-notify wstream-words)
# Those plugins, wstream-NAME, that have a configuration of their own, NAME.toml.
readonly CONFIGURED=(history notify words)

# generate REPOSITORY BIN DIR: man pages and completions, as the programs in BIN and the commented
# configurations have them, into the folder DIR.
generate() {
    local repository=$1 bin=$2 dir=$3 name shell version
    mkdir -p "$dir/man1" "$dir/man5"
    version=$("$bin/wstreamctl" --version) || return 1
    "$bin/wstreamctl" man "$dir/man1" || return 1
    for name in "${PROGRAMS[@]}"; do
        if [ "$name" != wstreamctl ]; then "$bin/$name" --man "$dir/man1" || return 1; fi
    done
    for name in config "${CONFIGURED[@]}"; do
        awk -v "version=${version##* }" -v "name=$name" -f "$repository/packaging/page.awk" \
            "$repository/packaging/$name.toml" >"$dir/man5/wstream-$name.5" || return 1
    done
    for shell in bash zsh fish; do "$bin/wstreamctl" completions $shell >"$dir/$shell" || return 1; done
}

# tree REPOSITORY BIN GENERATED PREFIX UNIT_DIR BUS_DIR SERVICE: a line for each file, of what is to
# be done, the file and where it goes, with tabs between. The first is a mode; or `filled`, for
# mode 644 with @BINDIR@ replaced by PREFIX/bin; or `unserved`, which is that without systemd.
# SERVICE is whether there is systemd.
tree() {
    local repository=$1 bin=$2 generated=$3 prefix=$4 unit_dir=$5 bus_dir=$6 service=$7 name page
    local packaging=$repository/packaging share=$prefix/share
    for name in "${PROGRAMS[@]}"; do place 755 "$bin/$name" "$prefix/bin/$name"; done
    for page in "$generated"/man[15]/*; do place 644 "$page" "$share/man/${page#"$generated/"}"; done
    place 644 "$generated/bash" "$share/bash-completion/completions/wstreamctl"
    # Debian's zsh looks into its own folder, and into this one only below /usr/local.
    name=site-functions
    if [ "$prefix" = /usr ]; then name=vendor-completions; fi
    place 644 "$generated/zsh" "$share/zsh/$name/_wstreamctl"
    place 644 "$generated/fish" "$share/fish/vendor_completions.d/wstreamctl.fish"
    place 644 "$packaging/wstream.svg" "$share/icons/hicolor/scalable/apps/wstream.svg"
    place filled "$packaging/wstream.desktop.in" "$share/applications/wstream.desktop"
    for name in config "${CONFIGURED[@]}"; do place 644 "$packaging/$name.toml" "$share/doc/wstream/$name.toml"; done
    if ! $service; then
        place unserved "$packaging/$BUS_NAME.service.in" "$bus_dir/$BUS_NAME.service"
        return
    fi
    place filled "$packaging/$UNIT" "$unit_dir/$UNIT"
    place filled "$packaging/$BUS_NAME.service.in" "$bus_dir/$BUS_NAME.service"
    # For whoever serves others; it is for them to enable.
    if [ "$unit_dir" = "$prefix/lib/systemd/user" ]; then
        place filled "$packaging/wstream-engine.service" "$prefix/lib/systemd/system/wstream-engine.service"
        place 644 "$packaging/wstream-engine.socket" "$prefix/lib/systemd/system/wstream-engine.socket"
    fi
}

place() { printf '%s\t%s\t%s\n' "$@"; }

# filled BINDIR HOW FILE: a file as it is for programs in BINDIR.
filled() {
    local without=()
    if [ "$2" = unserved ]; then without=(-e '/^SystemdService=/d'); fi
    sed -e "s|@BINDIR@|$1|g" "${without[@]}" "$3"
}
