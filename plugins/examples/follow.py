#!/usr/bin/env python3
"""Show what is dictated, as it comes: words in place, finished utterances on lines of their own.

Needs jeepney, which is pure Python: `apt install python3-jeepney` or `pip install jeepney`.
With `--start` it opens the microphone; without, it waits until something else does (a hotkey,
`wstreamctl toggle`, another program).
"""

import sys

from jeepney import DBusAddress, HeaderFields, MatchRule, message_bus, new_method_call
from jeepney.io.blocking import Proxy, open_dbus_connection

NAME = "org.wstream.Dictation1"
DAEMON = DBusAddress("/org/wstream/Dictation1", bus_name=NAME, interface=NAME)

# Text comes from outside: no control character of it may reach the terminal.
def plain(text):
    return "".join(c if c.isprintable() else " " for c in text)

def show(signal, values):
    if signal == "Partial":
        utterance, committed, tentative, details = values
        print("\r\033[K" + plain(committed + tentative)[-70:], end="", flush=True)
    elif signal == "Final":
        utterance, text, details = values
        # Each detail is a pair: its type and its value.
        latency_ms = details["latency_ms"][1]
        print(f"\r\033[K{plain(text)}  ({latency_ms:.0f} ms)", flush=True)
    elif signal in ("Failed", "Trouble"):
        print(f"\r\033[K{plain(values[-2])}", file=sys.stderr, flush=True)

with open_dbus_connection(bus="SESSION") as bus:
    # Ask for the signals before anything can happen.
    signals = MatchRule(type="signal", sender=NAME, interface=NAME, path=DAEMON.object_path)
    Proxy(message_bus, bus).AddMatch(signals)
    if "--start" in sys.argv[1:]:
        bus.send(new_method_call(DAEMON, "Start", "a{sv}", ({},)))
    try:
        while True:
            message = bus.receive()
            if message.header.fields.get(HeaderFields.interface) == NAME:
                show(message.header.fields[HeaderFields.member], message.body)
    except KeyboardInterrupt:
        if "--start" in sys.argv[1:]:
            bus.send_and_get_reply(new_method_call(DAEMON, "Stop"))
