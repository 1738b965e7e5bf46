#!/usr/bin/env python3
"""A version 1 server around faster-whisper, written from the protocol's description alone (no code
of ours).

    v1_server.py PORT MODEL [LANGUAGE]

MODEL is a CTranslate2 folder. As servers in the wild do, it knows nothing of subprotocols and drops
a connection that it does not understand.
"""
import asyncio
import base64
import json
import os
import sys
import time

import numpy
import websockets
from faster_whisper import WhisperModel

RATE = 16000
CONTEXT_SAMPLES = RATE
PARTIAL_INTERVAL_S = int(os.environ.get("PARTIAL_INTERVAL_MS", "500")) / 1000
STRATEGIES = ("prompt", "context", "hybrid")
NOTHING = numpy.zeros(0, dtype="<f4")


class Session:
    """What is kept for each connection."""

    def __init__(self, model, language, strategy):
        self.model, self.language = model, language
        self.uses_prompt = strategy in ("prompt", "hybrid")
        self.uses_context = strategy in ("context", "hybrid")
        self.buffer, self.pieces = NOTHING, []
        self.previous_transcript, self.context_audio = "", NOTHING
        self.answered = time.monotonic()

    def push(self, samples):
        self.pieces.append(samples)

    def sound(self):
        if self.pieces:
            self.buffer = numpy.concatenate([self.buffer, *self.pieces])
            self.pieces = []
        return self.buffer

    def decode(self):
        """Text, segments, language and milliseconds; nothing that is kept changes."""
        began = time.monotonic()
        lead = self.context_audio if self.uses_context else NOTHING
        lead_s = len(lead) / RATE
        prompt = self.previous_transcript if self.uses_prompt else ""
        found, info = self.model.transcribe(
            numpy.concatenate([lead, self.sound()]), language=self.language, beam_size=5,
            initial_prompt=prompt or None, condition_on_previous_text=False)
        segments = [{"start": max(0.0, segment.start - lead_s), "end": segment.end - lead_s,
                     "text": segment.text.strip()}
                    for segment in found if segment.end > lead_s]
        text = " ".join(segment["text"] for segment in segments)
        return text, segments, info.language, 1000 * (time.monotonic() - began)

    def finish(self, text):
        self.context_audio = self.sound()[-CONTEXT_SAMPLES:]
        self.previous_transcript = text
        self.buffer = NOTHING


async def serve(socket, model, language):
    # The query is no part of the path.
    parts = socket.request.path.split("?")[0].split("/")
    if parts[1:3] != ["ws", "transcribe"] or len(parts) < 4:
        await socket.close(1008, "Invalid path")
        return
    if parts[3] not in STRATEGIES:
        await socket.close(1008, f"Unknown strategy: {parts[3]}")
        return
    session = Session(model, language, parts[3])
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "audio_frame":
            session.push(numpy.frombuffer(base64.b64decode(message["audio"]), dtype="<f4"))
            if time.monotonic() - session.answered < PARTIAL_INTERVAL_S:
                continue
            said, _segments, _language, took = await asyncio.to_thread(session.decode)
            await socket.send(json.dumps({"type": "partial", "text": said,
                                          "processing_time_ms": took}))
        elif message["type"] == "vad_end":
            if not len(session.sound()):
                continue
            said, segments, heard, took = await asyncio.to_thread(session.decode)
            session.finish(said)
            await socket.send(json.dumps({"type": "final", "text": said, "segments": segments,
                                          "language": heard, "processing_time_ms": took}))
        session.answered = time.monotonic()


async def main(port, folder, language):
    model = WhisperModel(folder, device="cpu", compute_type="int8", local_files_only=True)
    handler = lambda socket: serve(socket, model, language)
    async with websockets.serve(handler, "127.0.0.1", port, max_size=10 * 2**20):
        await asyncio.Future()


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else "en"))
