#!/usr/bin/env python3
"""Replace a word in everything that is dictated, before anybody else gets it.

    filter.py WORD REPLACEMENT

Needs jeepney, which is pure Python: `apt install python3-jeepney` or `pip install jeepney`.
It goes on when the daemon is started anew, and never starts it.
"""

import re
import sys
from typing import Any

from jeepney import (
    DBusAddress,
    DBusErrorResponse,
    HeaderFields,
    MatchRule,
    Message,
    MessageType,
    message_bus,
    new_error,
    new_method_call,
    new_method_return,
)
from jeepney.io.blocking import DBusConnection, Proxy, open_dbus_connection

NAME = "org.wstream.Dictation1"
FILTER = "org.wstream.Filter1"
PATH = "/org/wstream/example/filter"

PRIORITY = 10  # The lowest comes first.
TIMEOUT_MS = 200  # At most 2000; later, the text goes on without us.

# Each detail is a pair: its type and its value.
Details = dict[str, tuple[str, Any]]


def filter_text(utterance: int, text: str, details: Details) -> tuple[str, Details]:
    """What the text becomes (empty: nothing is said), and keys that are to be pressed behind it."""
    word, replacement = sys.argv[1:3]
    text = re.sub(rf"\b{re.escape(word)}\b", lambda _: replacement, text)
    return text, {}  # Or: text, {"keys": ("as", ["Return"])}


def register(bus: DBusConnection, owner: str) -> None:
    # To its unique name: a call to the well-known one would start the daemon.
    daemon = DBusAddress("/org/wstream/Dictation1", bus_name=owner, interface=NAME)
    arguments = (PATH, PRIORITY, TIMEOUT_MS)
    bus.send_and_get_reply(new_method_call(daemon, "AddFilter", "oiu", arguments))


def answer(call: Message) -> Message:
    fields = call.header.fields
    if fields.get(HeaderFields.interface) != FILTER or fields.get(HeaderFields.path) != PATH:
        return new_error(call, "org.freedesktop.DBus.Error.UnknownMethod")
    return new_method_return(call, "sa{sv}", filter_text(*call.body))


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: filter.py WORD REPLACEMENT")
    with open_dbus_connection(bus="SESSION") as bus:
        # Ask for the daemon's coming before asking whether it is there.
        owners = MatchRule(type="signal", sender="org.freedesktop.DBus", member="NameOwnerChanged")
        owners.add_arg_condition(0, NAME)
        Proxy(message_bus, bus).AddMatch(owners)
        try:
            register(bus, Proxy(message_bus, bus).GetNameOwner(NAME)[0])
        except DBusErrorResponse:
            pass  # It comes later.
        while True:
            message = bus.receive()
            if owners.matches(message) and message.body[2]:
                register(bus, message.body[2])
            elif message.header.message_type == MessageType.method_call:
                bus.send(answer(message))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
