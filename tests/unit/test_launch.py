"""The runtime's command line and environment (contracts C4, G2)."""

from __future__ import annotations

import os
import pathlib

import pytest

from missionlink._client import launch
from missionlink._io.stdio import StdioTransport
from missionlink._io.tcp import TcpServerTransport, TcpTransport
from missionlink.options.client import ClientOptions

SECRET = "s3cr3t-value"
TOKEN_VARIABLE = "COPILOT_SDK_AUTH_TOKEN"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch):
    for name in (TOKEN_VARIABLE, "COPILOT_CONNECTION_TOKEN", "COPILOT_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def program(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "runtime"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def _after(arguments: tuple[str, ...], flag: str) -> str:
    return arguments[arguments.index(flag) + 1]


def test_a_runtime_is_started_headless_and_never_updates_itself():
    """protocol 1."""
    arguments = launch.arguments(ClientOptions())
    assert "--headless" in arguments
    assert "--no-auto-update" in arguments
    assert _after(arguments, "--log-level") == "none"
    assert "--stdio" in arguments
    assert "--port" not in arguments


def test_a_tcp_runtime_chooses_its_port_itself():
    arguments = launch.arguments(ClientOptions(channel="tcp"))
    assert _after(arguments, "--port") == "0"
    assert "--stdio" not in arguments


def test_further_arguments_come_last():
    """They can override ours."""
    arguments = launch.arguments(ClientOptions(runtime_args=["--log-level", "debug"]))
    assert arguments[-2:] == ("--log-level", "debug")


@pytest.mark.parametrize(
    ("options", "has_token", "may_log_in"),
    [
        (ClientOptions(), False, True),
        (ClientOptions(use_logged_in_user=True), False, True),
        (ClientOptions(use_logged_in_user=False), False, False),
        (ClientOptions(github_token=SECRET), True, False),
        (ClientOptions(github_token=SECRET, use_logged_in_user=True), True, True),
        (ClientOptions(github_token=SECRET, use_logged_in_user=False), True, False),
        (ClientOptions(env={TOKEN_VARIABLE: SECRET}), True, False),
    ],
)
def test_stored_credentials_are_used_only_where_there_is_no_token(
    options: ClientOptions, has_token: bool, may_log_in: bool
):
    arguments = launch.arguments(options)
    assert ("--auth-token-env" in arguments) is has_token
    assert ("--no-auto-login" not in arguments) is may_log_in
    if has_token:
        assert _after(arguments, "--auth-token-env") == TOKEN_VARIABLE
        assert launch.environment(options, None)[TOKEN_VARIABLE] == SECRET


def test_secrets_travel_by_environment_and_never_by_argument(program: str):
    """G2: arguments can be read by every user of the machine."""
    options = ClientOptions(runtime=program, channel="tcp", github_token=SECRET, connection_token=SECRET + "-2")
    assert not any(SECRET in argument for argument in launch.arguments(options))
    transport, token = launch.transport_for(options)
    assert token == SECRET + "-2"
    environment = launch.environment(options, token)
    assert environment[TOKEN_VARIABLE] == SECRET
    assert environment["COPILOT_CONNECTION_TOKEN"] == SECRET + "-2"
    assert SECRET not in repr(transport)
    assert SECRET not in repr(options)


def test_the_environment_is_ours_with_the_options_on_top(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("CHANGED", "old")
    environment = launch.environment(ClientOptions(env={"CHANGED": "new", "ADDED": "2"}), None)
    assert (environment["KEPT"], environment["CHANGED"], environment["ADDED"]) == ("1", "new", "2")


def test_an_environment_that_is_not_inherited_holds_what_every_program_needs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """G2: the agent's commands can read it, so nothing that may be a secret is in it."""
    needed = {"PATH": "/bin", "HOME": "/home/me", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "LC_TIME": "de", "TZ": "UTC"}
    secret = ("MY_KEY", "OPENAI_API_KEY", "GITHUB_TOKEN", "GH_TOKEN", "HTTPS_PROXY", "AWS_PROFILE", TOKEN_VARIABLE)
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in {**needed, **dict.fromkeys(secret, SECRET)}.items():
        monkeypatch.setenv(name, value)
    options = ClientOptions(inherit_env=False, env={"A": "b", "TZ": "CET"}, base_directory=tmp_path)
    wanted = {**needed, "A": "b", "TZ": "CET", "COPILOT_HOME": str(tmp_path)}
    assert launch.environment(options, None) == wanted


def test_the_tokens_are_kept_out_of_the_environment_of_commands():
    """G2: the one for GitHub, and the one with which a command could speak to the runtime itself."""

    def hidden(options: ClientOptions) -> set[str]:
        flags = [word for word in launch.arguments(options) if word.startswith("--secret-env-vars=")]
        return set(flags[0].partition("=")[2].split(",")) if flags else set()

    assert hidden(ClientOptions()) == set()
    assert hidden(ClientOptions(github_token=SECRET)) == {TOKEN_VARIABLE}
    assert hidden(ClientOptions(env={TOKEN_VARIABLE: SECRET})) == {TOKEN_VARIABLE}
    assert hidden(ClientOptions(channel="tcp")) == {"COPILOT_CONNECTION_TOKEN"}
    both = {TOKEN_VARIABLE, "COPILOT_CONNECTION_TOKEN"}
    assert hidden(ClientOptions(channel="tcp", github_token=SECRET)) == both


def test_without_an_inherited_environment_its_token_is_not_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(TOKEN_VARIABLE, SECRET)
    assert "--auth-token-env" in launch.arguments(ClientOptions())
    assert "--auth-token-env" not in launch.arguments(ClientOptions(inherit_env=False))


def test_the_transport_follows_from_the_options(program: str):
    stdio, token = launch.transport_for(ClientOptions(runtime=program))
    assert isinstance(stdio, StdioTransport)
    assert token is None
    server, token = launch.transport_for(ClientOptions(runtime=program, channel="tcp"))
    assert isinstance(server, TcpServerTransport)
    assert token is not None
    remote, token = launch.transport_for(ClientOptions(url="localhost:1", connection_token="t"))
    assert isinstance(remote, TcpTransport)
    assert token == "t"


def test_every_started_server_has_a_connection_token_of_its_own(program: str):
    """G2: a server on loopback is open to every user of the machine."""
    options = ClientOptions(runtime=program, channel="tcp")
    tokens = {launch.transport_for(options)[1] for _ in range(3)}
    assert len(tokens) == 3
    assert all(token is not None and len(token) >= 24 for token in tokens)
