#!/usr/bin/env python3
"""When each word of the corpus is spoken, by forced alignment: writes words.tsv.

Run once by hand; the result is committed.  PocketSphinx 5 with the American English model of its
package aligns the reference to the sound.  Words that its dictionary lacks are pronounced by the
letter-to-sound network of g2p_en (its weights come with the package).  Where a file cannot be
aligned, it is left out of the table and named on standard error.

    python3 -m venv V && V/bin/pip install pocketsphinx soundfile numpy g2p_en
    V/bin/python tests/bench/align.py SPEECH_DIR > tests/bench/words.tsv

A line per file: path, onset and offset of speech, then `word start end` for each word, separated
by tabs; seconds with two decimals.  Words are lower case without punctuation; numbers are spelled
out.  Onset and offset are those of the first and last word, refined by the energy of 10 ms frames.
"""
import pathlib
import re
import sys
import types
import unicodedata

import inflect
import numpy
import pocketsphinx
import soundfile

RATE = 16000
HOP = RATE // 100
SPEAK = inflect.engine()
TITLES = {"mr": "mister", "mrs": "missus", "dr": "doctor", "etc": "etcetera", "st": "saint"}


def pronouncer():
    """The letter-to-sound network alone: the package's own entry wants data from the network."""
    for name in ("nltk", "nltk.corpus", "nltk.tokenize"):
        sys.modules[name] = types.ModuleType(name)
    nltk = sys.modules["nltk"]
    nltk.pos_tag = nltk.download = None
    nltk.data = types.SimpleNamespace(find=lambda name: name)
    sys.modules["nltk.corpus"].cmudict = None
    sys.modules["nltk.tokenize"].TweetTokenizer = lambda: types.SimpleNamespace(tokenize=None)
    from g2p_en.g2p import G2p

    class Network(G2p):
        def __init__(self):
            self.graphemes = ["<pad>", "<unk>", "</s>"] + list("abcdefghijklmnopqrstuvwxyz")
            self.g2idx = {g: i for i, g in enumerate(self.graphemes)}
            self.phonemes = PHONEMES
            self.idx2p = dict(enumerate(self.phonemes))
            self.load_variables()

    network = Network()
    return lambda word: [re.sub(r"\d", "", p) for p in network.predict(word) if p[0] != "<"]


# The order of the network's outputs.
PHONEMES = ["<pad>", "<unk>", "<s>", "</s>"] + (
    "AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH EH0 EH1 EH2"
    " ER0 ER1 ER2 EY0 EY1 EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 P"
    " R S SH T TH UH0 UH1 UH2 UW UW0 UW1 UW2 V W Y Z ZH"
).split()


def number(match):
    digits = match.group(1).replace(",", "")
    value = int(digits)
    if match.group(2):
        return f" {SPEAK.number_to_words(SPEAK.ordinal(value), andword='')} "
    if len(digits) == 4 and 1100 <= value <= 1999:
        return f" {SPEAK.number_to_words(value, group=2, zero='oh')} "
    return f" {SPEAK.number_to_words(value, andword='')} "


def words_of(reference):
    text = unicodedata.normalize("NFD", reference).replace("’", "'").replace("&", " and ")
    text = "".join(c for c in text if unicodedata.category(c) != "Mn").lower()
    text = re.sub(r"(\d[\d,]*)(st|nd|rd|th)?", number, text)
    words = [w.strip("'") for w in re.findall(r"[a-z']+", text)]
    return [TITLES.get(w, w) for w in words if w]


