#!/usr/bin/env python3
"""Word error rate of the whole path beside offline decoding, in one run.

Streams files of the corpus through a real daemon (`wstreamctl transcribe --json`) and decodes the
same files whole with the same weights (`wstream-engine offline`: full audio context, timestamps,
beam 5, temperature fallback).  Compares both with the references after OpenAI's normalisation.

    tests/wer.py [--model tiny.en] [--strategy prompt] [--every N] [--only GROUP] [--json FILE]

Needs: the built programs, the model, the corpus (env WSTREAM_SHARED, else ../shared), and the
Python package whisper-normalizer (tests/run.sh makes a virtual environment that has it).
"""
import argparse
import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("WSTREAM_BIN", ROOT / "target/release"))


def corpus():
    shared = pathlib.Path(os.environ.get("WSTREAM_SHARED", ROOT / "../shared")).resolve()
    manifest = shared / "speech/dev/manifest.tsv"
    if not manifest.is_file():
        sys.exit("wer.py: no corpus: set WSTREAM_SHARED to the folder that holds speech/dev")
    rows = []
    for line in manifest.read_text().splitlines()[1:]:
        path, seconds, _speaker, language, reference = line.split("\t")[:5]
        rows.append((manifest.parent / path, path, float(seconds), language, reference))
    return rows


def group(path, language):
    folder = path.split("/")[0]
    if language == "none":
        return "non-speech"
    if language != "en":
        return language
    if folder.endswith("-long") or path.startswith("moonshine/two_cities"):
        return "long"
    return {"vctk-noisy": "noisy", "fsdd": "digits"}.get(folder, "english")


