#!/usr/bin/env python3
"""whisper.cpp through whisper-rs as it comes, on whole files after their end.

It is our own `wstream-engine offline --beam 1`: one call of whisper.cpp's `full` per file with all
encoder positions, greedy, with its temperature fallback, and none of our streaming decoder. Any
Python runs it; `--model` is a ggml file, or the name of an installed one.
"""
import json
import os
import shutil
import subprocess
import sys

import peer
from process import Bill


def main():
    parser = peer.arguments(__doc__)
    parser.add_argument("--engine", default=shutil.which("wstream-engine"),
                        help="the program [default: the one in PATH]")
    parser.add_argument("--beam", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    if not args.engine:
        sys.exit("whisper_rs.py: no wstream-engine in PATH: build it and name it with --engine")

    output = peer.Output(args.out)
    chosen = peer.files(args)
    command = [args.engine, "offline", "--json", "--model", str(args.model), "--beam",
               str(args.beam), "--language", args.language, "--threads", str(args.threads)]
    # The first file once more before the others: loading the model and the cold start are paid
    # for when its line comes, and from there on the processor time counts.
    paths = [str(path) for _, path in chosen]
    process = subprocess.Popen(command + paths[:1] + paths, stdout=subprocess.PIPE, text=True)
    bill, used, total = None, {}, 0.0
    names = iter(chosen)
    for line in process.stdout:
        if bill is None:
            bill = Bill(process.pid)
            continue
        # An ended process keeps its times until it is waited for, but its memory is gone.
        rss = used.get("peak_rss_mb", 0.0)
        used = bill.fields()
        used["peak_rss_mb"] = max(rss, used["peak_rss_mb"])
        name, _path = next(names)
        result = json.loads(line)
        if "error" in result:
            output.fail(name, result["error"])
            continue
        output.whole(name, result["seconds"], result["decode_seconds"], result["text"])
        total += result["seconds"]
    status = process.wait()
    system = subprocess.run([args.engine, "--system-info"], stdout=subprocess.PIPE, text=True)
    # Its own version, then whisper.cpp's.
    version = ", ".join(system.stdout.splitlines()[:2])
    output.line(peer=f"whisper-rs, beam {args.beam}", version=version,
                **used, sound_s=round(total, 3), worst_late_ms=0.0, model=args.model.stem,
                language=args.language, beam=args.beam, threads=args.threads, failed=output.failed)
    sys.exit(1 if status or output.failed else 0)


if __name__ == "__main__":
    main()
