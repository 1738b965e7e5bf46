#!/usr/bin/python3
"""A window with one Qt text field that has the keyboard focus.

    qfield.py FILE TITLE [password]

FILE always holds the field's text, FILE.focus exists once the field has had the focus. SIGUSR1
empties the field, and FILE.cleared then says how often."""
import os
import signal
import socket
import sys

from PyQt5.QtCore import QSocketNotifier
from PyQt5.QtWidgets import QApplication, QLineEdit

path, title = sys.argv[1:3]


def write(name, text):
    """A reader sees the whole text or the one before."""
    with open(name + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(name + ".new", name)


class Field(QLineEdit):
    def focusInEvent(self, event):
        super().focusInEvent(event)
        write(path + ".focus", "")


def clear(_descriptor):
    global cleared
    woken.recv(1)
    field.clear()
    cleared += 1
    write(path, "")
    write(path + ".cleared", str(cleared))


cleared = 0
write(path, "")
app = QApplication(sys.argv)
field = Field()
if sys.argv[3:] == ["password"]:
    field.setEchoMode(QLineEdit.Password)
field.setWindowTitle(title)
field.resize(600, 60)
field.textChanged.connect(lambda text: write(path, text))
# Python gets to its signals only when Qt calls into it: a byte on a socket has it do so.
woken, waker = socket.socketpair()
woken.setblocking(False)
waker.setblocking(False)
signal.set_wakeup_fd(waker.fileno())
signal.signal(signal.SIGUSR1, lambda *_: None)
notifier = QSocketNotifier(woken.fileno(), QSocketNotifier.Read)
notifier.activated.connect(clear)
field.show()
field.activateWindow()
field.setFocus()
sys.exit(app.exec_())
