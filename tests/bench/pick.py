#!/usr/bin/env python3
"""The list of files that real-time runs play: tests/bench/pick.py SPEECH_DIR > tests/bench/list.txt

English, 1 to 15 s, from words.tsv; sources take turns, files within one are shuffled by a fixed
seed, until ten minutes are full.  A quick run plays the beginning of the list, so the order counts.
Left out: noisy files and the `*-long` ones, which say again what others say.
"""
import collections
import pathlib
import random
import sys

folder = pathlib.Path(sys.argv[1])
aligned = {line.split("\t")[0] for line in
           (pathlib.Path(__file__).parent / "words.tsv").read_text().splitlines()}
sources = collections.defaultdict(list)
for line in (folder / "manifest.tsv").read_text().splitlines()[1:]:
    path, seconds, _speaker, language = line.split("\t")[:4]
    source = path.split("/")[0].removesuffix("-mp3")
    if language == "en" and 1 <= float(seconds) <= 15 and path in aligned and "-noisy" not in source:
        sources[source].append((path, float(seconds)))
dice, total, chosen = random.Random(3), 0.0, []
for files in sources.values():
    dice.shuffle(files)
while any(sources.values()):
    for source in sorted(sources):
        if sources[source]:
            path, seconds = sources[source].pop()
            if total + seconds <= 600:
                total += seconds
                chosen.append(path)
print("\n".join(chosen))
print(f"{len(chosen)} files, {total:.0f} s", file=sys.stderr)
