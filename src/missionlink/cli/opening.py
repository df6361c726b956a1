"""Where a command's session is: local, in the cloud, or in a Mission Control inside the command itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from missionlink import AsyncClient, ClientOptions, Provider
from missionlink.errors import InvalidOption

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from missionlink import Opening, Repository, SessionOptions

__all__ = ("Place", "provider_of")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the command line says about where the session is."""

    cloud: Repository | None
    embedded: bool
    resume: str | None
    runtime: str | None

    def check(self) -> None:
        """Refuse what excludes each other."""
        if self.cloud is not None and self.embedded:
            raise click.UsageError("--cloud and --embedded exclude each other")
        if self.resume is not None and self.embedded:
            raise click.UsageError("--resume finds nothing with --embedded: its sessions end with the command")

    async def client(self, stack: AsyncExitStack) -> AsyncClient:
        """Start a client, and the Mission Control that it needs; the stack ends both."""
        env = None
        if self.embedded:
            from missionlink.mission_control import serve

            control = await stack.enter_async_context(serve())
            env = control.environment()
        return await stack.enter_async_context(AsyncClient(ClientOptions(runtime=self.runtime, env=env)))

    def open(self, client: AsyncClient, options: SessionOptions) -> Opening:
        """Begin to open the session."""
        if self.cloud is not None or self.embedded:
            if self.resume is not None:
                return client.resume_cloud_session(self.resume, options)
            return client.create_cloud_session(self.cloud, options)
        if self.resume is not None:
            return client.resume_session(self.resume, options)
        return client.create_session(options)


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
    return Provider(base_url=url, api_key=key)
