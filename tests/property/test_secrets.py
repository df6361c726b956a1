"""Secrets come out nowhere: not in reprs, logs, errors, recordings or pickles, whichever way they came in (G2).

Each test plants a token that hypothesis makes up, in one place after the other, and looks for it everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from missionlink import AsyncClient
from missionlink.errors import MissionlinkError
from missionlink.options.client import ClientOptions
from missionlink.options.model import Provider
from missionlink.options.session import SessionOptions
from missionlink.testing import FakeRuntime

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
tokens = st.text(_LETTERS, min_size=20, max_size=40).map(lambda text: f"ghp_{text}")


class Everything:
    """Gathers all that a program shows of itself."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, thing: object) -> None:
        self.texts += [repr(thing), str(thing), f"{thing}"]
        if isinstance(thing, BaseException):
            self.texts += traceback.format_exception(thing)
            self.texts += [repr(vars(thing)), repr(thing.args)]
            self.texts.append(repr(copy.copy(thing)))
            self.texts.append(pickle.dumps(thing).decode("latin-1"))

    def check(self, *secrets: str) -> None:
        for text in self.texts:
            for secret in secrets:
                assert secret not in text, text[max(0, text.index(secret) - 200) :][:500]


@contextlib.contextmanager
def logs_in(everything: Everything) -> Iterator[None]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("missionlink")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        everything.texts.append(stream.getvalue())


SESSION_PLACES: dict[str, Callable[[str], Mapping[str, Any]]] = {
    "github_token": lambda token: {"github_token": token},
    "provider.api_key": lambda token: {"provider": Provider(base_url="http://127.0.0.1:1", api_key=token)},
    "provider.bearer_token": lambda token: {"provider": Provider(base_url="http://127.0.0.1:1", bearer_token=token)},
    "provider.headers": lambda token: {"provider": Provider(base_url="http://127.0.0.1:1", headers={"X-Key": token})},
    "mcp_servers.headers": lambda token: {
        "mcp_servers": {"a": {"url": "http://h", "headers": {"Authorization": token}}}
    },
    "mcp_servers.env": lambda token: {"mcp_servers": {"a": {"command": "x", "env": {"API_KEY": token}}}},
    "mcp_servers.args": lambda token: {"mcp_servers": {"a": {"command": "x", "args": ["--api-key", token]}}},
    "mcp_servers.url": lambda token: {"mcp_servers": {"a": {"type": "http", "url": f"https://u:{token}@host/mcp"}}},
    "extra": lambda token: {"extra": {"apiKey": token}},
}
CLIENT_PLACES: dict[str, Callable[[str], Mapping[str, Any]]] = {
    "github_token": lambda token: {"github_token": token},
    "connection_token": lambda token: {"connection_token": token},
    "env": lambda token: {"env": {"GITHUB_TOKEN": token}},
}


@pytest.mark.parametrize("place", SESSION_PLACES)
@given(token=tokens)
def test_options_of_sessions_do_not_show_them(place: str, token: str) -> None:
    """G2."""
    everything = Everything()
    fields = SESSION_PLACES[place](token)
    options = SessionOptions(**fields)
    everything.add(options)
    for value in fields.values():
        if not isinstance(value, str | dict):
            everything.add(value)
    everything.check(token)


