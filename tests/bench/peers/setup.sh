#!/usr/bin/env bash
# Makes an environment for each peer, with the versions of requirements/, and fetches the models.
#
#   setup.sh DIR                      everything
#   setup.sh DIR whisper-live ...     these peers only: faster-whisper whisperlivekit whisper-live
#
# What was made is kept, so a second run costs nothing. The lists are complete, and pip must add
# nothing (--no-deps): WhisperLive asks for a sound library, OpenVINO and more that its server
# never loads, and PyTorch for compilers. PyTorch comes once, for both that need it. The index
# has no build of it without CUDA, and it does not load without CUDA's libraries: 4 GB.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
readonly PEERS=(faster-whisper whisperlivekit whisper-live)

if [ $# = 0 ]; then
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
mkdir -p "$1"
dir=$(cd "$1" && pwd)
shift
peers=("$@")
if [ ${#peers[@]} = 0 ]; then peers=("${PEERS[@]}"); fi

# The list that was installed is kept in the environment and compared, so that a new pin counts.
environment() {
    local name=$1 list=$here/requirements/$1.txt
    if cmp -s "$list" "$dir/$name/installed.txt"; then
        echo "$name: there"
        return
    fi
    rm -rf "${dir:?}/$name"
    python3 -m venv "$dir/$name"
    "$dir/$name/bin/pip" install --quiet --no-deps --only-binary=:all: -r "$list"
    cp "$list" "$dir/$name/installed.txt"
    echo "$name: $(du -sh "$dir/$name" | cut -f1)"
}

borrow_torch() {
    local site='import sysconfig; print(sysconfig.get_path("purelib"))'
    environment torch
    "$dir/torch/bin/python" -c "$site" >"$("$dir/$1/bin/python" -c "$site")/torch.pth"
}

for peer in "${peers[@]}"; do
    case $peer in
    faster-whisper) environment "$peer" ;;
    whisperlivekit | whisper-live)
        environment "$peer"
        borrow_torch "$peer"
        ;;
    *)
        echo "there is no peer $peer: ${PEERS[*]}" >&2
        exit 2
        ;;
    esac
done
python3 "$here/models.py" "$dir/models"
