"""Clients of a fake runtime over each transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from missionlink.client import AsyncClient
from missionlink.options.client import ClientOptions
from missionlink.testing import FakeRuntime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TOKEN = "loopback-token"
PROFILES = ("1.0.102", "1.0.60")


class Connect(Protocol):
    async def __call__(self, fake: FakeRuntime, **options: Any) -> AsyncClient: ...


@pytest.fixture(params=["memory", "stdio", "tcp"])
def wire(request: pytest.FixtureRequest) -> str:
    """The way the bytes go; a test that asks for it, or for ``connect``, runs once for each."""
    return request.param


@pytest.fixture(params=PROFILES)
def family(request: pytest.FixtureRequest) -> str:
    """The generation of the runtime."""
    return request.param


@pytest.fixture
async def connect(wire: str, tmp_path: Path) -> AsyncIterator[Connect]:
    """Connect a started client to a fake runtime; it is closed at the end of the test."""
    clients: list[AsyncClient] = []

    async def connect(fake: FakeRuntime, **options: Any) -> AsyncClient:
        if wire == "memory":
            client = AsyncClient(ClientOptions(**options), transport=fake.transport())
        elif wire == "tcp":
            fake.token = TOKEN
            host, port = await fake.listen()
            client = AsyncClient(ClientOptions(url=f"{host}:{port}", connection_token=TOKEN, **options))
        else:
            (program,) = await fake.command(tmp_path / f"runtime-{len(clients)}")
            client = AsyncClient(ClientOptions(runtime=program, **options))
        clients.append(client)
        await client.start()
        return client

    yield connect
    for client in clients:
        await client.close()
