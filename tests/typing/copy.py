#!/usr/bin/python3
"""Something on the clipboard of an X server, and what is on it.

    copy.py image|files|text READY   copies that, writes READY, and stays until another program copies
    copy.py read                     prints every form of what is on the clipboard, with its hash"""
import hashlib
import json
import os
import sys

# What an owner does rather than what it has.
DEEDS = ("TARGETS", "MULTIPLE", "TIMESTAMP", "SAVE_TARGETS", "DELETE")


def own(what, ready):
    from PyQt5.QtCore import QMimeData, QUrl
    from PyQt5.QtGui import QGuiApplication, QImage

    app = QGuiApplication(sys.argv)
    data = QMimeData()
    if what == "image":
        pixels = os.urandom(400 * 400 * 4)
        # An image looks at the bytes that it is given where they lie: its copy has its own.
        data.setImageData(QImage(pixels, 400, 400, QImage.Format_RGB32).copy())
        # More than fits into one request of the protocol, so that it goes in parts.
        data.setData("application/x-large", os.urandom(20 << 20))
    elif what == "files":
        data.setUrls([QUrl("file:///etc/hostname"), QUrl("file:///tmp/a%20b")])
        data.setData("x-special/gnome-copied-files", b"copy\nfile:///etc/hostname")
    else:
        data.setText("naïve 你好")
        data.setHtml("<b>naïve</b> 你好")
    clipboard = app.clipboard()
    clipboard.setMimeData(data)
    clipboard.dataChanged.connect(lambda: None if clipboard.ownsClipboard() else app.quit())
    app.processEvents()
    with open(ready, "w", encoding="utf-8"):
        pass
    app.exec_()


def read():
    import gi

    gi.require_version("Gtk", "3.0")
    gi.require_version("Gdk", "3.0")
    from gi.repository import Gdk, Gtk

    clipboard = Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD)
    there, targets = clipboard.wait_for_targets()
    forms = {}
    for target in targets if there else []:
        if target.name() in DEEDS:
            continue
        content = clipboard.wait_for_contents(target)
        if content is not None:
            data = content.get_data()
            forms[target.name()] = f"{len(data)} {hashlib.sha256(data).hexdigest()}"
    print(json.dumps(forms, indent=1, sort_keys=True))


if sys.argv[1] == "read":
    read()
else:
    own(sys.argv[1], sys.argv[2])
