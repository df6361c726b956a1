"""Subscribers of a session, and the events that each of them gets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from missionlink.errors import InvalidOption, MissionlinkError
from missionlink.protocol import index
from missionlink.protocol.envelope import LOST_TYPE, Event, EventsLost, UnknownEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = (
    "DEFAULT_QUEUE_BYTES",
    "DEFAULT_QUEUE_EVENTS",
    "Classes",
    "FlowControl",
    "Subscriber",
    "WaitingFor",
    "wire_types",
)

_log = logging.getLogger("missionlink.session")

DEFAULT_QUEUE_EVENTS = 16_384
DEFAULT_QUEUE_BYTES = 32 * 1024 * 1024


class Subscriber(Protocol):
    """Somebody who gets each event of a session."""

    def push(self, event: Event) -> None:
        """Take an event; must not block and must not raise."""
        ...

    def on_closing(self) -> None:
        """Learn that the session is about to be left: from now on the runtime must not wait for this consumer."""
        ...

    def end(self, error: MissionlinkError | None) -> None:
        """Learn that no more events come; ``None`` after a close of our own."""
        ...


class FlowControl(Protocol):
    """What can stop the connection's reading for a while."""

    @property
    def is_paused(self) -> bool:
        """Whether the reading is stopped."""
        ...

    def pause(self, reason: object) -> None:
        """Stop reading until every reason has been withdrawn."""
        ...

    def pause_between_requests(self, reason: object) -> None:
        """Stop reading until the reason has been withdrawn, but read on while the program waits for the runtime."""
        ...

    def wait_begins(self) -> None:
        """Note that the program waits for a turn or the like, so for something that has to be read."""
        ...

    def wait_ends(self) -> None:
        """Note the end of such a wait."""
        ...

    def resume(self, reason: object) -> None:
        """Withdraw a reason."""
        ...

    def check_loop(self) -> None:
        """Raise ``WrongEventLoop`` where nothing would wake the waiting task."""
        ...


class WaitingFor:
    """A wait of the program for what the runtime sends; enter it with ``with``.

    Args:
        gate: Reads on meanwhile.
    """

    __slots__ = ("_gate",)

    def __init__(self, gate: FlowControl) -> None:
        self._gate = gate

    def __enter__(self) -> None:
        self._gate.wait_begins()

    def __exit__(self, *exc: object) -> None:
        self._gate.wait_ends()


class Classes:
    """The event classes among the entries of a filter: who asks for one gets payloads of no other.

    Args:
        types: Checked by ``wire_types``.
    """

    __slots__ = ("_has_warned", "_names")

    def __init__(self, types: Iterable[str | type]) -> None:
        entries = tuple(types)
        asked = {index.event_type_of(entry) for entry in entries if isinstance(entry, type)}
        self._names = asked - {entry for entry in entries if isinstance(entry, str)}
        self._has_warned = False

    @staticmethod
    def of(types: Iterable[str | type]) -> Classes | None:
        """Return the classes of a filter, or ``None`` if it has none."""
        entries = tuple(types)
        return Classes(entries) if any(isinstance(entry, type) for entry in entries) else None

    def has(self, event: Event) -> bool:
        """Whether the event is of one of the classes, or was asked for by its wire name."""
        if event.type not in self._names or not isinstance(event.data, UnknownEvent):
            return True
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "%s is left out where its class was asked for, its data do not fit: %s", event.type, event.data.problem
            )
        return False


def wire_types(types: Iterable[str | type]) -> frozenset[str] | None:
    """Return the wire names that a filter selects, or ``None`` for a filter that lets all through.

    Raises:
        InvalidOption: An entry is neither a wire name nor an event class.
    """
    names: set[str] = set()
    for entry in types:
        if isinstance(entry, str):
            if not entry:
                raise InvalidOption("types", "a wire name is not empty")
            names.add(entry)
        elif entry is EventsLost:
            names.add(LOST_TYPE)
        else:
            name = index.event_type_of(entry) if isinstance(entry, type) else None  # pyright: ignore[reportUnnecessaryIsInstance]
            if name is None:
                raise InvalidOption("types", f"{entry!r} is neither a wire name nor a class of missionlink.events")
            names.add(name)
    return frozenset(names) or None
