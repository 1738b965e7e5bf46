#!/bin/sh
# Print what is dictated, a line per utterance. Needs only gdbus, which comes with GLib.
#
# For scripts that want the details too, `wstreamctl monitor --json` is easier: an object a line.
set -eu

name=org.wstream.Dictation1

# A signal is a line: PATH: INTERFACE.MEMBER (VALUES), with texts in single quotes, or in double
# ones where they hold an apostrophe.
gdbus monitor --session --dest "$name" --object-path /org/wstream/Dictation1 |
    sed -nu "
        s/^.*: $name\\.Final (uint64 [0-9]*, '\\(.*\\)', {.*})\$/\\1/p
        s/^.*: $name\\.Final (uint64 [0-9]*, \"\\(.*\\)\", {.*})\$/\\1/p
        s/^.*: $name\\.Trouble ('[^']*', ['\"]\\(.*\\)['\"], .*)\$/trouble: \\1/p
    "
