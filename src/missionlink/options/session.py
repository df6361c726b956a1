"""Options of a session: the same object creates, resumes and creates in the cloud."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack, cast

from missionlink.errors import InvalidOption
from missionlink.handlers.interfaces import RequestHandler
from missionlink.handlers.permissions.requests import PermissionHandler
from missionlink.handlers.user_requests import (
    AutoModeSwitchHandler,
    ElicitationHandler,
    ExitPlanHandler,
    UserInputHandler,
)
from missionlink.options.checks import (
    check_functions,
    check_handler,
    check_members,
    check_positive,
    check_storage,
    check_texts,
    check_token,
    check_word,
    freeze,
    named_fields,
    named_path,
    with_fields,
)
from missionlink.options.hiding import hides_arguments
from missionlink.protocol.envelope import Event

if TYPE_CHECKING:
    from missionlink.handlers.commands import Command, CommandCall
    from missionlink.handlers.hooks.registration import Hooks
    from missionlink.handlers.tools.tool import Tool
    from missionlink.options.fields import SessionFields
    from missionlink.options.model import Provider, SystemMessage
    from missionlink.storage import SessionFS

__all__ = ("EventHandler", "SessionOptions")

EventHandler = Callable[[Event], Any]
"""Takes an event; a plain function must not block, a coroutine function is awaited before the next event."""


@named_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """Everything that a session can be opened with. A field that is not set is not sent."""

    model: str | None = None
    """Name of the model."""
    reasoning_effort: str | None = None
    """How much the model thinks, for example ``"low"`` or ``"high"``."""
    provider: Provider | None = None
    """A model server of your own; without one GitHub's models are used. Not for cloud sessions."""
    system_message: SystemMessage | None = None
    """What is added to the agent's instructions, or replaces them."""
    streaming: bool | None = None
    """Whether answers come in pieces (``assistant.message_delta``) before they are complete."""
    sub_agent_streaming: bool | None = None
    """Whether sub-agents stream as well."""
    name: str | None = None
    """Name of the session in lists. Not for cloud sessions."""
    client_name: str | None = None
    """Name of your program in the runtime's listings."""

    working_directory: str | os.PathLike[str] | None = None
    """Where the agent works, an existing folder; the runtime's own directory if not set. As with all paths here, ``~``
    is the user's home, and relative ones count from the client's ``working_directory``, else from this program's."""
    additional_directories: Sequence[str | os.PathLike[str]] | None = None
    """Further existing folders that the agent may use."""
    config_directory: str | os.PathLike[str] | None = None
    """Where the runtime reads its configuration for this session, and stores it: resuming it needs the same."""

    available_tools: Sequence[str] | None = None
    """Names of the only tools that the agent may use, besides those in ``tools``; ``()`` leaves it those alone."""
    excluded_tools: Sequence[str] | None = None
    """Names of tools that the agent may not use, also of those in ``available_tools`` and ``tools``."""
    mcp_servers: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)
    """MCP servers by name, in wire spelling: ``{"type": "local", "command": …, "args": […], "env": {…}}`` for a
    program, ``{"type": "http", "url": …, "headers": {…}}`` for a remote one. ``"tools": ["*"]`` offers all of its
    tools, which runtimes up to 1.0.71 do not without it; ``timeout`` is in milliseconds."""

    github_token: str | None = field(default=None, repr=False)
    """A token for this session alone."""

    tools: Sequence[Tool[..., Any] | Callable[..., Any]] | tuple[()] = ()
    """Functions of this program that the agent can call; see ``tool``. Not for cloud sessions."""
    hooks: Hooks | None = None
    """Functions that are called at set points, and may deny. Not for cloud sessions."""
    commands: Mapping[str, Command | Callable[[CommandCall], Any]] = field(default_factory=dict[str, Any])
    """Slash commands by name, without the slash."""
    transforms: Mapping[str, Callable[[str], Any]] = field(default_factory=dict[str, Any])
    """Functions that rewrite sections of the runtime's instructions: name of the section, for example ``"tone"``,
    to a function of its text. Not for cloud sessions."""
    on_provider_token: Callable[[str], Any] | None = None
    """Brings the bearer token for the provider, before each call of the model (from 1.0.81 on)."""

    on_permission: PermissionHandler | None = None
    """Decides what the agent may do; without it everything that needs approval is denied."""
    permission_timeout: float | None = None
    """Seconds after which an undecided permission is denied; ``None`` for no limit."""
    on_user_input: UserInputHandler | None = None
    """Answers the agent's questions; without it the agent cannot ask."""
    on_elicitation: ElicitationHandler | None = None
    """Fills forms in."""
    on_exit_plan: ExitPlanHandler | None = None
    """Approves plans."""
    on_auto_mode_switch: AutoModeSwitchHandler | None = None
    """Answers whether to switch the model at a rate limit."""
    on_request: Mapping[str, RequestHandler] = field(default_factory=dict[str, RequestHandler])
    """Functions for other requests of the runtime, by wire name, for example ``"canvas.open"``."""
    storage: SessionFS | None = None
    """Where the files of this session are, if not in the client's ``storage``, without which no session can have one.
    Not for cloud sessions."""
    on_event: EventHandler | None = None
    """Gets every event from the first on."""

    backlog_events: int = 128
    """Most events that are kept for the first consumer."""
    backlog_bytes: int = 1024 * 1024
    """Most bytes of events that are kept for the first consumer."""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """Further parameters of ``session.create`` in wire spelling, for what has no field here."""

    def __post_init__(self) -> None:
        for option in ("model", "reasoning_effort", "name", "client_name"):
            check_word(option, getattr(self, option))
        check_token("github_token", self.github_token)
        for option in ("available_tools", "excluded_tools"):
            freeze(self, option, check_texts(option, getattr(self, option)))
        for option in ("working_directory", "config_directory"):
            value = getattr(self, option)
            if value is not None:
                freeze(self, option, named_path(option, value))
        freeze(self, "additional_directories", _paths("additional_directories", self.additional_directories))
        for option in ("streaming", "sub_agent_streaming"):
            if not isinstance(getattr(self, option), bool | None):
                raise InvalidOption(option, "must be True, False or None")
        for option, takes in HANDLERS.items():
            check_handler(option, getattr(self, option), takes)
        check_positive("permission_timeout", self.permission_timeout)
        check_storage("storage", self.storage)
        for option in ("backlog_events", "backlog_bytes"):
            check_positive(option, getattr(self, option), allow_none=False, whole=True)
        freeze(self, "on_request", check_functions("on_request", self.on_request, "the parameters of the request"))
        freeze(self, "transforms", check_functions("transforms", self.transforms, "the text of the section"))
        if self.on_request:
            self._check_requests()
        self._check_functions()
        self._check_objects()
        self._check_together()

    def _check_functions(self) -> None:
        # Imported here: what a program does not use costs it nothing.
        if self.tools != ():
            from missionlink.handlers.tools.tool import tools_by_name

            freeze(self, "tools", tuple(tools_by_name("tools", self.tools).values()))
        if self.commands != {}:
            from missionlink.handlers.commands import checked_commands

            freeze(self, "commands", checked_commands("commands", self.commands))
        if self.hooks is not None:
            from missionlink.handlers.hooks.registration import Hooks

            if not isinstance(self.hooks, Hooks):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidOption("hooks", f"must be Hooks, not {type(self.hooks).__name__}")

    def _check_requests(self) -> None:
        """Refuse handlers of requests that would never be called."""
        from missionlink.handlers.request_kinds import BY_METHOD, REQUEST_EVENTS
        from missionlink.protocol.method_traits import CLIENT_REQUESTS, NOTIFICATIONS

        for method in self.on_request:
            option = f"on_request[{method!r}]"
            if method in CLIENT_REQUESTS:
                raise InvalidOption(option, "is a request to the client as a whole; give it to the client's on_request")
            if method in NOTIFICATIONS:
                raise InvalidOption(option, "is a notification and no request; callbacks of events get those")
            kind = BY_METHOD.get(method)
            if kind is not None:
                raise InvalidOption(option, f"has an option of its own: {kind.option}")
            if method in REQUEST_EVENTS:
                raise InvalidOption(option, "is an event and no request; on_permission, tools and the like serve them")

    def _check_together(self) -> None:
        if self.hooks is not None and "hooks.invoke" in self.on_request:
            raise InvalidOption("hooks", "cannot be combined with on_request['hooks.invoke']")
        for option, member in (("tools", "tools"), ("hooks", "hooks"), ("commands", "commands")):
            if getattr(self, option) and member in self.extra:
                raise InvalidOption(option, f"is given twice: extra has {member!r} too")
        by_hand = [method for method in self.on_request if method.startswith("sessionFs.")]
        if self.storage is not None and by_hand:
            raise InvalidOption("storage", f"cannot be combined with on_request[{by_hand[0]!r}]")
        if self.transforms and self.system_message is not None and self.system_message.mode != "customize":
            raise InvalidOption("transforms", "needs a system_message made by customize(), or none")
        if self.on_provider_token is not None and self.provider is None:
            raise InvalidOption("on_provider_token", "needs a provider whose token it brings")
        if self.model is not None and self.provider is not None and self.provider.wire_model is not None:
            if self.provider.model_id not in (None, self.model, self.provider.wire_model):
                raise InvalidOption("provider", "its model_id does nothing beside a model and its wire_model")

    def _check_objects(self) -> None:
        for option, name in (("provider", "Provider"), ("system_message", "SystemMessage")):
            value = getattr(self, option)
            if value is None:
                continue
            # Imported here: most programs have neither.
            from missionlink.options import model

            kind: type = getattr(model, name)
            if not isinstance(value, kind):
                raise InvalidOption(option, f"must be a {kind.__name__}, not {type(value).__name__}")
        if not isinstance(self.extra, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("extra", f"must be a mapping, not {type(self.extra).__name__}")
        check_members("extra", self.extra)
        self._check_mcp_servers()
        for member in ("sessionId", "cloud"):
            if member in self.extra:
                hint = "; create_cloud_session() opens a cloud session" if member == "cloud" else ""
                raise InvalidOption("extra", f"{member!r} is set by the method that opens the session{hint}")
        if self.extra.get("gitHubTokenProviderRegistrationId") is not None:
            problem = "'gitHubTokenProviderRegistrationId' would make the runtime ask this client for tokens"
            raise InvalidOption("extra", f"{problem}; use github_token, or the client's token_provider")

    def _check_mcp_servers(self) -> None:
        if self.mcp_servers is None and not {"mcpServers", "customAgents"} & self.extra.keys():
            return
        # Imported here: most programs have no MCP servers.
        from missionlink.options.mcp import check_agents, check_servers

        check_servers("mcp_servers", self.mcp_servers)
        check_servers("extra", self.extra.get("mcpServers"), is_open=True)
        check_agents("extra", self.extra.get("customAgents"))

    @hides_arguments
    def replace(self, **changes: Unpack[SessionFields]) -> SessionOptions:
        """Return a copy with some fields changed.

        Raises:
            InvalidOption: A field is unknown or its value is wrong.
        """
        return with_fields(self, changes)


# What the functions are called with.
HANDLERS = {
    "on_permission": "the PermissionRequest",
    "on_user_input": "the Question",
    "on_elicitation": "the Form",
    "on_exit_plan": "the Plan",
    "on_auto_mode_switch": "the AutoModeSwitch",
    "on_provider_token": "the name of the provider",
    "on_event": "the Event",
}


def _paths(option: str, value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidOption(option, f"must be a list of paths, not {type(value).__name__}")
    return tuple(named_path(option, entry) for entry in cast("Sequence[object]", value))
