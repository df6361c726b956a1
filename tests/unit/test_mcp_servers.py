"""Entries of MCP servers are refused where they are given: the newest runtimes wait for wrong ones without end (P4)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient, SessionOptions
from missionlink.cli.session_source import mcp_servers_of
from missionlink.errors import InvalidOption
from missionlink.options.encode import session_params

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-value"

GOOD: list[dict[str, Any]] = [
    {"command": "python"},
    {
        "type": "local",
        "command": "python",
        "args": [],
        "env": {"A": ""},
        "cwd": "src",
        "tools": ["*"],
        "timeout": 30000,
    },
    {"type": "stdio", "command": "python", "args": ("a", "b"), "tools": [], "disabled": True},
    {"type": "http", "url": "https://host.example/mcp", "headers": {"Authorization": "Bearer x"}, "oauthClientId": "c"},
    {"type": "sse", "url": "http://127.0.0.1:8000/sse", "tools": ["a"], "auth": {"redirectPort": 5}, "oidc": True},
    {
        "url": "http://[::1]:8000/",
        "oauthGrantType": "client_credentials",
        "filterMapping": "none",
        "deferTools": "auto",
    },
]

BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "needs 'command'.* or 'url'"),
    ({"tools": ["*"]}, "needs 'command'"),
    ({"comand": "python"}, "'comand' .*did you mean 'command'"),
    ({"command": "python", "arg": []}, "did you mean 'args'"),
    ({"command": "python", "enviroment": {}}, "'enviroment' is no key"),
    ({"url": "http://h", "oauth_client_id": "x"}, "did you mean 'oauthClientId'"),
    ({"uri": "http://h"}, "did you mean 'url'"),
    ({"command": "python", "brand_new": 1}, "'brand_new' is no key of an MCP server"),
    ({"command": ["python"]}, "'command' must be a str, not list"),
    ({"command": ""}, "'command' must be a text"),
    ({"command": "a\0b"}, "'command'"),
    ({"command": "python", "args": "server.py"}, "'args' must be a list of str, not str"),
    ({"command": "python", "args": ["-p", 80]}, "'args' .*entry 1 is int"),
    ({"command": "python", "env": {"A": 1}}, "'env' .*the value of 'A' is int"),
    ({"command": "python", "env": {"A": None}}, "'env'"),
    ({"command": "python", "env": {"A=B": "x"}}, "'env'"),
    ({"command": "python", "env": ["A=B"]}, "'env' must map"),
    ({"command": "python", "cwd": 3}, "'cwd'"),
    ({"command": "python", "timeout": "30"}, "'timeout' must be a whole number of milliseconds, not str"),
    ({"command": "python", "timeout": 0}, "'timeout'"),
    ({"command": "python", "timeout": 1.5}, "'timeout'"),
    ({"command": "python", "timeout": True}, "'timeout'"),
    ({"command": "python", "tools": "*"}, "'tools' must be a list of str, not str"),
    ({"command": "python", "tools": [None]}, "'tools'"),
    ({"command": "python", "disabled": "yes"}, "'disabled'"),
    ({"command": "python", "type": "http"}, "'url' is missing"),
    ({"command": "python", "type": "locl"}, "'type' .*did you mean 'local'"),
    ({"command": "python", "type": None}, "'type' must be one of"),
    ({"url": "http://h", "type": "stdio"}, "'command' is missing"),
    ({"url": "http://h", "type": "https"}, "did you mean 'http'"),
    ({"url": "http://h", "command": "python"}, "'url' is for a remote server"),
    ({"url": "http://h", "args": []}, "'command' is missing"),
    ({"url": "host.example/mcp"}, "'url' must be an address"),
    ({"url": "ftp://host.example"}, "'url'"),
    ({"url": "http://"}, "'url'"),
    ({"url": "http://h:99999/"}, "'url'"),
    ({"url": "http://h/a b"}, "'url'"),
    ({"url": "http://h", "headers": {"A": 1}}, "'headers'"),
    ({"url": "http://h", "headers": {"A": "x\ny"}}, "'headers'"),
    ({"url": "http://h", "headers": "A: x"}, "'headers' must be a mapping"),
    ({"url": "http://h", "oauthGrantType": "implicit"}, "'oauthGrantType'"),
]


@pytest.mark.parametrize("entry", GOOD)
def test_a_good_entry_is_sent_as_it_is(entry: dict[str, Any]) -> None:
    assert session_params(SessionOptions(mcp_servers={"s": entry}))["mcpServers"] == {"s": entry}
    SessionOptions(extra={"mcpServers": {"s": entry}, "customAgents": [{"name": "a", "mcpServers": {"s": entry}}]})


@pytest.mark.parametrize(("entry", "said"), BAD, ids=[repr(entry) for entry, _ in BAD])
def test_a_wrong_entry_is_refused_and_named(entry: dict[str, Any], said: str) -> None:
    client = AsyncClient()
    makers = [
        SessionOptions,
        SessionOptions().replace,
        client.create_session,
        lambda **given: client.resume_session("s", **given),
        client.create_cloud_session,
        lambda **given: client.resume_cloud_session("s", **given),
    ]
    for make in makers:
        with pytest.raises(InvalidOption, match=f"^mcp_servers: 'shop': .*{said}") as caught:
            make(mcp_servers={"good": GOOD[0], "shop": entry})
        assert caught.value.option == "mcp_servers"


@pytest.mark.parametrize(
    "extra",
    [
        {"mcpServers": {"shop": {"comand": "x"}}},
        {"customAgents": [{"name": "a", "mcpServers": {"shop": {"command": "x", "args": "y"}}}]},
        {"customAgents": [{"name": "a"}, {"name": "b", "mcpServers": ["shop"]}]},
    ],
)
def test_servers_in_extra_are_looked_at_too(extra: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption) as caught:
        SessionOptions(extra=extra)
    assert caught.value.option == "extra"


def test_a_key_of_a_newer_runtime_goes_through_extra() -> None:
    entry = {"command": "x", "brandNew": 1}
    assert SessionOptions(extra={"mcpServers": {"s": entry}}).extra["mcpServers"] == {"s": entry}


@pytest.mark.parametrize(
    "entry",
    [
        {"command": "x", "env": {"A": [SECRET]}},
        {"url": f"ftp://user:{SECRET}@host"},
        {"url": "http://h", "headers": {"Authorization": f"{SECRET}\n"}},
        {"command": "x", "args": [SECRET, 1]},
        {"command": "x", "type": SECRET},
        {"command": "x", "timeout": SECRET},
    ],
)
def test_the_error_shows_no_value(entry: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption) as caught:
        SessionOptions(mcp_servers={"s": entry})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("is_wrapped", [True, False])
@pytest.mark.parametrize("is_inline", [True, False])
def test_the_command_line_takes_a_file_or_json_and_checks_it(tmp_path: Path, is_wrapped: bool, is_inline: bool) -> None:
    def given(entry: dict[str, Any]) -> str:
        servers: dict[str, Any] = {"shop": entry}
        text = json.dumps({"mcpServers": servers} if is_wrapped else servers)
        if is_inline:
            return text
        (tmp_path / "mcp.json").write_text(text)
        return str(tmp_path / "mcp.json")

    assert mcp_servers_of(given(GOOD[1])) == {"shop": GOOD[1]}
    for entry, said in BAD:
        if "\\0" not in json.dumps(entry):
            with pytest.raises(InvalidOption, match=f"'shop': .*{said}") as caught:
                mcp_servers_of(given(entry))
            assert caught.value.option == "--mcp-config"
            assert ("mcp.json" in str(caught.value)) is not is_inline


@pytest.mark.parametrize("text", ["[]", "3", "{", '{"mcpServers": []}', '{"shop": 3}', "no-such-file.json"])
def test_what_holds_no_servers_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="--mcp-config"):
        mcp_servers_of(text)
