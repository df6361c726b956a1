"""What is taken for a secret, and what becomes of it (G2)."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from missionlink._wire.redaction import MOST_SECRETS, Redactor
from missionlink.errors import ConnectionLost, RemoteProtocolError, RpcError
from missionlink.protocol.sensitive import masked_copy, secrets_of

TOKEN = "ghp_0123456789"


@pytest.mark.parametrize(
    "members",
    [
        {"gitHubToken": TOKEN},
        {"GITHUB_TOKEN": TOKEN},
        {"provider": {"apiKey": TOKEN}},
        {"provider": {"headers": {"X-Anything": TOKEN}}},
        {"provider": {"headers": {"Authorization": f"Bearer {TOKEN}"}}},
        {"mcpServers": [{"env": {"API_KEY": TOKEN}}]},
        {"client-secret": (TOKEN,)},
        {"mcpServers": {"a": {"url": f"https://user:{TOKEN}@host.example/mcp"}}},
        {"mcpServers": {"a": {"url": f"https://host.example/mcp?api_key={TOKEN}&x=1#top"}}},
        {"mcpServers": {"a": {"args": ["serve", "--api-key", TOKEN]}}},
        {"mcpServers": {"a": {"args": [f"--token={TOKEN}"]}}},
    ],
)
def test_what_stands_under_the_name_of_a_secret_is_one(members: object) -> None:
    secrets = Redactor()
    secrets.add_from(members)
    assert secrets.text(f"no {TOKEN} here") == "no *** here"


@pytest.mark.parametrize(
    "members",
    [
        {"model": TOKEN},
        {"env": {"NODE_ENV": TOKEN}},
        {"token": "short"},
        TOKEN,
        None,
        5,
        {"url": f"https://host.example/{TOKEN}?page={TOKEN}"},
        {"args": ["--token", "short", TOKEN, f"--page={TOKEN}"]},
    ],
)
def test_other_words_are_none(members: object) -> None:
    secrets = Redactor()
    secrets.add_from(members)
    assert secrets.text(f"{TOKEN} short") == f"{TOKEN} short"


def test_an_error_loses_them_in_all_that_it_says() -> None:
    secrets = Redactor()
    secrets.add((TOKEN, None))
    for error in (
        RpcError("m", -1, f"bad {TOKEN}", {"a": [f"x{TOKEN}"]}),
        RemoteProtocolError("noise", excerpt=f"Authorization: {TOKEN}".encode()),
        ConnectionLost("gone", stderr=f"trace\n{TOKEN}"),
    ):
        cleaned = secrets.redact_error(error)
        assert cleaned is error
        for one in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
            assert TOKEN not in f"{one} {one!r} {vars(one)} {one.args}"
    assert TOKEN not in repr(secrets)


def test_those_of_many_sessions_take_a_bounded_place_and_the_clients_own_stay() -> None:
    """A client that serves users with a token each would otherwise grow with each of them, for ever."""
    secrets = Redactor()
    secrets.add((TOKEN,))
    secrets.pin()
    for number in range(MOST_SECRETS + 10):
        secrets.add((f"token-{number:08}",))
        secrets.add(("token-00000000",))
    assert repr(secrets) == f"<Secrets {MOST_SECRETS + 1}>"
    assert (
        secrets.text(f"{TOKEN} token-00000000 token-00000001 token-{MOST_SECRETS:08}") == "*** *** token-00000001 ***"
    )


def test_what_leads_back_to_itself_is_searched_and_veiled_all_the_same():
    ring: dict[str, Any] = {"token": "a-long-secret", "list": []}
    ring["self"] = ring
    ring["list"] += [ring] * 100
    assert "a-long-secret" in set(secrets_of({"x": [ring]}))
    assert "a-long-secret" not in repr(masked_copy(ring))
    deep: Any = "a-long-secret"
    for _ in range(100_000):
        deep = [deep]
    assert "a-long-secret" not in repr(masked_copy({"token": deep}))
