#!/usr/bin/env python3
"""WhisperLiveKit (LocalAgreement, faster-whisper) fed in real time over its WebSocket.

Run it with the interpreter of the environment that setup.sh made for it. The server is the
package's own program. Its protocol: `/asr` in full mode, 16-bit PCM in, the whole state out each
time; an empty message ends the sound and `ready_to_stop` is its answer.
"""
import json
import pathlib
import sys

import websockets

import peer
import process


class WhisperLiveKit:
    DISTRIBUTION = "whisperlivekit"
    # It flushes at the end of the sound by itself.
    SILENCE_S = 0.0
    TELLS_ITS_END = True
    # For the rest that it has not decoded yet when the sound is over.
    PATIENCE_S = 60.0
    END = b""

    def __init__(self, language):
        self.port = process.free_port()
        self.language = language
        # What it has shown last, which its end makes final.
        self.shown = ("", "")

    async def connect(self):
        self.shown = ("", "")
        websocket = await websockets.connect(
            f"ws://127.0.0.1:{self.port}/asr?language={self.language}&mode=full",
            max_size=None, ping_interval=None, compression=None)
        config = json.loads(await websocket.recv())
        if not config.get("useAudioWorklet"):
            raise RuntimeError(f"the server does not take PCM: {config}")
        return websocket

    def encode(self, packet):
        return packet

    def is_done(self, message):
        return json.loads(message).get("type") == "ready_to_stop"

    def show(self, message):
        state = json.loads(message)
        if state.get("type") == "ready_to_stop":
            return (*self.shown, True)
        if "lines" not in state:
            return None
        lines = [line.get("text") or "" for line in state["lines"]]
        committed = " ".join(line.strip() for line in lines if line.strip())
        tentative = state.get("buffer_diarization", "") + state.get("buffer_transcription", "")
        self.shown = (committed, tentative)
        return (committed, tentative, False)


def main():
    args = peer.arguments(__doc__).parse_args()
    kit = WhisperLiveKit(args.language)
    command = [
        str(pathlib.Path(sys.executable).parent / "whisperlivekit-server"),
        "--host", "127.0.0.1", "--port", str(kit.port), "--pcm-input",
        "--model_dir", str(args.model.resolve()), "--lan", args.language,
        "--backend", "faster-whisper", "--backend-policy", "localagreement",
        # Its own warm-up wants a file of a hub; the first file is fed once without being counted.
        "--warmup-file", "", "--log-level", "WARNING",
    ]
    sys.exit(peer.run(kit, "whisperlivekit", command, args))


if __name__ == "__main__":
    main()
