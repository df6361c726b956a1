"""Python SDK for programs that drive the GitHub Copilot agent runtime.

Names are loaded when they are first used, so that ``import missionlink`` costs next to nothing.
"""

from __future__ import annotations

# Checkers know this name; importing it from typing would load a dozen modules.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from missionlink.blocking.client import Client as Client
    from missionlink.client import AsyncClient as AsyncClient
    from missionlink.errors import MissionlinkError as MissionlinkError
    from missionlink.handlers.commands import Command as Command
    from missionlink.handlers.commands import CommandCall as CommandCall
    from missionlink.handlers.decisions import Allow as Allow
    from missionlink.handlers.decisions import Decision as Decision
    from missionlink.handlers.decisions import Deny as Deny
    from missionlink.handlers.deferral import PENDING as PENDING
    from missionlink.handlers.hooks import Hooks as Hooks
    from missionlink.handlers.invoke import nonblocking as nonblocking
    from missionlink.handlers.pending import PendingQuestion as PendingQuestion
    from missionlink.handlers.permissions import HookPermission as HookPermission
    from missionlink.handlers.permissions import McpPermission as McpPermission
    from missionlink.handlers.permissions import MemoryPermission as MemoryPermission
    from missionlink.handlers.permissions import PermissionRequest as PermissionRequest
    from missionlink.handlers.permissions import ReadPermission as ReadPermission
    from missionlink.handlers.permissions import ShellPermission as ShellPermission
    from missionlink.handlers.permissions import ToolPermission as ToolPermission
    from missionlink.handlers.permissions import UrlPermission as UrlPermission
    from missionlink.handlers.permissions import WritePermission as WritePermission
    from missionlink.handlers.policies import Permissions as Permissions
    from missionlink.handlers.questions import Answer as Answer
    from missionlink.handlers.questions import AutoModeSwitch as AutoModeSwitch
    from missionlink.handlers.questions import Form as Form
    from missionlink.handlers.questions import FormAnswer as FormAnswer
    from missionlink.handlers.questions import Plan as Plan
    from missionlink.handlers.questions import PlanAnswer as PlanAnswer
    from missionlink.handlers.questions import Question as Question
    from missionlink.handlers.tool_results import Binary as Binary
    from missionlink.handlers.tool_results import ToolResult as ToolResult
    from missionlink.handlers.tools import Tool as Tool
    from missionlink.handlers.tools import ToolContext as ToolContext
    from missionlink.handlers.tools import ToolError as ToolError
    from missionlink.handlers.tools import tool as tool
    from missionlink.lifecycle import LifecycleEvent as LifecycleEvent
    from missionlink.lifecycle import SessionInfo as SessionInfo
    from missionlink.options.attachments import Attachment as Attachment
    from missionlink.options.client import ClientOptions as ClientOptions
    from missionlink.options.client import HeldLimits as HeldLimits
    from missionlink.options.cloud import CloudOptions as CloudOptions
    from missionlink.options.cloud import Repository as Repository
    from missionlink.options.model import Provider as Provider
    from missionlink.options.model import SystemMessage as SystemMessage
    from missionlink.options.session import SessionOptions as SessionOptions
    from missionlink.protocol.envelope import Event as Event
    from missionlink.protocol.envelope import EventsLost as EventsLost
    from missionlink.protocol.envelope import UnknownEvent as UnknownEvent
    from missionlink.session.callback import Subscription as Subscription
    from missionlink.session.opening import Opening as Opening
    from missionlink.session.queue import QueuedPrompt as QueuedPrompt
    from missionlink.session.session import Session as Session
    from missionlink.session.stream import EventStream as EventStream
    from missionlink.session.turn import Turn as Turn
    from missionlink.session.turn import TurnResult as TurnResult

__version__ = "0.1.0"

# Name to the module that has it; a test compares this with the imports above.
_MODULES = {
    "Allow": "handlers.decisions",
    "Answer": "handlers.questions",
    "AsyncClient": "client",
    "Attachment": "options.attachments",
    "AutoModeSwitch": "handlers.questions",
    "Binary": "handlers.tool_results",
    "Client": "blocking.client",
    "ClientOptions": "options.client",
    "CloudOptions": "options.cloud",
    "Command": "handlers.commands",
    "CommandCall": "handlers.commands",
    "Decision": "handlers.decisions",
    "Deny": "handlers.decisions",
    "Event": "protocol.envelope",
    "EventStream": "session.stream",
    "EventsLost": "protocol.envelope",
    "Form": "handlers.questions",
    "FormAnswer": "handlers.questions",
    "HeldLimits": "options.client",
    "HookPermission": "handlers.permissions",
    "Hooks": "handlers.hooks",
    "LifecycleEvent": "lifecycle",
    "McpPermission": "handlers.permissions",
    "MemoryPermission": "handlers.permissions",
    "MissionlinkError": "errors",
    "Opening": "session.opening",
    "PENDING": "handlers.deferral",
    "PendingQuestion": "handlers.pending",
    "PermissionRequest": "handlers.permissions",
    "Permissions": "handlers.policies",
    "Plan": "handlers.questions",
    "PlanAnswer": "handlers.questions",
    "Provider": "options.model",
    "Question": "handlers.questions",
    "QueuedPrompt": "session.queue",
    "ReadPermission": "handlers.permissions",
    "Repository": "options.cloud",
    "Session": "session.session",
    "SessionInfo": "lifecycle",
    "SessionOptions": "options.session",
    "ShellPermission": "handlers.permissions",
    "Subscription": "session.callback",
    "SystemMessage": "options.model",
    "Tool": "handlers.tools",
    "ToolContext": "handlers.tools",
    "ToolError": "handlers.tools",
    "ToolPermission": "handlers.permissions",
    "ToolResult": "handlers.tool_results",
    "Turn": "session.turn",
    "TurnResult": "session.turn",
    "UnknownEvent": "protocol.envelope",
    "UrlPermission": "handlers.permissions",
    "WritePermission": "handlers.permissions",
    "nonblocking": "handlers.invoke",
    "tool": "handlers.tools",
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
