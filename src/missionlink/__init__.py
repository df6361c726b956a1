"""Python SDK for programs that drive the GitHub Copilot agent runtime.

Names are loaded when they are first used, so that ``import missionlink`` costs next to nothing.
"""

from __future__ import annotations

# Checkers know this name; importing it from typing would load a dozen modules.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from missionlink._client.lifecycle import LifecycleEvent as LifecycleEvent
    from missionlink._client.lifecycle import SessionInfo as SessionInfo
    from missionlink._wire.trace import WireMessage as WireMessage
    from missionlink.blocking.client import Client as Client
    from missionlink.client import AsyncClient as AsyncClient
    from missionlink.errors import MissionlinkError as MissionlinkError
    from missionlink.handlers.commands import Command as Command
    from missionlink.handlers.commands import CommandCall as CommandCall
    from missionlink.handlers.hooks.registration import Hooks as Hooks
    from missionlink.handlers.invoke import PENDING as PENDING
    from missionlink.handlers.invoke import nonblocking as nonblocking
    from missionlink.handlers.pending import PendingRequest as PendingRequest
    from missionlink.handlers.permissions.decisions import Allow as Allow
    from missionlink.handlers.permissions.decisions import Decision as Decision
    from missionlink.handlers.permissions.decisions import Deny as Deny
    from missionlink.handlers.permissions.policy import Permissions as Permissions
    from missionlink.handlers.permissions.requests import HookPermission as HookPermission
    from missionlink.handlers.permissions.requests import McpPermission as McpPermission
    from missionlink.handlers.permissions.requests import MemoryPermission as MemoryPermission
    from missionlink.handlers.permissions.requests import PermissionRequest as PermissionRequest
    from missionlink.handlers.permissions.requests import ReadPermission as ReadPermission
    from missionlink.handlers.permissions.requests import ShellPermission as ShellPermission
    from missionlink.handlers.permissions.requests import ToolPermission as ToolPermission
    from missionlink.handlers.permissions.requests import UrlPermission as UrlPermission
    from missionlink.handlers.permissions.requests import WritePermission as WritePermission
    from missionlink.handlers.tools.results import Binary as Binary
    from missionlink.handlers.tools.results import ToolResult as ToolResult
    from missionlink.handlers.tools.tool import Tool as Tool
    from missionlink.handlers.tools.tool import ToolContext as ToolContext
    from missionlink.handlers.tools.tool import ToolError as ToolError
    from missionlink.handlers.tools.tool import tool as tool
    from missionlink.handlers.user_requests import AutoModeSwitch as AutoModeSwitch
    from missionlink.handlers.user_requests import ElicitationRequest as ElicitationRequest
    from missionlink.handlers.user_requests import ElicitationResult as ElicitationResult
    from missionlink.handlers.user_requests import ExitPlanRequest as ExitPlanRequest
    from missionlink.handlers.user_requests import ExitPlanResponse as ExitPlanResponse
    from missionlink.handlers.user_requests import UserInputRequest as UserInputRequest
    from missionlink.handlers.user_requests import UserInputResponse as UserInputResponse
    from missionlink.options.attachments import Attachment as Attachment
    from missionlink.options.client import ClientOptions as ClientOptions
    from missionlink.options.client import PendingLimits as PendingLimits
    from missionlink.options.cloud import CloudOptions as CloudOptions
    from missionlink.options.cloud import Repository as Repository
    from missionlink.options.model import Provider as Provider
    from missionlink.options.model import SystemMessage as SystemMessage
    from missionlink.options.session import SessionOptions as SessionOptions
    from missionlink.protocol.envelope import Event as Event
    from missionlink.protocol.envelope import EventsLost as EventsLost
    from missionlink.protocol.envelope import UnknownEvent as UnknownEvent
    from missionlink.session.callback import Subscription as Subscription
    from missionlink.session.opening import SessionOpening as SessionOpening
    from missionlink.session.prompt_queue import QueuedPrompt as QueuedPrompt
    from missionlink.session.session import Session as Session
    from missionlink.session.stream import EventStream as EventStream
    from missionlink.session.turn import Turn as Turn
    from missionlink.session.turn import TurnResult as TurnResult

__version__ = "0.1.0"

# Name to the module that has it; a test compares this with the imports above.
_MODULES = {
    "Allow": "handlers.permissions.decisions",
    "UserInputResponse": "handlers.user_requests",
    "AsyncClient": "client",
    "Attachment": "options.attachments",
    "AutoModeSwitch": "handlers.user_requests",
    "Binary": "handlers.tools.results",
    "Client": "blocking.client",
    "ClientOptions": "options.client",
    "CloudOptions": "options.cloud",
    "Command": "handlers.commands",
    "CommandCall": "handlers.commands",
    "Decision": "handlers.permissions.decisions",
    "Deny": "handlers.permissions.decisions",
    "Event": "protocol.envelope",
    "EventStream": "session.stream",
    "EventsLost": "protocol.envelope",
    "ElicitationRequest": "handlers.user_requests",
    "ElicitationResult": "handlers.user_requests",
    "PendingLimits": "options.client",
    "WireMessage": "_wire.trace",
    "HookPermission": "handlers.permissions.requests",
    "Hooks": "handlers.hooks.registration",
    "LifecycleEvent": "_client.lifecycle",
    "McpPermission": "handlers.permissions.requests",
    "MemoryPermission": "handlers.permissions.requests",
    "MissionlinkError": "errors",
    "SessionOpening": "session.opening",
    "PENDING": "handlers.invoke",
    "PendingRequest": "handlers.pending",
    "PermissionRequest": "handlers.permissions.requests",
    "Permissions": "handlers.permissions.policy",
    "ExitPlanRequest": "handlers.user_requests",
    "ExitPlanResponse": "handlers.user_requests",
    "Provider": "options.model",
    "UserInputRequest": "handlers.user_requests",
    "QueuedPrompt": "session.prompt_queue",
    "ReadPermission": "handlers.permissions.requests",
    "Repository": "options.cloud",
    "Session": "session.session",
    "SessionInfo": "_client.lifecycle",
    "SessionOptions": "options.session",
    "ShellPermission": "handlers.permissions.requests",
    "Subscription": "session.callback",
    "SystemMessage": "options.model",
    "Tool": "handlers.tools.tool",
    "ToolContext": "handlers.tools.tool",
    "ToolError": "handlers.tools.tool",
    "ToolPermission": "handlers.permissions.requests",
    "ToolResult": "handlers.tools.results",
    "Turn": "session.turn",
    "TurnResult": "session.turn",
    "UnknownEvent": "protocol.envelope",
    "UrlPermission": "handlers.permissions.requests",
    "WritePermission": "handlers.permissions.requests",
    "nonblocking": "handlers.invoke",
    "tool": "handlers.tools.tool",
}

# One list of names, not two that can differ.
__all__ = (*_MODULES, "__version__")  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted((*globals(), *_MODULES))
