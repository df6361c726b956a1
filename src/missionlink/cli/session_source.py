"""Opens the session of a command: local, in the cloud, or in a Mission Control inside the command itself."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from missionlink import AsyncClient, ClientOptions, Provider, SessionOptions
from missionlink.errors import InvalidOption
from missionlink.options.checks import check_token

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from missionlink import Repository, SessionOpening

__all__ = ("SessionSource", "mcp_servers_of", "provider_of")

# A person sees that it is starting and can stop it. A first start unpacks the runtime, which slow disks take long for.
_START_SECONDS = 120

# In the order of the runtime.
_TOKEN_VARIABLES = ("COPILOT_SDK_AUTH_TOKEN", "COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSource:
    """What the command line says about where the session is."""

    cloud: Repository | None
    embedded: bool
    resume: str | None
    runtime: str | None
    key_variable: str | None = None
    """Environment variable with a key, which the agent's commands must not read."""
    clean_env: bool = False

    def check(self) -> None:
        """Refuse what excludes each other."""
        if self.cloud is not None and self.embedded:
            raise click.UsageError("--cloud and --embedded exclude each other")
        if self.resume is not None and not self.resume.strip():
            raise InvalidOption("--resume", "must be a text that is not empty: the id of a session")
        if self.resume is not None and self.embedded:
            raise click.UsageError("--resume finds nothing with --embedded: its sessions end with the command")

    async def client(self, stack: AsyncExitStack) -> AsyncClient:
        """Start a client, and the Mission Control that it needs; the stack ends both."""
        env = None
        if self.embedded:
            from missionlink.mission_control import serve

            control = await stack.enter_async_context(serve())
            env = control.environment()
        options = ClientOptions(
            runtime=self.runtime,
            runtime_args=() if self.key_variable is None else (f"--secret-env-vars={self.key_variable}",),
            env=env,
            inherit_env=not self.clean_env,
            github_token=_token_of_environment() if self.clean_env and not self.embedded else None,
            start_timeout=_START_SECONDS,
        )
        return await stack.enter_async_context(AsyncClient(options))

    def open(self, client: AsyncClient, options: SessionOptions) -> SessionOpening:
        """Begin to open the session."""
        if self.cloud is not None or self.embedded:
            if self.resume is not None:
                return client.resume_cloud_session(self.resume, options)
            return client.create_cloud_session(self.cloud, options)
        if self.resume is not None:
            return client.resume_session(self.resume, options)
        return client.create_session(options)


def _token_of_environment() -> str | None:
    """Return the token that the runtime would find in the environment, if it had it."""
    return next((os.environ[name] for name in _TOKEN_VARIABLES if os.environ.get(name)), None)


def provider_of(url: str | None, key_variable: str | None) -> Provider | None:
    """Return the model server that the command line names."""
    if url is None:
        if key_variable is not None:
            raise click.UsageError("--provider-key-env needs --provider-url")
        return None
    key = None
    if key_variable is not None:
        key = os.environ.get(key_variable)
        if not key:
            raise InvalidOption("--provider-key-env", f"the environment variable {key_variable!r} is not set")
        check_token("--provider-key-env", key)
    return Provider(base_url=url, api_key=key)


def mcp_servers_of(given: str | None) -> dict[str, dict[str, Any]] | None:
    """Return the MCP servers of ``--mcp-config``.

    Args:
        given: JSON, or the path of a file that holds it: the runtime's own form, ``{"mcpServers": {NAME: {...}}}``, or
            the servers alone, ``{NAME: {...}}``.

    Raises:
        InvalidOption: It cannot be read, or an entry is wrong.
    """
    if given is None:
        return None
    is_inline = given.lstrip().startswith("{")
    # What stands on the command line may hold secrets.
    shown = "the JSON" if is_inline else repr(given)
    try:
        found: Any = json.loads(given if is_inline else Path(given).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, RuntimeError) as error:
        raise InvalidOption("--mcp-config", f"{shown} cannot be read: {error}") from error
    servers = cast("Any", found).get("mcpServers", cast("Any", found)) if isinstance(found, dict) else None
    if not isinstance(servers, dict) or not all(isinstance(one, dict) for one in cast("Any", servers).values()):
        raise InvalidOption("--mcp-config", f'{shown} does not hold {{"mcpServers": {{NAME: {{...}}, ...}}}}')
    try:
        checked = SessionOptions(mcp_servers=cast("dict[str, dict[str, Any]]", servers))
    except InvalidOption as error:
        problem = str(error).removeprefix(f"{error.option}: ")
        raise InvalidOption("--mcp-config", f"{shown}: {problem}") from error
    return cast("dict[str, dict[str, Any]]", checked.mcp_servers)
