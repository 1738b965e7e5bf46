#!/usr/bin/env python3
"""Records what a command shows on a terminal, as an animated SVG.

    packaging/record.py OUT.svg SECONDS COMMAND...     Ctrl-C is sent to it after SECONDS

The README's picture is made so, with sound played into a virtual microphone:

    packaging/record.py packaging/listen.svg 20 wstreamctl listen

Understands what wstreamctl writes: carriage return, erasing, moving up, bold, dim and red.
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from html import escape

COLUMNS, ROWS = 72, 6
CELL_WIDTH, CELL_HEIGHT, MARGIN = 8.4, 20, 14
# The last picture stays that long before it begins anew.
REST_S = 4.0
STYLES = {"1": "b", "2": "d", "31": "r"}
TOKEN = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]")


class Terminal:
    """As much of a terminal as is needed: rows of (character, style)."""

    def __init__(self):
        self.rows = [[]]
        self.row = self.column = 0
        self.style = ""

    def feed(self, text):
        for token in TOKEN.finditer(text):
            piece, number, code = token.group(0), token.group(1), token.group(2)
            if code == "m":
                for each in (number or "0").split(";"):
                    self.style = STYLES.get(each, "")
            elif code == "A":
                self.row = max(0, self.row - int(number or 1))
            elif code == "K":
                del self.rows[self.row][self.column:]
            elif code == "J":
                del self.rows[self.row][self.column:]
                del self.rows[self.row + 1:]
            elif code is not None:
                sys.exit(f"record.py: does not know the control sequence {piece!r}")
            elif piece == "\r":
                self.column = 0
            elif piece == "\n":
                self.down()
            else:
                self.put(piece)

    def down(self):
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])

    def put(self, character):
        if self.column == COLUMNS:
            self.column = 0
            self.down()
        line = self.rows[self.row]
        line.extend([(" ", "")] * (self.column + 1 - len(line)))
        line[self.column] = (character, self.style)
        self.column += 1

    def picture(self):
        return tuple(tuple(row) for row in self.rows[-ROWS:])


def record(seconds, command):
    """[(seconds since the beginning, picture)], one for each change."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = dict(os.environ, TERM="xterm-256color")
    environment.pop("NO_COLOR", None)
    child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment,
                             start_new_session=True)
    os.close(slave)
    terminal = Terminal()
    # The command line is part of the picture.
    terminal.feed("$ " + " ".join(command) + "\r\n")
    begin, pictures, pending = time.monotonic(), [], b""
    asked_to_end = False
    while True:
        now = time.monotonic() - begin
        if now > seconds and not asked_to_end:
            child.send_signal(signal.SIGINT)
            asked_to_end = True
        if not pictures or pictures[-1][1] != terminal.picture():
            pictures.append((now, terminal.picture()))
        left = 30.0 if asked_to_end else max(0.0, seconds - now) + 0.01
        if not select.select([master], [], [], left)[0]:
            if asked_to_end:
                sys.exit("record.py: the command did not end after Ctrl-C")
            continue
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the other end is closed
            chunk = b""
        if not chunk:
            break
        pending += chunk
        text = pending.decode("utf-8", "ignore")
        pending = pending[len(text.encode()):]
        terminal.feed(text)
    pictures.append((time.monotonic() - begin, terminal.picture()))
    if child.wait() not in (0, -signal.SIGINT):
        sys.exit(f"record.py: {command[0]} ended with {child.returncode}")
    return pictures


def line(row, y):
    """A row as SVG, neighbours of one style together."""
    spans, at = [], 0
    while at < len(row):
        end = at
        while end < len(row) and row[end][1] == row[at][1]:
            end += 1
        text = "".join(character for character, _ in row[at:end])
        style = f' class="{row[at][1]}"' if row[at][1] else ""
        spans.append(f'<tspan{style} x="{MARGIN + at * CELL_WIDTH:.1f}">{escape(text)}</tspan>')
        at = end
    return f'<text y="{y}" xml:space="preserve">{"".join(spans)}</text>' if spans else ""


def svg(pictures, title):
    total = pictures[-1][0] + REST_S
    width = round(2 * MARGIN + COLUMNS * CELL_WIDTH)
    height = 2 * MARGIN + ROWS * CELL_HEIGHT
    ends = [start for start, _ in pictures[1:]] + [total]
    rules, groups = [], []
    for index, ((start, picture), end) in enumerate(zip(pictures, ends)):
        if end - start < 0.02 and end != total:
            continue
        first, last = 100 * start / total, 100 * end / total
        # Visible from `first` to `last` of the whole, and not otherwise.
        rules.append(f"@keyframes k{index}{{0%{{opacity:{int(index == 0)}}}{first:.3f}%{{opacity:1}}"
                     f"{last:.3f}%{{opacity:{int(end == total)}}}100%{{opacity:{int(end == total)}}}}}"
                     f"#p{index}{{animation:k{index} {total:.2f}s step-end infinite;"
                     f"opacity:{int(end == total)}}}")
        rows = "".join(line(row, MARGIN + (at + 1) * CELL_HEIGHT - 5) for at, row in enumerate(picture))
        groups.append(f'<g id="p{index}">{rows}</g>')
    newline = "\n"
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">
<title>{escape(title)}</title>
<style>
rect{{fill:#16181d}}
text{{font:14px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;fill:#cfd3da}}
.b{{fill:#fff;font-weight:bold}} .d{{fill:#7d8590}} .r{{fill:#ff7b72}}
{newline.join(rules)}
</style>
<rect width="{width}" height="{height}" rx="8"/>
{newline.join(groups)}
</svg>
"""


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    out, seconds, command = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    pictures = record(seconds, command)
    with open(out, "w", encoding="utf-8") as file:
        file.write(svg(pictures, f"{' '.join(command)}: words appear while they are spoken"))
    print(f"{out}: {len(pictures)} pictures in {pictures[-1][0]:.1f} s")


main()
