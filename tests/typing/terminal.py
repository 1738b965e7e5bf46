#!/usr/bin/python3
"""What a terminal is typed, to be run in one.

    terminal.py raw|line FILE

FILE holds everything that came: `raw` each byte at once, as full-screen programs read; `line` as
the kernel's line editing hands it over, at the end of each line. SIGUSR1 empties FILE, and
FILE.cleared then says how often."""
import os
import select
import signal
import socket
import sys
import termios
import tty

mode, path = sys.argv[1:3]


def write(name, data):
    """A reader sees all of it or what was before."""
    with open(name + ".new", "wb") as file:
        file.write(data)
    os.rename(name + ".new", name)


def clear(*_):
    global text, cleared
    text = b""
    cleared += 1
    if mode == "line":
        termios.tcflush(0, termios.TCIFLUSH)
    write(path, b"")
    write(path + ".cleared", str(cleared).encode())


cleared = 0
text = b""
# A signal just before a read would be handled only behind it: a byte on a socket ends the waiting.
woken, waker = socket.socketpair()
woken.setblocking(False)
waker.setblocking(False)
signal.set_wakeup_fd(waker.fileno())
signal.signal(signal.SIGUSR1, clear)
if mode == "raw":
    tty.setraw(0)
else:
    settings = termios.tcgetattr(0)
    settings[0] |= termios.IUTF8 if hasattr(termios, "IUTF8") else 0o40000
    termios.tcsetattr(0, termios.TCSANOW, settings)
write(path, b"")
while True:
    ready, _, _ = select.select([0, woken], [], [])
    if woken in ready:
        woken.recv(64)
    if 0 not in ready:
        continue
    data = os.read(0, 65536)
    if not data:
        break
    text += data
    write(path, text)