@pytest.mark.parametrize("place", CLIENT_PLACES)
@given(token=tokens)
def test_options_of_clients_do_not_show_them(place: str, token: str) -> None:
    """G2."""
    everything = Everything()
    options = ClientOptions(**CLIENT_PLACES[place](token))
    everything.add(options)
    everything.add(AsyncClient(options))
    from missionlink._client.launch import arguments

    everything.texts.append(repr(arguments(options)))
    everything.check(token)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda token: ClientOptions(github_token=token, start_timeout=-1),
        lambda token: ClientOptions(github_token=token.encode()),  # type: ignore[arg-type]
        lambda token: ClientOptions(connection_token=[token]),  # type: ignore[arg-type]
        lambda token: ClientOptions(env={"A": token, "B": 5}),  # type: ignore[dict-item]
        lambda token: ClientOptions(env={"A": token.encode()}),  # type: ignore[dict-item]
        lambda token: ClientOptions(env=token),  # type: ignore[arg-type]
        lambda token: ClientOptions(url=f"http://user:{token}@127.0.0.1"),
        lambda token: ClientOptions(url=f"tcp://{token}@127.0.0.1:99999"),
        lambda token: SessionOptions(github_token=(token,)),  # type: ignore[arg-type]
        lambda token: SessionOptions(provider=token),  # type: ignore[arg-type]
        lambda token: SessionOptions(provider={"apiKey": token}),  # type: ignore[arg-type]
        lambda token: Provider(base_url="http://127.0.0.1", api_key=token.encode()),  # type: ignore[arg-type]
        lambda token: Provider(base_url="http://127.0.0.1", headers={"Authorization": token.encode()}),  # type: ignore[dict-item]
        lambda token: Provider(base_url="http://127.0.0.1", headers=token),  # type: ignore[arg-type]
        lambda token: Provider(base_url="http://127.0.0.1", bearer_token=(token,)),  # type: ignore[arg-type]
        lambda token: SessionOptions(mcp_servers={"a": token}),  # type: ignore[dict-item]
        lambda token: SessionOptions(mcp_servers=[token]),  # type: ignore[arg-type]
        lambda token: SessionOptions(extra=token),  # type: ignore[arg-type]
        lambda token: SessionOptions(extra={1: token}),  # type: ignore[dict-item]
    ],
)
@given(token=tokens)
def test_what_is_said_of_wrong_options_does_not_show_them(wrong: Callable[[str], object], token: str) -> None:
    """G2."""
    everything = Everything()
    try:
        everything.add(wrong(token))
    except (MissionlinkError, TypeError) as error:
        # Frames hold the values, of course; the texts must not.
        everything.add(error)
        everything.texts = [text for text in everything.texts if "lambda token" not in text]
    everything.check(token)


async def conversation(token: str, place: str, everything: Everything) -> None:
    """A session that is refused, one that works, one that is lost, with the token in each request and echoed back."""
    async with FakeRuntime(strict=False) as fake:

        def refuse(call: Any) -> None:
            call.refuse(-32603, f"Authentication failed: the token {token} is not valid")

        client = AsyncClient(ClientOptions(github_token=token, on_error=everything.add), transport=fake.transport())
        await client.start()
        everything.add(client)
        fields = SESSION_PLACES[place](token)
        session = await client.create_session(**fields)
        everything.add(session)
        turn = await session.send("hello", request_headers={"X-Key": token})
        everything.add(turn)
        everything.add(await turn)
        fake.on("session.create", refuse)
        for opening in (client.create_session(**fields), client.create_cloud_session("octo/hello", **_cloud(fields))):
            everything.add(opening)
            try:
                await opening
            except MissionlinkError as error:
                everything.add(error)
        fake.on("session.send", refuse)
        try:
            await session.send("hello", request_headers={"X-Key": token})
        except MissionlinkError as error:
            everything.add(error)
        fake.on("model.getCurrent", refuse)
        try:
            await session.rpc.call("model.getCurrent", {"apiKey": token, "headers": {"X": token}})
        except MissionlinkError as error:
            everything.add(error)
        try:
            await session.rpc.call("model.getCurrent", {"apiKey": token, "bad": object()})
        except MissionlinkError as error:
            everything.add(error)
        fake.faults.send_body(b'{"jsonrpc":"2.0","id":1,"method":{"apiKey":"' + token.encode() + b'"}}')
        fake.faults.send_body(b'{"broken":"' + token.encode() + b'"')
        everything.texts += [str(fake.traffic), fake.traffic.script()]
        lost = asyncio.create_task(client.wait_closed())
        fake.faults.send_bytes(b"Authorization: " + token.encode() + b"\r\n\r\n")
        everything.add(await lost)
        everything.add(client)
        everything.add(session)
        await client.close()


def _cloud(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "provider"}


@pytest.mark.parametrize("place", SESSION_PLACES)
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(token=tokens)
async def test_a_conversation_shows_them_to_the_runtime_only(place: str, token: str) -> None:
    """G2."""
    everything = Everything()
    with logs_in(everything):
        await conversation(token, place, everything)
    everything.check(token)