def errors(reference, heard):
    """Edits from one list of words to the other (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, wanted in enumerate(reference):
        diagonal, row[0] = row[0], i + 1
        for j, got in enumerate(heard):
            diagonal, row[j + 1] = row[j + 1], min(
                row[j + 1] + 1, row[j] + 1, diagonal + (wanted != got)
            )
    return row[-1]


def events(files, args, folder):
    """What `wstreamctl transcribe --json` prints of the files, and how long it took."""
    config = folder / "config.toml"
    config.write_text(f'model = "{args.model}"\nlanguage = "{args.language}"\n' + (args.config or ""))
    env = dict(os.environ, HOME=str(folder), XDG_STATE_HOME=str(folder / "state"),
               XDG_CONFIG_HOME=str(folder / "config"), XDG_RUNTIME_DIR=str(folder))
    script = (
        f'"{BIN}/wstreamd" --config "{config}" & daemon=$!\n'
        'until "$CTL" status --json | grep -q idle; do kill -0 $daemon || exit 1; sleep 0.1; done\n'
        f'"$CTL" transcribe --json --strategy {args.strategy} $PACE "$@"; code=$?\n'
        "kill $daemon; wait $daemon; exit $code\n"
    )
    env["CTL"] = str(BIN / "wstreamctl")
    env["PACE"] = "--realtime" if getattr(args, "realtime", False) else ""
    began = time.monotonic()
    run = subprocess.run(
        ["dbus-run-session", "--", "bash", "-c", script, "bash", *map(str, files)],
        env=env, stdout=subprocess.PIPE, text=True,
    )
    wall = time.monotonic() - began
    if run.returncode != 0:
        print(f"wer.py: wstreamctl transcribe ended with {run.returncode}", file=sys.stderr)
    return [json.loads(line) for line in run.stdout.splitlines()], wall


def stream(files, args, folder):
    """Texts by file, from the running daemon."""
    seen, wall = events(files, args, folder)
    texts, counts = collections.defaultdict(list), collections.Counter()
    for event in seen:
        counts[event["type"]] += 1
        if event["type"] == "final" and event["text"]:
            texts[event["file"]].append(event["text"])
    if counts["failed"]:
        print(f"wer.py: {counts['failed']} utterances failed", file=sys.stderr)
    return {file: " ".join(parts) for file, parts in texts.items()}, wall, counts


def offline(files, args):
    command = [str(BIN / "wstream-engine"), "offline", "--json", "--model", args.model,
               "--beam", str(args.beam), "--language", args.language]
    began = time.monotonic()
    run = subprocess.run(command + [str(f) for f in files], stdout=subprocess.PIPE, text=True,
                         check=True)
    wall = time.monotonic() - began
    return {r["file"]: r["text"] for r in map(json.loads, run.stdout.splitlines())}, wall


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--model", default="tiny.en")
    arguments.add_argument("--language", default="en")
    arguments.add_argument("--strategy", default="context")
    arguments.add_argument("--beam", type=int, default=5)
    arguments.add_argument("--every", type=int, default=1, help="take every Nth file")
    arguments.add_argument("--only", help="one group: english, long, noisy, digits, non-speech, de, es")
    arguments.add_argument("--config", help="more lines for the daemon's configuration")
    arguments.add_argument("--no-offline", action="store_true")
    arguments.add_argument("--offline-cache", help="keep the offline texts in this file")
    arguments.add_argument("--show", action="store_true", help="print texts that differ")
    arguments.add_argument("--json", help="write the figures to this file")
    arguments.add_argument("--limit", type=float,
                           help="fail if the English total is more points above offline than this")
    args = arguments.parse_args()
    from whisper_normalizer.english import EnglishTextNormalizer
    from whisper_normalizer.basic import BasicTextNormalizer
    normalise = EnglishTextNormalizer() if args.language == "en" else BasicTextNormalizer()

    rows = [r for r in corpus() if r[3] in (args.language, "none")]
    if args.only:
        rows = [r for r in rows if group(r[1], r[3]) == args.only]
    rows = rows[:: args.every]
    files = [r[0] for r in rows]
    with tempfile.TemporaryDirectory(prefix="wer") as folder:
        streamed, stream_wall, counts = stream(files, args, pathlib.Path(folder))
    if args.no_offline:
        whole, whole_wall = {}, 0.0
    elif args.offline_cache and os.path.exists(args.offline_cache):
        whole, whole_wall = json.load(open(args.offline_cache)), 0.0
    else:
        whole, whole_wall = offline(files, args)
        if args.offline_cache:
            json.dump(whole, open(args.offline_cache, "w"))

    table = collections.defaultdict(lambda: [0, 0, 0, 0, 0, 0])
    differences = []
    for path, name, _seconds, language, reference in rows:
        wanted = normalise(reference).split()
        got = normalise(streamed.get(str(path), "")).split()
        base = normalise(whole.get(str(path), "")).split()
        e_stream, e_whole = errors(wanted, got), errors(wanted, base)
        groups = [group(name, language)]
        if language != "none":
            groups.append("total")
            differences.append((len(wanted), e_stream, e_whole))
        for g in groups:
            t = table[g]
            t[0] += 1
            t[1] += len(wanted)
            t[2] += e_stream
            t[3] += e_whole
            t[4] += bool(got)
            t[5] += bool(base)
        if args.show and got != wanted and (e_stream > e_whole or language == "none"):
            print(f"{name}: {e_stream} streamed, {e_whole} offline\n  said     {' '.join(wanted)}"
                  f"\n  streamed {' '.join(got)}\n  offline  {' '.join(base)}")

    seconds = sum(r[2] for r in rows)
    print(f"model {args.model}, strategy {args.strategy}, offline beam {args.beam}; "
          f"{len(rows)} files, {seconds:.0f} s of sound; "
          f"streamed in {stream_wall:.0f} s, offline in {whole_wall:.0f} s; signals {dict(counts)}")
    print(f"{'group':12} {'files':>5} {'words':>6} {'streamed':>9} {'offline':>8} {'difference':>10}")
    figures = {}
    for g, (n, words, es, eo, has, base_has) in table.items():
        if words == 0:
            print(f"{g:12} {n:5} {0:6} {has:5} with text, offline {base_has}")
            figures[g] = {"files": n, "with_text": has, "offline_with_text": base_has}
            continue
        a, b = 100 * es / words, 100 * eo / words
        print(f"{g:12} {n:5} {words:6} {a:8.2f}% {b:7.2f}% {a - b:+9.2f}")
        figures[g] = {"files": n, "words": words, "wer": a, "offline_wer": b}
    if differences and not args.no_offline:
        # Paired bootstrap over files of the difference in percentage points.
        rng, draws = random.Random(1), []
        for _ in range(2000):
            sample = [differences[rng.randrange(len(differences))] for _ in differences]
            words = sum(s[0] for s in sample) or 1
            draws.append(100 * (sum(s[1] for s in sample) - sum(s[2] for s in sample)) / words)
        draws.sort()
        low, high = draws[50], draws[1949]
        print(f"difference, 95 % interval: {low:+.2f} to {high:+.2f} points")
        figures["difference_95"] = [low, high]
    if args.json:
        commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
                                stdout=subprocess.PIPE, text=True).stdout.strip()
        json.dump({"model": args.model, "strategy": args.strategy, "commit": commit,
                   "machine": os.uname().machine, "cores": os.cpu_count(),
                   "streamed_s": stream_wall, "offline_s": whole_wall, "sound_s": seconds,
                   "groups": figures}, open(args.json, "w"), indent=1)
    if args.limit is not None:
        difference = figures["total"]["wer"] - figures["total"]["offline_wer"]
        if difference > args.limit:
            sys.exit(f"wer.py: {difference:+.2f} points above offline; the limit is {args.limit:+.2f}")


if __name__ == "__main__":
    main()
