"""Turns client options into a transport: the runtime's command line and its environment.

Source: the runtime's headless mode (``--headless``), which speaks JSON-RPC over stdio or TCP.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from missionlink.options.checks import check_token
from missionlink.options.client import parse_address
from missionlink.options.hiding import hidden_arguments, hidden_env, hidden_text
from missionlink.runtime.named import named_program

if TYPE_CHECKING:
    from missionlink._io.interfaces import Transport
    from missionlink.options.client import ClientOptions

__all__ = ("arguments", "environment", "transport_for")

# What programs need to run at all, and to find the user's files: none of these holds a secret. Proxies are not among
# them, whose addresses may hold a password.
_BASIC_VARIABLES = frozenset(
    """
    PATH HOME USER LOGNAME SHELL TERM LANG LANGUAGE TZ TMPDIR
    XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_RUNTIME_DIR
    SSL_CERT_FILE SSL_CERT_DIR NODE_EXTRA_CA_CERTS COPILOT_HOME
    SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT TEMP TMP USERNAME USERPROFILE HOMEDRIVE HOMEPATH APPDATA LOCALAPPDATA
    PROGRAMDATA PROGRAMFILES PROGRAMFILES(X86) COMMONPROGRAMFILES NUMBER_OF_PROCESSORS PROCESSOR_ARCHITECTURE OS
    """.split()
)
_BASIC_PREFIX = "LC_"

_TOKEN_VARIABLE = "COPILOT_SDK_AUTH_TOKEN"
_CONNECTION_TOKEN_VARIABLE = "COPILOT_CONNECTION_TOKEN"


def transport_for(options: ClientOptions) -> tuple[Transport, str | None]:
    """Return a transport that is not opened yet, and the connection token to present.

    Raises:
        RuntimeNotFound: No runtime is installed.
    """
    # Imported here: what is not needed would hold up the start of the runtime.
    if options.url is not None:
        from missionlink._io.tcp import TcpTransport

        return TcpTransport(*parse_address(options.url)), hidden_text(options.connection_token)
    argv = hidden_arguments((*_program(options), *arguments(options)))
    cwd = None if options.working_directory is None else os.fspath(options.working_directory)
    if options.channel == "stdio":
        from missionlink._io.stdio import StdioTransport

        return StdioTransport(argv, env=environment(options, None), cwd=cwd), None
    from missionlink._io.tcp import TcpServerTransport

    token = hidden_text(options.connection_token or os.urandom(24).hex())
    return TcpServerTransport(argv, env=environment(options, token), cwd=cwd), token


def _program(options: ClientOptions) -> tuple[str, ...]:
    """Return the words that start the runtime."""
    program = named_program(options.runtime, os.environ)
    if program is not None:
        return (program,)
    from missionlink.runtime import locate

    return locate(options.runtime).argv


def arguments(options: ClientOptions) -> tuple[str, ...]:
    """Return the runtime's arguments; secrets are never among them."""
    argv = ["--headless", "--no-auto-update", "--log-level", options.log_level]
    argv += ["--stdio"] if options.channel == "stdio" else ["--port", "0"]
    secret = [_CONNECTION_TOKEN_VARIABLE] if options.channel == "tcp" else []
    # The token's variable may also come with the caller's environment.
    if options.github_token is not None or _TOKEN_VARIABLE in _outer(options):
        argv += ["--auth-token-env", _TOKEN_VARIABLE]
        secret.append(_TOKEN_VARIABLE)
        uses_login = options.use_logged_in_user or False
    else:
        uses_login = options.use_logged_in_user is not False
    if not uses_login:
        argv.append("--no-auto-login")
    if secret:
        # The runtime keeps them out of the environment of the agent's commands and of MCP servers.
        argv.append(f"--secret-env-vars={','.join(secret)}")
    return (*argv, *options.runtime_args)


def environment(options: ClientOptions, connection_token: str | None) -> dict[str, str]:
    """Return the whole environment of the runtime."""
    env = dict(_outer(options))
    if options.github_token is not None:
        env[_TOKEN_VARIABLE] = options.github_token
    elif _TOKEN_VARIABLE in env:
        # Of this program's own environment: what is in ``env`` was looked at before.
        check_token(_TOKEN_VARIABLE, env[_TOKEN_VARIABLE])
    if options.base_directory is not None:
        env["COPILOT_HOME"] = os.fspath(options.base_directory)
    if connection_token is not None:
        env[_CONNECTION_TOKEN_VARIABLE] = connection_token
    return hidden_env(env)


def _outer(options: ClientOptions) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if options.inherit_env or name in _BASIC_VARIABLES or name.startswith(_BASIC_PREFIX)
    }
    return hidden_env({**inherited, **(options.env or {})})
