"""Session options to the parameters of ``session.create`` and ``session.resume``: one table for all ways to open.

A field that was not set is absent, never ``false``, ``null`` or ``[]``: runtimes treat an empty list in a cloud
creation differently from none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missionlink.errors import InvalidOption, UnsupportedByRuntime
from missionlink.protocol.compat import is_older

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from missionlink.options.cloud import CloudOptions, Repository
    from missionlink.options.model import Provider
    from missionlink.options.session import SessionOptions

__all__ = (
    "NOT_IN_CLOUD",
    "check_cloud",
    "check_runtime",
    "cloud_params",
    "ignored_in_cloud",
    "session_params",
    "strip_unsupported",
    "unsupported_members",
    "with_own_tools",
)

# Option, member on the wire.
_PLAIN = (
    ("model", "model"),
    ("reasoning_effort", "reasoningEffort"),
    ("streaming", "streaming"),
    ("sub_agent_streaming", "includeSubAgentStreamingEvents"),
    ("name", "name"),
    ("client_name", "clientName"),
    ("working_directory", "workingDirectory"),
    ("additional_directories", "additionalDirectories"),
    ("config_directory", "configDir"),
    ("available_tools", "availableTools"),
    ("excluded_tools", "excludedTools"),
    ("mcp_servers", "mcpServers"),
    ("github_token", "gitHubToken"),
)
_FLAGS = (
    ("on_permission", "requestPermission"),
    ("on_user_input", "requestUserInput"),
    ("on_elicitation", "requestElicitation"),
    ("on_exit_plan", "requestExitPlanMode"),
    ("on_auto_mode_switch", "requestAutoModeSwitch"),
)

# Members that runtimes from 1.0.81 on answer with "unhandled method" in a cloud creation. The first group is served
# from events instead; what the second group asks for cannot be had there.
_SERVED_FROM_EVENTS = (*(member for _, member in _FLAGS), "includeSubAgentStreamingEvents")
_NOT_SERVED = (
    "hooks",
    "tools",
    "commands",
    "canvases",
    "canvasProvider",
    "requestMcpApps",
    "requestCanvasRenderer",
)

NOT_IN_CLOUD = {
    "provider": "a cloud session uses the models of its Mission Control",
    "name": "a cloud session is named by its Mission Control",
    "storage": "the remote agent keeps its own files",
}
_NO_FUNCTIONS_IN_CLOUD = {
    "transforms": "no runtime calls them for a remote agent",
}
# Runtimes take these for a cloud session, and Mission Control hears nothing of them.
_NOT_PASSED_ON = (
    "model",
    "reasoning_effort",
    "system_message",
    "available_tools",
    "excluded_tools",
    "mcp_servers",
    "working_directory",
    "additional_directories",
)
_NOT_IN_CLOUD_EXTRA = ("provider", "providers", "models", "name", "hasSkillProvider", "sessionFs", "managedSettings")


def session_params(options: SessionOptions) -> dict[str, Any]:
    """Return the parameters that all ways to open a session share."""
    params: dict[str, Any] = {}
    for option, member in _PLAIN:
        value = getattr(options, option)
        if value is not None:
            params[member] = value
    if options.available_tools is not None:
        # The program's own tools are given to be used; only ``excluded_tools`` takes them away.
        params["availableTools"] = with_own_tools(options.available_tools, options.tools)
        if options.excluded_tools:
            # Else runtimes forget what is excluded where something else is named as available.
            params["toolFilterPrecedence"] = "excluded"
    if options.provider is not None:
        params.update(_provider_params(options, options.provider))
    if options.system_message is not None:
        params["systemMessage"] = options.system_message.to_wire()
    if options.transforms:
        params["systemMessage"] = _with_transforms(params.get("systemMessage", {"mode": "customize"}), options)
    # The options have made tools and commands of plain functions.
    if options.tools:
        tools: Sequence[Any] = options.tools
        params["tools"] = [one.to_wire() for one in tools]
    if options.commands:
        commands: Mapping[str, Any] = options.commands
        params["commands"] = [one.to_wire(name) for name, one in commands.items()]
    for option, member in _FLAGS:
        if getattr(options, option) is not None:
            params[member] = True
    if options.hooks is not None or "hooks.invoke" in options.on_request:
        params["hooks"] = True
    params.update(options.extra)
    return params


def _provider_params(options: SessionOptions, provider: Provider) -> dict[str, Any]:
    params: dict[str, Any] = {"provider": provider.to_wire(options.model)}
    if options.on_provider_token is not None:
        params["provider"]["hasBearerTokenProvider"] = True
    if provider.vision is not None:
        params["modelCapabilities"] = {"supports": {"vision": provider.vision}}
    return params


def with_own_tools(available: Sequence[str], tools: Sequence[Any]) -> tuple[str, ...]:
    """Return the names of the only tools that the agent may use, the program's own among them."""
    return (*available, *(tool.name for tool in tools if tool.name not in available))


