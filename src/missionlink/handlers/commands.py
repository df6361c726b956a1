"""Slash commands of this program: what runs when somebody says ``/deploy`` to the runtime.

Source: the event ``command.execute``, answered by ``session.commands.handlePendingCommand``.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec

from missionlink._io.tasks import is_being_cancelled
from missionlink.errors import InvalidOption
from missionlink.handlers.signatures import check_shape
from missionlink.handlers.tools.tool import ToolError
from missionlink.protocol.decoding import read_loosely
from missionlink.protocol.json_repr import redacted

if TYPE_CHECKING:
    from missionlink.handlers.context import HandlerContext
    from missionlink.handlers.thread_jobs import Entry
    from missionlink.protocol.envelope import Event

__all__ = ("Command", "CommandCall", "checked_commands", "execute")

_log = logging.getLogger("missionlink.handlers")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_REPLY = "session.commands.handlePendingCommand"


class CommandCall(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Somebody has given a command."""

    request_id: str
    """Names the call in the answer."""
    session_id: str = ""
    """The session in which it was given."""
    name: str = msgspec.field(default="", name="commandName")
    """Without the slash."""
    args: str = ""
    """What stands behind the name."""
    command: str = ""
    """The whole line."""


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command.

    Raises:
        InvalidOption: A field is of the wrong kind.
    """

    function: Callable[[CommandCall], Any]
    """Runs it; what it raises is reported as the command's failure, with the text of a ``ToolError``."""
    description: str = ""
    """For lists of commands; the first line of the docstring if not given."""

    def __post_init__(self) -> None:
        if not callable(self.function) or inspect.isclass(self.function):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("function", f"must be a function, not {self.function!r}")
        check_shape("function", self.function, "the CommandCall")
        if not isinstance(self.description, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("description", f"must be a str, not {type(self.description).__name__}")

    def to_wire(self, name: str) -> dict[str, Any]:
        """Return the entry of ``commands``."""
        described = (inspect.getdoc(self.function) or "").partition("\n")[0]
        return {"name": name, "description": self.description or described or name}


def checked_commands(option: str, value: object) -> Mapping[str, Command]:
    """Return commands by name; plain functions become commands.

    Raises:
        InvalidOption: Something is no command, or a name cannot be one.
    """
    if not isinstance(value, Mapping):
        raise InvalidOption(option, f"must map names to functions, not be a {type(value).__name__}")
    commands: dict[str, Command] = {}
    for name, entry in cast("Mapping[object, Any]", value).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidOption(option, f"{name!r} is no name of a command; leave the slash out")
        if not isinstance(entry, Command) and not callable(entry):
            raise InvalidOption(option, f"{name!r} must be a function or a Command, not {entry!r}")
        if not isinstance(entry, Command):
            check_shape(f"{option}[{name!r}]", entry, "the CommandCall")
        commands[name] = entry if isinstance(entry, Command) else Command(entry)
    return commands


async def execute(desk: HandlerContext, event: Event, entry: Entry, is_first: Callable[[str], bool]) -> None:
    """Run a command and say how it ended; one that this program does not have is left to others.

    Args:
        desk: The session's surroundings.
        event: ``command.execute``.
        entry: Learns of the thread that is used.
        is_first: Says whether a request id has not been here before: a command runs once.
    """
    try:
        call: CommandCall = read_loosely(event.data_raw, CommandCall)
    except (ValueError, RecursionError) as error:
        _log.warning("%s cannot be answered, its data are unusable: %s", event.type, error)
        return
    command = desk.options.commands.get(call.name)
    if command is None or not is_first(call.request_id):
        return
    task = asyncio.current_task()
    assert task is not None
    desk.running.track(call.request_id, task)
    error_text: str | None = None
    try:
        try:
            named = msgspec.structs.replace(call, session_id=desk.session_id)
            await desk.ask(command.function, (named,), entry=entry, agent_waits=False)
        except ToolError as error:
            error_text = redacted(str(error)) or "the command failed"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the program's code, SystemExit included
        if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
            raise
        desk.failed(f"the command {call.name!r}", error)
        # The exception's own text may hold secrets of the program; it goes to the log only.
        error_text = f"the command failed with {type(error).__name__}"
    desk.running.forget(call.request_id)
    # No member at all is what says that it went well.
    answer = msgspec.UNSET if error_text is None else error_text
    await desk.reply(_REPLY, call.request_id, "error", answer, "failed", source=f"the command {call.name!r}")
