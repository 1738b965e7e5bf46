"""What the adapters share: arguments, sound, the clock and the output.

Enters: a list of sound files. Leaves: JSON lines, one per change of what the peer shows (see
README.md). Everything runs in one thread; the peer runs in processes of its own.
"""
import argparse
import asyncio
import importlib.metadata
import json
import pathlib
import subprocess
import sys
import time

from process import Bill, Watch, server

RATE = 16000
# A microphone hands over 10 to 100 ms at once; our daemon works on 30 ms.
PACKET_MS = 30
# Between opening the connection and the first packet, so that the first deadline can be kept.
LEAD_S = 0.05
# A peer that never says that it is done must have said nothing for this long,
QUIET_S = 3.0
# and have been seen doing nothing for this long.
IDLE_S = 1.0
# How often the end is looked for; arrivals are stamped by themselves, so this blurs no time.
LOOK_S = 0.25
# Longer than any decode of 30 s of sound by a small model, even with all its repetitions.
SETTLE_S = 30.0


def arguments(description):
    """The options of every adapter; ones of its own may be added before parsing."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--list", type=pathlib.Path, required=True, help="file of paths, one a line")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("."),
                        help="where relative paths start")
    parser.add_argument("--model", type=pathlib.Path, required=True, help="folder from models.py")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="JSON lines are written here")
    parser.add_argument("--language", default="en", help="forced on the peer")
    return parser


def files(args):
    """Pairs: the path as it is listed, and where it is."""
    lines = [line.strip() for line in args.list.read_text().splitlines()]
    return [(line, args.root / line) for line in lines if line]


def sound(path):
    """16-bit samples, mono, 16 kHz, as bytes. No dither: the same file gives the same bytes."""
    command = ["sox", "-D", str(path), "-t", "raw", "-r", str(RATE), "-c", "1", "-e",
               "signed-integer", "-b", "16", "-L", "-"]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


def seconds(pcm):
    return len(pcm) / 2 / RATE


class Output:
    """The JSON lines. Only changes are written, except for the end of a file."""

    def __init__(self, path):
        self.stream = open(path, "w", encoding="utf-8")
        self.last = None
        self.failed = 0

    def line(self, **fields):
        print(json.dumps(fields, ensure_ascii=False), file=self.stream, flush=True)

    def begin(self):
        self.last = ("", "", False)

    def show(self, file, t, committed, tentative, final):
        now = (committed.strip(), tentative.strip(), final)
        if now != self.last:
            self.last = now
            self.line(file=file, t=round(t, 4), committed=now[0], tentative=now[1], final=final)

    def whole(self, file, sound_s, took_s, text):
        """A file that was decoded after its end."""
        self.begin()
        self.show(file, sound_s + took_s, text, "", True)
        self.line(file=file, ended=True, t=round(sound_s + took_s, 4), by="peer",
                  sound_s=round(sound_s, 4))

    def fail(self, file, error):
        self.failed += 1
        self.line(file=file, error=str(error) or type(error).__name__)
        print(f"{file}: {error!r}", file=sys.stderr)


def version(distribution):
    return importlib.metadata.version(distribution)


async def play(peer, pid, pcm, file, output, late):
    """One file over one connection, in real time. `output` is None for the warm-up.

    Every packet has a deadline that counts from the first, so being late once delays nothing.
    """
    websocket = await peer.connect()
    arrivals = []
    reader = asyncio.create_task(read(websocket, arrivals))
    started = time.monotonic() + LEAD_S
    try:
        sent = pcm + bytes(int(peer.SILENCE_S * RATE) * 2)
        size = PACKET_MS * RATE // 1000 * 2
        for at in range(0, len(sent), size):
            packet = sent[at:at + size]
            # The packet is due when its last sample has been heard.
            due = started + (at + len(packet)) / 2 / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            late.append(time.monotonic() - due)
            await websocket.send(peer.encode(packet))
        sound_end = seconds(pcm)
        ended_t, by = await finish(peer, websocket, arrivals, started, pid)
    finally:
        await websocket.close()
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
    if output is None:
        return
    output.begin()
    for at, message in arrivals:
        shown = peer.show(message) if message is not None else None
        if shown is not None:
            output.show(file, at - started, *shown)
    output.line(file=file, ended=True, t=round(ended_t, 4), by=by, sound_s=round(sound_end, 4))


async def read(websocket, arrivals):
    """Stamps what arrives. None is the end of the connection."""
    import websockets

    try:
        while True:
            message = await websocket.recv()
            arrivals.append((time.monotonic(), message))
    except websockets.ConnectionClosed:
        arrivals.append((time.monotonic(), None))


async def finish(peer, websocket, arrivals, started, pid):
    """When, after the last packet, the file has ended, and who says so."""
    if peer.TELLS_ITS_END:
        await websocket.send(peer.END)
    # Silence was sent as well, so the sound itself has ended before.
    asked = time.monotonic() - peer.SILENCE_S
    seen, watch = 0, Watch(pid)
    while True:
        for at, message in arrivals[seen:]:
            if message is None:
                if not peer.TELLS_ITS_END:
                    raise RuntimeError("the server closed the connection")
                return at - started, "closed"
            if peer.is_done(message):
                return at - started, "peer"
        seen = len(arrivals)
        heard = max(arrivals[-1][0] if arrivals else started, asked)
        # No message does not mean that nothing is done: a decode of a long piece takes seconds.
        idle_s, now = watch.idle_s(), time.monotonic()
        if now - (asked if peer.TELLS_ITS_END else heard) > peer.PATIENCE_S:
            by = "gave up"
        elif not peer.TELLS_ITS_END and now - heard > QUIET_S and idle_s > IDLE_S:
            by = "quiet"
        else:
            await asyncio.sleep(LOOK_S)
            continue
        if not peer.TELLS_ITS_END:
            await websocket.send(peer.END)
        return now - started, by


async def settle(pid):
    """Waits for what the server still computes for a file that is over, lest the next one pay."""
    watch, give_up = Watch(pid), time.monotonic() + SETTLE_S
    while watch.idle_s() < IDLE_S and time.monotonic() < give_up:
        await asyncio.sleep(LOOK_S)


async def feed(peer, pid, args, output):
    """All files, one after the other. The last line of the output."""
    chosen = files(args)
    # The first sound after the start meets cold caches, and a model that is loaded on demand.
    await play(peer, pid, sound(chosen[0][1])[:5 * RATE * 2], "", None, [])
    late, total = [], 0.0
    await settle(pid)
    bill = Bill(pid)
    for name, path in chosen:
        try:
            pcm = sound(path)
            total += seconds(pcm)
            await play(peer, pid, pcm, name, output, late)
        except Exception as error:  # one file that fails must not hide the others
            output.fail(name, error)
        await settle(pid)
    return {**bill.fields(), "sound_s": round(total, 3),
            "worst_late_ms": round(1000 * max(late, default=0.0), 2)}


def run(peer, name, command, args):
    """Starts the server, feeds it, writes the output; the exit status."""
    output = Output(args.out)
    with server(command, peer.port) as pid:
        bill = asyncio.run(feed(peer, pid, args, output))
    output.line(peer=name, version=version(peer.DISTRIBUTION), **bill, model=args.model.name,
                language=args.language, packet_ms=PACKET_MS, failed=output.failed)
    return 1 if output.failed else 0