def check_runtime(method: str, version: str | None, params: Mapping[str, Any]) -> None:
    """Refuse, by name, what the connected runtime would ignore.

    Raises:
        UnsupportedByRuntime: There is such an option.
    """
    provider = params.get("provider")
    if isinstance(provider, dict) and "hasBearerTokenProvider" in provider and is_older(version, (1, 0, 81)):
        raise UnsupportedByRuntime(method, version, options=("on_provider_token",))
    if "gitHubTokenProviderRegistrationId" in params and is_older(version, (1, 0, 81)):
        raise UnsupportedByRuntime(method, version, options=("token_provider",))


def _with_transforms(message: dict[str, Any], options: SessionOptions) -> dict[str, Any]:
    sections = {**message.get("sections", {}), **{name: {"action": "transform"} for name in options.transforms}}
    return {**message, "sections": sections}


def check_cloud(options: SessionOptions) -> None:
    """Refuse, by name, what a cloud session cannot have.

    Raises:
        InvalidOption: Such an option is set.
    """
    for option, reason in NOT_IN_CLOUD.items():
        if getattr(options, option) is not None:
            raise InvalidOption(option, f"is not for cloud sessions: {reason}")
    for option, reason in _NO_FUNCTIONS_IN_CLOUD.items():
        if getattr(options, option):
            raise InvalidOption(option, f"is not for cloud sessions: {reason}")
    for member in _NOT_IN_CLOUD_EXTRA:
        if member in options.extra:
            raise InvalidOption("extra", f"{member!r} is not for cloud sessions")
    for method in options.on_request:
        if method.startswith(("sessionFs.", "skillProvider.", "providerToken.")):
            raise InvalidOption("on_request", f"{method!r} is not for cloud sessions: the storage is remote")


def cloud_params(options: SessionOptions, repository: Repository | None, cloud: CloudOptions) -> dict[str, Any]:
    """Return the parameters of a cloud creation; there is no ``sessionId`` in them."""
    target: dict[str, Any] = {}
    if repository is not None:
        place = {"owner": repository.owner, "name": repository.name, "branch": repository.branch}
        target["repository"] = {name: value for name, value in place.items() if value is not None}
    if cloud.owner is not None:
        target["owner"] = cloud.owner
    return {**session_params(options), "cloud": target}


def ignored_in_cloud(options: SessionOptions) -> list[str]:
    """Return the options that the agent of a cloud session does without, though every runtime seen accepts them."""
    return [option for option in _NOT_PASSED_ON if getattr(options, option) is not None]


def unsupported_members(params: dict[str, Any]) -> list[str]:
    """Return the members that a runtime which refuses handler flags cannot serve in a cloud session."""
    return [member for member in _NOT_SERVED if params.get(member)]


def strip_unsupported(params: dict[str, Any]) -> dict[str, Any]:
    """Return cloud parameters without what runtimes from 1.0.81 on refuse."""
    dropped = (*_SERVED_FROM_EVENTS, *_NOT_SERVED)
    return {member: value for member, value in params.items() if member not in dropped}
