#!/usr/bin/env python3
"""WhisperLive (faster-whisper) fed in real time over its WebSocket.

Run it with the interpreter of the environment that setup.sh made for it. The server is the
package's own. Its protocol: a JSON greeting, `SERVER_READY`, then float32 samples in and the last
segments out; it has no word for "done", and closing throws the unfinished part away, so silence
follows each file and the file ends when the server has neither sent nor done anything for 3 s.
"""
import array
import json
import sys
import uuid

import websockets

import peer
import process

# Its server has no program in the package, only this entry.
SERVER = """
import sys
from whisper_live.server import TranscriptionServer
TranscriptionServer().run("127.0.0.1", int(sys.argv[1]), backend="faster_whisper",
                          faster_whisper_custom_model_path=sys.argv[2], single_model=True)
"""


class WhisperLive:
    DISTRIBUTION = "whisper-live"
    # Its users must be silent for the last words to be completed.
    SILENCE_S = 3.0
    TELLS_ITS_END = False
    # Its own client waits this long for another message before it closes.
    PATIENCE_S = 15.0
    END = b"END_OF_AUDIO"

    def __init__(self, language):
        self.port = process.free_port()
        self.language = language

    async def connect(self):
        websocket = await websockets.connect(f"ws://127.0.0.1:{self.port}", max_size=None,
                                             ping_interval=None, compression=None)
        greeting = {
            "uid": str(uuid.uuid4()), "language": self.language, "task": "transcribe",
            # The server's folder takes this one's place.
            "model": "tiny.en", "use_vad": True,
            # All that it keeps, so that a message is the whole display of a long file as well.
            "send_last_n_segments": 500,
        }
        await websocket.send(json.dumps(greeting))
        while True:
            message = json.loads(await websocket.recv())
            if message.get("message") == "SERVER_READY":
                return websocket
            if message.get("status") in ("ERROR", "WAIT"):
                raise RuntimeError(f"the server refuses: {message}")

    def encode(self, packet):
        samples = array.array("h", packet)
        if sys.byteorder != "little":
            samples.byteswap()
        return array.array("f", (sample / 32768 for sample in samples)).tobytes()

    def is_done(self, message):
        return False

    def show(self, message):
        state = json.loads(message)
        if "segments" not in state:
            return None
        segments = state["segments"]
        committed = "".join(s["text"] for s in segments if s.get("completed"))
        tentative = "".join(s["text"] for s in segments if not s.get("completed"))
        return (committed, tentative, not tentative.strip() and bool(committed.strip()))


def main():
    args = peer.arguments(__doc__).parse_args()
    live = WhisperLive(args.language)
    command = [sys.executable, "-c", SERVER, str(live.port), str(args.model.resolve())]
    sys.exit(peer.run(live, "whisperlive", command, args))


if __name__ == "__main__":
    main()