class Aligner:
    def __init__(self):
        model = pathlib.Path(pocketsphinx.get_model_path()) / "en-us"
        self.dictionary = {}
        for line in (model / "cmudict-en-us.dict").read_text().splitlines():
            word, *phones = line.split()
            self.dictionary.setdefault(word, phones)
        # Beams so wide that nothing is pruned which a reading with an odd word may need.
        self.decoder = pocketsphinx.Decoder(
            hmm=str(model / "en-us"), dict=str(model / "cmudict-en-us.dict"), lm=None,
            beam=1e-100, wbeam=1e-80, pbeam=1e-100, bestpath=False, loglevel="FATAL")
        self.predict = None
        self.guessed = set()

    def know(self, word):
        if word in self.dictionary:
            return
        self.predict = self.predict or pronouncer()
        base, ending = re.fullmatch(r"(.+?)('s|s')?", word).groups()
        base = base.replace("'", "")
        phones = list(self.dictionary.get(base) or self.predict(base))
        if ending:
            phones.append("S" if phones[-1] in ("P", "T", "K", "F", "TH") else "Z")
        self.decoder.add_word(word, " ".join(phones), True)
        self.dictionary[word] = phones
        self.guessed.add(word)

    def align(self, sound, words):
        """Start and end in seconds of each word, or None."""
        found = self.attempt(sound, words)
        if found and len(found) > 1:
            # A click at the very end passes for a short word after a pause.
            (_, _, before), (_, start, end) = found[-2:]
            if start - before > 0.4 and end - start < 0.2 and end > len(sound) / RATE - 0.05:
                return self.attempt(sound[: int((start - 0.05) * RATE)], words)
        return found

    def attempt(self, sound, words):
        for word in words:
            self.know(word)
        self.decoder.set_align_text(" ".join(words))
        self.decoder.start_utt()
        self.decoder.process_raw((sound * 32767).astype("<i2").tobytes(), full_utt=True)
        self.decoder.end_utt()
        if self.decoder.hyp() is None:
            return None
        found = []
        for segment in self.decoder.seg():
            word = re.sub(r"\(\d+\)$", "", segment.word)
            if word[0] not in "<[(":
                found.append((word, segment.start_frame / 100, (segment.end_frame + 1) / 100))
        return found if [f[0] for f in found] == words else None


def loudness(sound):
    frames = sound[: len(sound) // HOP * HOP].reshape(-1, HOP)
    return 10 * numpy.log10(numpy.mean(frames**2, axis=1) + 1e-10)


def edges(sound, found):
    """Onset and offset of speech: the aligner's, moved to where the energy rises and falls."""
    level = loudness(sound)
    floor, peak = numpy.percentile(level, 5), numpy.percentile(level, 95)
    loud = level > floor + max(6.0, 0.35 * (peak - floor))
    first, last = found[0], found[-1]
    # A click is loud for a few frames; speech for most of 120 ms.
    onset = next((i / 100 for i in range(max(0, int(first[1] * 100) - 20), int(first[2] * 100))
                  if loud[i] and loud[i : i + 12].sum() >= 9), first[1])
    back = range(min(len(loud), int(last[2] * 100) + 25), int(last[1] * 100) + 2, -1)
    offset = next((i / 100 for i in back
                   if loud[i - 1] and loud[max(0, i - 12) : i].sum() >= 9), last[2])
    return onset, offset


def main():
    folder = pathlib.Path(sys.argv[1])
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    aligner, count, failed = Aligner(), 0, []
    for line in (folder / "manifest.tsv").read_text().splitlines()[1:]:
        path, _seconds, _speaker, language, reference = line.split("\t")[:5]
        if language != "en" or only not in path:
            continue
        sound, rate = soundfile.read(folder / path, dtype="float64")
        assert rate == RATE, path
        found = aligner.align(sound, words_of(reference))
        if found is None:
            failed.append(path)
            continue
        onset, offset = edges(sound, found)
        found = [[w, s, e] for w, s, e in found]
        found[0][1] = min(onset, found[0][2])
        found[-1][2] = max(offset, found[-1][1])
        count += 1
        cells = [path, f"{onset:.2f}", f"{offset:.2f}"]
        print("\t".join(cells + [f"{w} {s:.2f} {e:.2f}" for w, s, e in found]), flush=True)
    print(f"{count} aligned, {len(failed)} not: {' '.join(failed)}\n"
          f"pronounced by rule: {' '.join(sorted(aligner.guessed))}", file=sys.stderr)


if __name__ == "__main__":
    main()
