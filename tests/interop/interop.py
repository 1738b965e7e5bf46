#!/usr/bin/env python3
"""The daemon on ten utterances with each server, beside its own engine; see tests/interop.sh.

Each server is started from its package with tiny.en, the daemon is pointed at it by nothing but its
configuration, and `wstreamctl transcribe` hands over the files at the pace of speech. Fails if a
server's text has more than two points more words wrong than the local engine's, if an utterance
fails, if committed text is taken back, or if no partials come where the protocol has them.

A server that is further off with the same weights may just decode worse: it is then given the same
files by the client that tests/bench has for it, and ours may not do worse than that one.
"""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "bench/peers")]

import process  # noqa: E402
import wer  # noqa: E402

FILES = 10
# Long enough for partials, short enough to be one utterance or two.
SECONDS = (6, 14)
LIMIT_POINTS = 2.0
WHISPER_LIVE = """
import sys
from whisper_live.server import TranscriptionServer
TranscriptionServer().run("127.0.0.1", int(sys.argv[1]), backend="faster_whisper",
                          faster_whisper_custom_model_path=sys.argv[2], single_model=True)
"""


def chosen(number):
    """English files, evenly spread over all that are as long as an utterance."""
    rows = [row for row in wer.corpus() if row[3] == "en" and wer.group(row[1], row[3]) == "english"
            and SECONDS[0] <= row[2] <= SECONDS[1]]
    return [rows[index * len(rows) // number] for index in range(number)]


class Server:
    """How one is started, and what the daemon is told of it."""

    def __init__(self, name, package, protocol, url, partials, command, strategy="context",
                 other_client=None):
        self.name, self.package, self.protocol = name, package, protocol
        self.url, self.partials, self.command = url, partials, command
        self.strategy, self.other_client = strategy, other_client

    def config(self, port):
        return (f'backend = "it"\n[remote.it]\nprotocol = "{self.protocol}"\n'
                f'url = "{self.url.format(port)}"\n')

    def version(self, directory):
        if not self.package:
            return ""
        script = f'import importlib.metadata as m; print(m.version("{self.package}"))'
        python = directory / ("interop" if self.package in ("faster-whisper",
                              "wyoming-faster-whisper") else self.package) / "bin/python"
        return subprocess.run([python, "-c", script], stdout=subprocess.PIPE, text=True,
                              check=True).stdout.strip()


def servers(directory):
    model, at = directory / "models/tiny.en", "127.0.0.1"

    def python(environment):
        return str(directory / environment / "bin/python")

    return [
        Server("whisper-live", "whisper-live", "whisper-live", "ws://127.0.0.1:{}", True,
               lambda port: [python("whisper-live"), "-c", WHISPER_LIVE, str(port), str(model)],
               other_client="whisperlive.py"),
        Server("whisperlivekit", "whisperlivekit", "whisperlivekit", "ws://127.0.0.1:{}", True,
               lambda port: [str(directory / "whisperlivekit/bin/whisperlivekit-server"),
                             "--host", at, "--port", str(port), "--model_dir", str(model),
                             "--lan", "en", "--backend", "faster-whisper", "--backend-policy",
                             "localagreement", "--pcm-input", "--warmup-file", "",
                             "--log-level", "WARNING"], other_client="whisperlivekit.py"),
        Server("wyoming", "wyoming-faster-whisper", "wyoming", "tcp://127.0.0.1:{}", False,
               lambda port: [python("interop"), "-m", "wyoming_faster_whisper",
                             "--uri", f"tcp://{at}:{port}", "--model", str(model),
                             "--data-dir", str(directory), "--language", "en",
                             "--local-files-only", "--compute-type", "int8"]),
        Server("v1-server", "faster-whisper", "wstream", "ws://127.0.0.1:{}", True,
               lambda port: [python("interop"), str(HERE.parent / "v1_server.py"), str(port),
                             str(model)], strategy="prompt"),
    ]


def daemon(rows, config, folder, strategy="context"):
    """Every event of every file, and how long it took."""
    args = argparse.Namespace(model="tiny.en", language="en", strategy=strategy, realtime=True,
                              config=config)
    return wer.events([row[0] for row in rows], args, folder)


def complaints(events):
    """What no server may make the daemon do."""
    committed, found = {}, []
    for event in events:
        kind, number = event["type"], event.get("utterance")
        if kind in ("failed", "trouble"):
            found.append(f"{kind}: {event.get('message')}")
        if kind not in ("partial", "final"):
            continue
        shown = event["committed"] if kind == "partial" else event["text"]
        if not shown.startswith(committed.get(number, "")):
            found.append(f"utterance {number}: {shown!r} takes back {committed[number]!r}")
        committed[number] = shown
    return found


def figures(rows, events, wall, normalise):
    texts = {}
    for event in events:
        if event["type"] == "final":
            texts.setdefault(event["file"], []).append(event["text"])
    wrong = words = 0
    for path, _name, _seconds, _language, reference in rows:
        wanted = normalise(reference).split()
        words += len(wanted)
        wrong += wer.errors(wanted, normalise(" ".join(texts.get(str(path), []))).split())
    partials = [event for event in events if event["type"] == "partial"]
    finals = [event for event in events if event["type"] == "final"]
    return {
        "utterances": len(finals), "words": words, "wer": 100 * wrong / words,
        "partials": len(partials), "committed": sum(bool(it["committed"]) for it in partials),
        "latency_s": statistics.median([it["latency_ms"] for it in finals] or [0]) / 1000,
        "wall_s": wall,
    }


def python_client(rows, normalise, folder):
    """The other direction: a version 1 client in Python, our engine as its server."""
    port = process.free_port()
    command = [str(wer.BIN / "wstream-engine"), "--listen", f"127.0.0.1:{port}", "--model",
               "tiny.en"]
    engine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, cwd=folder)
    try:
        process.wait_for(engine, port)
        began = time.monotonic()
        client = [sys.executable, str(HERE.parent / "v1_client.py"), f"ws://127.0.0.1:{port}",
                  "context", *(str(row[0]) for row in rows)]
        out = subprocess.run(client, stdout=subprocess.PIPE, text=True, check=True).stdout
        wall = time.monotonic() - began
    finally:
        engine.terminate()
        engine.wait()
    # The client streams as fast as it can and tells no times.
    events = []
    for final in map(json.loads, out.splitlines()):
        partial = {"type": "partial", "committed": ""}
        events += [partial] * final["partials"]
        events.append({"type": "final", "latency_ms": final["processing_time_ms"], **final})
    return figures(rows, events, wall, normalise)


def other_client(server, rows, directory, normalise, folder):
    """The server with the bench's own client for it, one file at a time."""
    listed, out = folder / "list", folder / "out"
    listed.write_text("".join(f"{row[0]}\n" for row in rows))
    adapter = HERE.parent / "bench/peers" / server.other_client
    began = time.monotonic()
    subprocess.run([directory / server.package / "bin/python", adapter, "--list", listed,
                    "--model", directory / "models/tiny.en", "--out", out],
                   stdout=subprocess.DEVNULL, check=True)
    wall = time.monotonic() - began
    shown = [it for it in map(json.loads, out.read_text().splitlines()) if "committed" in it]
    last = {it["file"]: it for it in shown}
    events = [{"type": "final", "file": file, "text": it["committed"] + " " + it["tentative"],
               "latency_ms": 0} for file, it in last.items()]
    return figures(rows, events, wall, normalise)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--dir", type=pathlib.Path, required=True, help="what interop.sh installed")
    arguments.add_argument("--only", action="append", help="one server's name; may be repeated")
    arguments.add_argument("--files", type=int, default=FILES, help="how many; the figures are of 10")
    arguments.add_argument("--strategy", choices=("prompt", "context", "hybrid"),
                           help="for all servers, instead of what suits each")
    arguments.add_argument("--json", type=pathlib.Path, help="write the figures to this file")
    args = arguments.parse_args()
    from whisper_normalizer.english import EnglishTextNormalizer
    normalise = EnglishTextNormalizer()
    directory, rows = args.dir.resolve(), chosen(args.files)
    print(f"{len(rows)} files, {sum(row[2] for row in rows):.0f} s of speech, tiny.en, "
          "at the pace of speech")
    print(f"{'server':16} {'version':8} {'utterances':>10} {'words wrong':>11} {'partials':>8} "
          f"{'committed':>9} {'final after':>11} {'took':>6}", flush=True)
    failures, table = [], {}

    def row(name, version, got):
        table[name] = {"version": version, **got}
        print(f"{name:16} {version:8} {got['utterances']:10} {got['wer']:9.2f} % "
              f"{got['partials']:8} {got['committed']:9} {got['latency_s']:9.2f} s "
              f"{got['wall_s']:4.0f} s", flush=True)

    with contextlib.ExitStack() as stack:
        folder = lambda: pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        local = figures(rows, *daemon(rows, "", folder()), normalise)
        row("local", "", local)
        for server in servers(directory):
            if args.only and server.name not in args.only:
                continue
            port = process.free_port()
            with process.server(server.command(port), port):
                events, wall = daemon(rows, server.config(port), folder(),
                                      args.strategy or server.strategy)
            got = figures(rows, events, wall, normalise)
            row(server.name, server.version(directory), got)
            failures += [f"{server.name}: {what}" for what in complaints(events)]
            if server.partials and not got["partials"]:
                failures.append(f"{server.name}: no partials")
            limit = local["wer"] + LIMIT_POINTS
            if got["wer"] > limit and server.other_client:
                own = other_client(server, rows, directory, normalise, folder())
                row("- other client", "", own)
                limit = max(limit, own["wer"])
            if got["wer"] > limit:
                failures.append(f"{server.name}: {got['wer'] - local['wer']:+.2f} points above "
                                f"local; the limit is {limit - local['wer']:+.2f}")
        if not args.only or "v1-client" in args.only:
            got = python_client(rows, normalise, folder())
            row("v1-client", "", got)
            if got["wer"] > local["wer"] + LIMIT_POINTS:
                failures.append(f"v1-client: {got['wer'] - local['wer']:+.2f} points above local; "
                                f"the limit is {LIMIT_POINTS:+}")
    if args.json:
        machine = {"machine": os.uname().machine, "cores": os.cpu_count()}
        args.json.write_text(json.dumps({**machine, "servers": table}, indent=1) + "\n")
    for failure in failures:
        print(f"interop.py: {failure}", file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
