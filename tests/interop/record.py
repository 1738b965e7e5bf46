#!/usr/bin/env python3
"""Records what a server of others' says to a short speech, for the tests of the daemon's protocols.

    record.py whisper-live|whisperlivekit|wyoming PORT SOUND [PACE]

Sound goes out in frames of 30 ms at PACE times the pace of speech (1 unless said otherwise), and
everything that comes is written as a line, in the order of time, as the tests in
daemon/wstreamd/src/transcriber/tests/exchanges.rs read it. What a server only repeats is left out.
The clients are no code of ours: they are written from the protocols' descriptions. Needs sox and
the package websockets.
"""
import array
import asyncio
import json
import subprocess
import sys
import time

import websockets

RATE = 16000
FRAME_BYTES = 960
# More than the second below which WhisperLive does not decode.
SILENCE = bytes(4 * RATE * 6 // 5)


def samples(path):
    command = ["sox", "-D", path, "-t", "raw", "-r", str(RATE), "-c", "1", "-e", "signed-integer",
               "-b", "16", "-L", "-"]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


class Log:
    """Lines, with frames counted together until something else happens."""

    def __init__(self):
        self.frames = 0
        self.last = None

    def line(self, text):
        if self.frames:
            print(f"> sound 1 480 {self.frames}")
            self.frames = 0
        print(text, flush=True)

    def heard(self, text, news=None):
        """`news`: what of it is compared with the message before."""
        if news is None or news != self.last:
            self.line("< " + text)
        self.last = news


async def feed(sound, send, log, pace):
    started = time.monotonic()
    for at in range(0, len(sound), FRAME_BYTES):
        await asyncio.sleep(max(0.0, started + at / 2 / RATE / pace - time.monotonic()))
        # The daemon's last frame is a whole one too.
        await send(sound[at:at + FRAME_BYTES].ljust(FRAME_BYTES, b"\0"))
        log.frames += 1


def floats(frame):
    pcm = array.array("h", frame)
    return array.array("f", (sample / 32768 for sample in pcm)).tobytes()


async def whisper_live(port, sound, log, pace):
    async with websockets.connect(f"ws://127.0.0.1:{port}", max_size=None) as socket:
        log.line("> begin 1")
        await socket.send(json.dumps({"uid": "wstream-1", "language": "en", "task": "transcribe",
                                      "model": "small", "use_vad": True,
                                      "send_last_n_segments": 500}))
        log.heard(await socket.recv())
        messages = 0

        async def listen():
            nonlocal messages
            async for message in socket:
                messages += 1
                log.heard(message)

        listening = asyncio.create_task(listen())
        await feed(sound, lambda frame: socket.send(floats(frame)), log, pace)
        log.line("> end 1")
        await socket.send(SILENCE)
        await (await socket.ping())
        log.line("< pong")
        seen = messages
        while messages < seen + 2:
            await asyncio.sleep(0.05)
        await socket.send(b"END_OF_AUDIO")
        await listening
        log.line("< closed orderly")


async def whisperlivekit(port, sound, log, pace):
    url = f"ws://127.0.0.1:{port}/asr?mode=full&language=en"
    async with websockets.connect(url, max_size=None) as socket:

        async def listen():
            async for message in socket:
                state = json.loads(message)
                texts = [line["text"] for line in state.get("lines", [])]
                log.heard(message, (state.get("type"), texts, state.get("buffer_transcription")))
                if state.get("type") == "ready_to_stop":
                    return

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0.5)
        log.line("> begin 1")
        await feed(sound, socket.send, log, pace)
        log.line("> end 1")
        await socket.send(b"")
        await listening


async def wyoming(port, sound, log, pace):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)

    def say(kind, data, payload=b""):
        head = {"type": kind, "data": data}
        if payload:
            head["payload_length"] = len(payload)
        writer.write(json.dumps(head).encode() + b"\n" + payload)

    async def listen():
        while line := await reader.readline():
            head = json.loads(line)
            data = await reader.readexactly(head.get("data_length") or 0)
            # A line that is not ended by one goes on in the next.
            log.line("<line " + line.decode().rstrip("\n"))
            if data:
                log.line("<bytes " + data.decode())
        log.line("< closed orderly")

    listening = asyncio.create_task(listen())
    say("describe", {})
    await asyncio.sleep(0.5)
    log.line("> begin 1")
    say("transcribe", {"language": "en"})
    form = {"rate": RATE, "width": 2, "channels": 1}
    say("audio-start", form)

    async def send(frame):
        say("audio-chunk", form, frame)
        await writer.drain()

    await feed(sound, send, log, pace)
    log.line("> end 1")
    say("audio-stop", {})
    await listening


def main():
    clients = {"whisper-live": whisper_live, "whisperlivekit": whisperlivekit, "wyoming": wyoming}
    if len(sys.argv) not in (4, 5) or sys.argv[1] not in clients:
        sys.exit(__doc__)
    pace = float(sys.argv[4]) if len(sys.argv) == 5 else 1.0
    asyncio.run(clients[sys.argv[1]](int(sys.argv[2]), samples(sys.argv[3]), Log(), pace))


if __name__ == "__main__":
    main()
