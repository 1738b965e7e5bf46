#!/usr/bin/python3
"""A window with one GTK text field that has the keyboard focus.

    field.py 3|4 FILE TITLE [password|password-entry]

FILE always holds the field's text, FILE.focus exists once the field has had the focus, and
FILE.preedit holds each pre-edit text that was shown, one a line, as JSON. SIGUSR1 empties the
field, and FILE.cleared then says how often."""
import json
import os
import signal
import sys

import gi

major, path, title = sys.argv[1:4]
mode = sys.argv[4:]
gi.require_version("Gtk", f"{major}.0")
from gi.repository import GLib, Gtk  # noqa: E402 (the version comes first)


def write(name, text):
    """A reader sees the whole text or the one before."""
    with open(name + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(name + ".new", name)


def preedit(_widget, text):
    with open(path + ".preedit", "a", encoding="utf-8") as file:
        file.write(json.dumps(text, ensure_ascii=False) + "\n")


def clear():
    global cleared
    entry.set_text("")
    cleared += 1
    write(path, "")
    write(path + ".cleared", str(cleared))
    return True


def focused(*_):
    write(path + ".focus", "")
    return False


cleared = 0
write(path, "")
# GTK 4 has an entry of its own for passwords; elsewhere it is one that does not show its text.
entry = Gtk.PasswordEntry() if mode == ["password-entry"] else Gtk.Entry()
if mode == ["password"]:
    entry.set_visibility(False)
    entry.set_input_purpose(Gtk.InputPurpose.PASSWORD)
entry.connect("changed", lambda entry: write(path, entry.get_text()))
loop = GLib.MainLoop()
window = Gtk.Window(title=title)
window.set_default_size(600, 60)
if major == "3":
    entry.connect("preedit-changed", preedit)
    entry.connect("focus-in-event", focused)
    box = Gtk.Box()
    box.pack_start(entry, True, True, 0)
    window.add(box)
    window.connect("destroy", lambda _: loop.quit())
    window.show_all()
else:
    inner = entry.get_delegate()
    inner.connect("preedit-changed", preedit)
    control = Gtk.EventControllerFocus()
    control.connect("enter", focused)
    inner.add_controller(control)
    box = Gtk.Box()
    box.append(entry)
    entry.set_hexpand(True)
    window.set_child(box)
    window.connect("close-request", lambda _: loop.quit())
    window.present()
entry.grab_focus()
GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR1, clear)
loop.run()
