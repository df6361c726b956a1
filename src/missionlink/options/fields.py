"""The fields of ``ClientOptions`` and ``SessionOptions`` as keywords, for type checkers and editors.

A test keeps them the same. Nothing imports this when a program runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Literal

    from missionlink._wire.pending_limits import PendingLimits
    from missionlink.handlers.commands import Command, CommandCall
    from missionlink.handlers.hooks.registration import Hooks
    from missionlink.handlers.interfaces import RequestHandler
    from missionlink.handlers.permissions.requests import PermissionHandler
    from missionlink.handlers.tools.tool import Tool
    from missionlink.handlers.user_requests import (
        AutoModeSwitchHandler,
        ElicitationHandler,
        ExitPlanHandler,
        UserInputHandler,
    )
    from missionlink.model_requests import ModelRequestHandler
    from missionlink.options.client import ErrorHandler, MessageCallback
    from missionlink.options.model import Provider, SystemMessage
    from missionlink.options.session import EventHandler
    from missionlink.options.tokens import TokenProvider
    from missionlink.storage import SessionFS

__all__ = ("ClientFields", "SessionFields")


class ClientFields(TypedDict, total=False):
    """Any field of ``ClientOptions``, which says what each means."""

    runtime: str | os.PathLike[str] | None
    runtime_args: Sequence[str]
    url: str | None
    channel: Literal["stdio", "tcp"]
    connection_token: str | None
    github_token: str | None
    use_logged_in_user: bool | None
    base_directory: str | os.PathLike[str] | None
    working_directory: str | os.PathLike[str] | None
    env: Mapping[str, str] | None
    inherit_env: bool
    log_level: str
    start_timeout: float | None
    request_timeout: float | None
    create_timeout: float | None
    close_timeout: float
    max_frame_bytes: int
    coalesce_reads: bool
    pending_limits: PendingLimits
    early_request_timeout: float | None
    handler_threads: int
    handler_thread_timeout: float
    on_request: Mapping[str, RequestHandler]
    on_notification: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    token_provider: TokenProvider | None
    model_requests: ModelRequestHandler | None
    storage: SessionFS | None
    on_error: ErrorHandler | None
    on_message: MessageCallback | None


class SessionFields(TypedDict, total=False):
    """Any field of ``SessionOptions``, which says what each means."""

    model: str | None
    reasoning_effort: str | None
    provider: Provider | None
    system_message: SystemMessage | None
    streaming: bool | None
    sub_agent_streaming: bool | None
    name: str | None
    client_name: str | None
    working_directory: str | os.PathLike[str] | None
    additional_directories: Sequence[str | os.PathLike[str]] | None
    config_directory: str | os.PathLike[str] | None
    available_tools: Sequence[str] | None
    excluded_tools: Sequence[str] | None
    mcp_servers: Mapping[str, Mapping[str, Any]] | None
    github_token: str | None
    tools: Sequence[Tool[..., Any] | Callable[..., Any]] | tuple[()]
    hooks: Hooks | None
    commands: Mapping[str, Command | Callable[[CommandCall], Any]]
    transforms: Mapping[str, Callable[[str], Any]]
    on_provider_token: Callable[[str], Any] | None
    on_permission: PermissionHandler | None
    permission_timeout: float | None
    on_user_input: UserInputHandler | None
    on_elicitation: ElicitationHandler | None
    on_exit_plan: ExitPlanHandler | None
    on_auto_mode_switch: AutoModeSwitchHandler | None
    on_request: Mapping[str, RequestHandler]
    storage: SessionFS | None
    on_event: EventHandler | None
    backlog_events: int
    backlog_bytes: int
    extra: Mapping[str, Any]
