"""Options of a client: which runtime, how it is started and reached, and the bounds of the connection."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from missionlink._wire.framing import DEFAULT_MAX_FRAME_BYTES
from missionlink._wire.pending_limits import PendingLimits
from missionlink.errors import HandlerFailed, InvalidOption
from missionlink.handlers.interfaces import RequestHandler
from missionlink.options.checks import (
    absolute_path,
    can_be_named,
    check_choice,
    check_flag,
    check_functions,
    check_handler,
    check_path,
    check_positive,
    check_storage,
    check_texts,
    check_token,
    check_word,
    freeze,
    named_fields,
)

if TYPE_CHECKING:
    from missionlink._wire.trace import WireMessage
    from missionlink.model_requests import ModelRequestHandler
    from missionlink.options.tokens import TokenProvider
    from missionlink.storage import SessionFS

__all__ = ("TOKEN_VARIABLES", "ClientOptions", "ErrorHandler", "MessageCallback", "PendingLimits", "parse_address")

ErrorHandler = Callable[[HandlerFailed], Any]
"""Gets what a function of the program raised while it was answering or listening."""

MessageCallback = Callable[["WireMessage"], object]
"""Gets a message of the connection; what it returns is ignored."""

TOKEN_VARIABLES = frozenset(
    {"COPILOT_SDK_AUTH_TOKEN", "COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN", "COPILOT_CONNECTION_TOKEN"}
)
"""Variables in which runtimes look for tokens."""

_LOG_LEVELS = ("none", "error", "warning", "info", "debug", "all", "default")


@named_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How a client finds, starts and speaks to its runtime."""

    runtime: str | os.PathLike[str] | None = None
    """The runtime's program; ``None`` searches for it (see ``missionlink doctor``)."""
    runtime_args: Sequence[str] = field(default=(), repr=False)
    """Further arguments for the runtime."""
    url: str | None = None
    """Address of a runtime that is running already, ``"host:port"`` or ``"tcp://host:port"``; nothing is started.

    The official SDK's ``"http://host:port"`` means the same.
    """
    channel: Literal["stdio", "tcp"] = "stdio"
    """How a started runtime is spoken to; with ``"tcp"`` further clients can connect to it."""
    connection_token: str | None = field(default=None, repr=False)
    """Secret that a TCP runtime asks for; with ``channel="tcp"`` one is made if there is none."""

    github_token: str | None = field(default=None, repr=False)
    """Token for GitHub, for all that the runtime does; passed by environment, never by argument.

    The runtime keeps it out of the environment of the agent's commands, which can still look for it in the runtime's
    own (``/proc``). The ``github_token`` of a local session is in no environment at all.
    """
    use_logged_in_user: bool | None = None
    """Whether the runtime may use stored credentials; ``None``: only if there is no token."""
    base_directory: str | os.PathLike[str] | None = None
    """Where the runtime keeps its state (``COPILOT_HOME``); made if it is not there. Relative paths count from this
    program's directory, and ``~`` is the user's home."""
    working_directory: str | os.PathLike[str] | None = None
    """Working directory of the runtime, an existing folder."""
    env: Mapping[str, str] | None = field(default=None, repr=False)
    """Environment variables for the runtime, on top of this program's own."""
    inherit_env: bool = True
    """Whether this program's own environment is passed on, which the agent's commands can read.

    Without it only ``PATH``, ``HOME``, ``TMPDIR`` and their like are: names of folders, of the user, the language and
    of certificates. Proxies are not; add what is missing with ``env``.
    """
    log_level: str = "none"
    """How much the runtime logs into its files."""

    start_timeout: float | None = 30.0
    """Seconds that start and handshake may take together."""
    request_timeout: float | None = 60.0
    """Seconds that a request may take where the call names no other time."""
    create_timeout: float | None = 120.0
    """Seconds that opening a session may take."""
    close_timeout: float = 10.0
    """Seconds that closing may take before what is left is killed."""

    max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES
    """Largest message accepted."""
    coalesce_reads: bool = True
    """Whether reading may rest, 2 ms at a time, while a runtime streams nothing but text and no request is open.

    A fast stream then takes a fraction of the CPU. What comes right behind such text may be read up to 2 ms later;
    the answer to a request of yours never is.
    """
    pending_limits: PendingLimits = field(default_factory=PendingLimits)
    """Bounds of what is held for cloud sessions that are being created."""
    early_request_timeout: float | None = 0.25
    """Seconds after which an early request is answered by the only creation that is pending; ``None``: it waits."""
    handler_threads: int = 1024
    """Most threads for plain functions that answer the runtime; each is started when all others are busy."""
    handler_thread_timeout: float = 30.0
    """Seconds that a plain function waits for a thread where all are busy; then its call fails, and a gate denies."""
    on_request: Mapping[str, RequestHandler] = field(default_factory=dict[str, RequestHandler])
    """Functions for the runtime's requests to the client as a whole, by wire name, for example
    ``"installations.confirm"``. Each takes the parameters and returns the result."""
    on_notification: Mapping[str, Callable[[Mapping[str, Any]], Any]] = field(
        default_factory=dict[str, Callable[[Mapping[str, Any]], Any]]
    )
    """Functions for notifications that are no events of a session, by wire name. A function for
    ``"gitHubTelemetry.event"`` makes runtimes from 1.0.81 on send what they report to GitHub."""
    token_provider: TokenProvider | None = None
    """Brings tokens for GitHub to local sessions that have neither ``github_token`` nor ``provider``, when they are
    opened and before a token expires (from 1.0.81 on)."""
    model_requests: ModelRequestHandler | None = None
    """Answers the runtime's HTTP requests to models, for all its sessions (from 1.0.81 on); see
    ``missionlink.model_requests``."""
    storage: SessionFS | None = None
    """Where the runtime keeps its local sessions, for example ``DirectoryFS("sessions")``; ``None``: in its own folder.

    It is the storage of the whole runtime: no other client of it may have one.
    """
    on_error: ErrorHandler | None = None
    """Gets every failure of your functions, besides the log."""
    on_message: MessageCallback | None = None
    """Gets every message of the connection, sent or received, in order; it must return quickly."""

    def __post_init__(self) -> None:
        check_word("url", self.url)
        for option in ("connection_token", "github_token"):
            check_token(option, getattr(self, option))
        check_path("runtime", self.runtime)
        for option in ("base_directory", "working_directory"):
            if (value := getattr(self, option)) is not None:
                freeze(self, option, absolute_path(option, value))
        check_flag("use_logged_in_user", self.use_logged_in_user)
        check_flag("inherit_env", self.inherit_env, allow_none=False)
        check_flag("coalesce_reads", self.coalesce_reads, allow_none=False)
        if not isinstance(self.pending_limits, PendingLimits):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("pending_limits", f"must be PendingLimits, not {type(self.pending_limits).__name__}")
        check_choice("channel", self.channel, ("stdio", "tcp"), allow_none=False)
        check_choice("log_level", self.log_level, _LOG_LEVELS, allow_none=False)
        for option in ("start_timeout", "request_timeout", "create_timeout", "early_request_timeout"):
            check_positive(option, getattr(self, option))
        for option in ("close_timeout", "handler_thread_timeout"):
            check_positive(option, getattr(self, option), allow_none=False)
        for option in ("max_frame_bytes", "handler_threads"):
            check_positive(option, getattr(self, option), allow_none=False, whole=True)
        check_storage("storage", self.storage)
        check_handler("token_provider", self.token_provider, "the TokenRequest")
        check_handler("model_requests", self.model_requests, "the HttpRequest")
        freeze(self, "on_request", check_functions("on_request", self.on_request, "the parameters of the request"))
        functions = check_functions("on_notification", self.on_notification, "the parameters of the notification")
        freeze(self, "on_notification", functions)
        if self.on_request or self.on_notification:
            self._check_methods()
        check_handler("on_error", self.on_error, "the HandlerFailed")
        if inspect.iscoroutinefunction(self.on_error):
            raise InvalidOption("on_error", "must be a plain function: nobody would await it")
        check_handler("on_message", self.on_message, "the WireMessage")
        if inspect.iscoroutinefunction(self.on_message):
            raise InvalidOption("on_message", "must be a plain function: nobody would await it")
        freeze(self, "runtime_args", check_texts("runtime_args", self.runtime_args, allow_none=False))
        self._check_together()

    def _check_methods(self) -> None:
        """Refuse functions that would never be called, or would do the work of another option."""
        from missionlink.protocol.method_traits import NOTIFICATIONS, SERVED_BY_OPTIONS, is_of_session

        for method in self.on_request:
            option = f"on_request[{method!r}]"
            if is_of_session(method):
                raise InvalidOption(option, "is a request to a session; give it to the session's on_request")
            if method in NOTIFICATIONS:
                raise InvalidOption(option, "is a notification and no request; give it to on_notification")
            if method in SERVED_BY_OPTIONS:
                raise InvalidOption(option, f"has an option of its own: {SERVED_BY_OPTIONS[method]}")
        for method, problem in (
            ("session.event", "has a method of its own: session.subscribe()"),
            ("session.lifecycle", "has a method of its own: client.lifecycle()"),
            ("$/cancelRequest", "is the client's own: it cancels the function that answers"),
        ):
            if method in self.on_notification:
                raise InvalidOption(f"on_notification[{method!r}]", problem)

    def _check_together(self) -> None:
        if self.url is not None:
            parse_address(self.url)
            for option in ("runtime", "base_directory", "working_directory", "env"):
                if getattr(self, option) is not None:
                    raise InvalidOption(option, "has no effect on a runtime that is running already (url is set)")
        if self.env is not None and not isinstance(self.env, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("env", f"must be a mapping, not {type(self.env).__name__}")
        for name, value in (self.env or {}).items():
            if not isinstance(name, str) or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidOption("env", f"names and values must be str; {name!r} is not")
            if not name or "=" in name or not can_be_named(name + value):
                raise InvalidOption("env", f"{name!r} cannot be set: a name is not empty, and none holds '=' or NUL")
            if value and name in TOKEN_VARIABLES:
                check_token(f"env[{name!r}]", value)


def parse_address(url: str) -> tuple[str, int]:
    """Return host and port of ``"host:port"``, ``"tcp://host:port"``, ``"http://host:port"`` or a lone port.

    Raises:
        InvalidOption: The text has another form.
    """
    text = url.removeprefix("tcp://").removeprefix("http://").removesuffix("/")
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    is_port = port.isascii() and port.isdigit() and len(port) < 10 and 0 < int(port) < 65536
    if not is_port or not _can_be_host(host):
        # What stands before an "@" may be a password.
        shown = f"***@{url.rpartition('@')[2]}" if "@" in url else url
        raise InvalidOption("url", f"{shown!r} is not of the form 'host:port'")
    return host or "127.0.0.1", int(port)


def _can_be_host(host: str) -> bool:
    if any(sign.isspace() or not sign.isprintable() or sign in "/@[]?#\\" for sign in host):
        return False
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True
