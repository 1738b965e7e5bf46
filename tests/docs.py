#!/usr/bin/env python3
"""Keeps the documents true: each command that they print is one that the programs take, and each
problem that the doctor knows has its heading in packaging/TROUBLESHOOTING.md.

    docs.py commands BIN FILE...    BIN: the folder with the programs
    docs.py doctor
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

PROGRAMS = "wstreamd wstream-engine wstreamctl wstream-hooks wstream-history wstream-notify wstream-words".split()
SCRIPTS = ["packaging/install.sh", "packaging/deb.sh", "tests/run.sh"]


def shell_lines(text):
    """Lines of the shell in fences, with those that go on joined; and what stands `so` in prose."""
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.S | re.M):
        if language == "sh":
            yield from body.replace("\\\n", " ").splitlines()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    for inline in re.findall(r"`([^`\n]+)`", prose):
        yield inline


def invocations(line):
    """The words of each call of a program of ours in a line."""
    for part in re.split(r"\||;|&&|\$\(", line):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:
            continue
        while words and re.match(r"^(\w+=.*|sudo|exec|do|then)$", words[0]):
            words.pop(0)
        if words and Path(words[0]).name in PROGRAMS:
            words[0] = Path(words[0]).name
            yield [word for word in words if not re.match(r"^\d?[<>]", word)]


def is_taken(bin_dir, words):
    """Whether the program's own reading of its arguments takes the words. `--help` behind them
    shows a page once all before it is understood, so nothing is done."""
    # Alternatives and ellipses are not meant to be typed: `press|release`, `final.d …`.
    words = [word for word in words if word not in ("…", "...")]
    command = [bin_dir / words[0], *words[1:]]
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode == 0:
        return None
    return done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"ends with {done.returncode}"


def commands(bin_dir, files):
    count, wrong = 0, 0
    for file in files:
        text = Path(file).read_text(encoding="utf-8")
        seen = set()
        for line in shell_lines(text):
            for words in invocations(line):
                key = tuple(words)
                if key in seen:
                    continue
                seen.add(key)
                count += 1
                why = is_taken(bin_dir, words)
                if why:
                    wrong += 1
                    print(f"{file}: {shlex.join(words)}: {why}")
        for script in SCRIPTS:
            for option in set(re.findall(re.escape(script) + r"[^`\n#]*?(--[a-z][a-z-]*)", text)):
                if option not in Path(script).read_text(encoding="utf-8"):
                    wrong += 1
                    print(f"{file}: {script} has no option {option}")
    print(f"{count} commands, of which {wrong} are not taken")
    return wrong == 0 and count > 20


def plain(text):
    """Without what differs from machine to machine, nor marks."""
    text = re.sub(r"\{[^}]*\}|…", "\0", text)
    return re.sub(r"[`\s]+", " ", text).strip()


def problems():
    """What the doctor says is wrong, up to what it says is to be done."""
    for file in sorted(Path("ctl/src/doctor").glob("*.rs")):
        source = file.read_text(encoding="utf-8").split("#[cfg(test)]")[0]
        # What is right or was skipped is nobody's trouble.
        source = re.sub(r"//.*", "", source)
        literal = r'"(?:[^"\\]|\\.|\\\n)*"'
        source = re.sub(rf"const \w+: &str = {literal};", "", source)
        source = re.sub(rf"let sentence = {literal};\s*return vec!\[Finding::skipped\(", "", source)
        source = re.sub(r"Finding::(ok|skipped)\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)", "", source)
        for literal in re.findall(r'"((?:[^"\\]|\\.|\\\n)*)"', source, re.S):
            sentence = re.sub(r"\\\n\s*", "", literal).replace('\\"', '"')
            sentence = plain(re.sub(r" \(\{\w+\}\)", "", sentence))
            parts = [part for part in sentence.split(": ") if part.strip("\0 ")]
            if ": " in sentence[1:] and not sentence.startswith(":") and parts:
                yield file.name, parts[0].split(";")[0]


def doctor():
    page = Path("packaging/TROUBLESHOOTING.md").read_text(encoding="utf-8")
    headings = [plain(heading) for heading in re.findall(r"^### (.*)$", page, re.M)]
    found, wrong = set(), 0
    for file, problem in problems():
        if problem in headings:
            found.add(problem)
        else:
            wrong += 1
            print(f"packaging/TROUBLESHOOTING.md has no heading: ### {problem.replace(chr(0), '…')} ({file})")
    for heading in headings:
        if heading not in found:
            wrong += 1
            print(f"the doctor does not say any more: {heading.replace(chr(0), '…')}")
    print(f"{len(found)} problems have their heading")
    return wrong == 0 and len(found) > 15


if sys.argv[1:2] == ["doctor"]:
    sys.exit(not doctor())
elif sys.argv[1:2] == ["commands"] and len(sys.argv) > 3:
    sys.exit(not commands(Path(sys.argv[2]), sys.argv[3:]))
else:
    sys.exit(__doc__)
