#!/usr/bin/env python3
"""Texts in, texts after OpenAI's English normalisation out: a JSON string a line, both ways."""
import json
import sys

from whisper_normalizer.english import EnglishTextNormalizer

normalise = EnglishTextNormalizer()
for line in sys.stdin:
    print(json.dumps(normalise(json.loads(line))))
