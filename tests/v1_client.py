#!/usr/bin/env python3
"""A version 1 client, written from the protocol's description alone (no code of ours).

    v1_client.py URL STRATEGY FILE...   stream each file as one utterance over one connection,
                                        print {"file", "text", "partials", ...} per utterance
    v1_client.py --corpus URL STRATEGY  the English files of the corpus, one connection per
                                        speaker; prints the word error rate

Sound is read through sox, so any kind of file will do.  Needs the packages websockets and, for
--corpus, whisper-normalizer.
"""
import asyncio
import base64
import json
import os
import pathlib
import subprocess
import sys

import websockets

FRAME = 480  # 30 ms at 16 kHz


def samples(path):
    """Little-endian float32, mono, 16 kHz."""
    command = ["sox", str(path), "-t", "raw", "-r", "16000", "-c", "1", "-e", "floating-point",
               "-b", "32", "-L", "-"]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


async def utterance(socket, path):
    sound = samples(path)
    partials = []
    for at in range(0, len(sound), FRAME * 4):
        audio = base64.b64encode(sound[at:at + FRAME * 4]).decode()
        await socket.send(json.dumps({"type": "audio_frame", "audio": audio, "sample_rate": 16000}))
    await socket.send(json.dumps({"type": "vad_end"}))
    while True:
        message = json.loads(await socket.recv())
        if message["type"] == "partial":
            partials.append(message["text"])
        elif message["type"] == "final":
            return {"file": str(path), "text": message["text"], "partials": len(partials),
                    "segments": message["segments"], "language": message["language"],
                    "processing_time_ms": message["processing_time_ms"]}


async def session(url, strategy, paths):
    finals = []
    async with websockets.connect(f"{url}/ws/transcribe/{strategy}", max_size=10 * 2**20,
                                  ping_interval=None) as socket:
        for path in paths:
            finals.append(await utterance(socket, path))
    return finals


async def corpus(url, strategy):
    from wer import corpus as rows, errors, group
    from whisper_normalizer.english import EnglishTextNormalizer
    normalise = EnglishTextNormalizer()
    manifest = {}
    for path, name, _seconds, language, reference in rows():
        if language == "en" and group(name, language) == "english":
            manifest.setdefault(pathlib.Path(name).name.split("-")[0].split("_")[0], []).append(
                (path, reference))
    words = wrong = files = 0
    for speaker in manifest.values():
        finals = await session(url, strategy, [path for path, _ in speaker])
        for final, (_path, reference) in zip(finals, speaker):
            wanted = normalise(reference).split()
            words += len(wanted)
            wrong += errors(wanted, normalise(final["text"]).split())
            files += 1
    print(json.dumps({"strategy": strategy, "files": files, "words": words,
                      "wer": 100 * wrong / words}))


def main():
    args = sys.argv[1:]
    if len(args) == 3 and args[0] == "--corpus":
        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
        asyncio.run(corpus(*args[1:]))
    elif len(args) >= 3 and not args[0].startswith("-"):
        for final in asyncio.run(session(args[0], args[1], args[2:])):
            print(json.dumps(final))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
