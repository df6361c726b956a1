"""``missionlink control``: a Mission Control on this machine."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from missionlink.cli.interrupts import run_interruptible
from missionlink.cli.sanitize import printable_line
from missionlink.errors import InvalidOption, MissingExtra, MissionControlStartFailed, StoreRefused
from missionlink.options.checks import check_token
from missionlink.options.loopback import LOOPBACK_HOSTS

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from missionlink.mission_control import MissionControl, SeenRequest, TaskStore

__all__ = ("control", "serve")

# 128 and the number of SIGTERM, as shells have it.
_TERMINATED = 143
_PORT_PATIENCE_S = 10.0
_PORT_PAUSE_S = 0.1


@click.group()
def control() -> None:
    """Run a Mission Control: cloud sessions without an account."""


@control.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Port; 0 takes a free one."
)
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the token that clients must send.")
@click.option("--token-env", metavar="NAME", help="Environment variable with the token that clients must send.")
@click.option("--dev", is_flag=True, help="Development mode: accept any token; only for this machine.")
@click.option(
    "--database",
    envvar="MISSIONLINK_DATABASE",
    show_envvar=True,
    metavar="FILE|URL|memory",
    help="Where the tasks are: an SQLite file (by default one in the user's folder for state), the URL of a PostgreSQL "
    "database (postgresql://USER@HOST/NAME), or 'memory', which keeps nothing.",
)
@click.option(
    "--standby", is_flag=True, help="Wait while another Mission Control uses the database, and take over then."
)
@click.option(
    "--lease",
    type=click.FloatRange(min=1),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="Time after which one that stands by takes a PostgreSQL database over from one that has frozen.",
)
@click.option("-v", "--verbose", is_flag=True, help="Print a line for each request, to standard error.")
def serve(  # noqa: PLR0913 - one parameter for each option of the command line
    *,
    host: str,
    port: int,
    token_file: Path | None,
    token_env: str | None,
    dev: bool,
    database: str | None,
    standby: bool,
    lease: float,
    verbose: bool,
) -> int:
    """Serve cloud sessions with a scripted worker until Ctrl-C.

    Prints the environment variables that make a runtime use it, in the form that a shell reads. Prompts are
    echoed; some commands in a prompt play the flows of a real agent, and the prompt "/help" lists them.

    Tasks are in a database and survive this command, however it ends: the next one continues them, and clients
    that went on asking at the same address see nothing of it but a pause. A password of a URL belongs into the
    variable: what is typed here can be read by other users of this machine.
    With --dev only requests to this machine's own names are answered, and none of a web page.

    Exit code: 130 after Ctrl-C, 143 after SIGTERM; both leave nothing running.
    """
    chosen = [token_file is not None, token_env is not None, dev]
    if sum(chosen) != 1:
        raise click.UsageError("give one of --token-file, --token-env and --dev (any token, this machine only)")
    token = None if dev else _read_token(token_file, token_env)
    place = _default_database() if database is None else database
    run_interruptible(_serve(host, port, token, place, standby=standby, lease_s=lease, verbose=verbose))
    return _TERMINATED


def _read_token(file: Path | None, variable: str | None) -> str:
    if file is not None:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise InvalidOption("--token-file", f"{str(file)!r} cannot be read: {error}") from error
        if not token:
            raise InvalidOption("--token-file", f"{str(file)!r} is empty; write the token into it")
        check_token("--token-file", token)
        return token
    token = os.environ.get(variable or "", "").strip()
    if not token:
        raise InvalidOption("--token-env", f"the environment variable {variable!r} is not set, or empty")
    check_token("--token-env", token)
    return token


def _default_database() -> str:
    try:
        import platformdirs
    except ImportError as error:
        raise MissingExtra("control", "the user's folder for state (or give --database)") from error
    return str(platformdirs.user_state_path("missionlink") / "control.db")


async def _serve(
    host: str, port: int, token: str | None, database: str, *, standby: bool, lease_s: float, verbose: bool
) -> None:
    from missionlink.mission_control import MemoryStore, open_store
    from missionlink.mission_control import serve as serve_mission_control

    terminated = asyncio.Event()
    with suppress(NotImplementedError):  # Windows has no SIGTERM to wait for
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    seen = _print_request if verbose else _ignore_request
    async with AsyncExitStack() as stack:
        lost = asyncio.Event()

        def lose() -> None:
            lost.set()
            terminated.set()

        store: TaskStore | None = MemoryStore()
        if database != "memory":
            opening = open_store(database, standby=standby, lease_s=lease_s, on_lost=lose)
            store = await _until_terminated(stack.enter_async_context(opening), terminated)
            if store is None:
                return
        # The one that was replaced on this machine may need a moment to leave the port.
        patience = asyncio.get_running_loop().time() + (_PORT_PATIENCE_S if standby else 0.0)
        while True:
            try:
                starting = serve_mission_control(host, port, token=token, store=store, on_request=seen)
                running = await stack.enter_async_context(starting)
                break
            except MissionControlStartFailed:
                if asyncio.get_running_loop().time() >= patience:
                    raise
            await asyncio.sleep(_PORT_PAUSE_S)
        _print_environment(running, has_token=token is not None)
        await terminated.wait()
        if lost.is_set():
            raise StoreRefused("the database", "another Mission Control has taken it over; this one ends")


async def _until_terminated(opening: Awaitable[TaskStore], terminated: asyncio.Event) -> TaskStore | None:
    """Open a store, which may take long on standby; ``None`` when SIGTERM came first."""
    waiting = asyncio.ensure_future(terminated.wait())
    working = asyncio.ensure_future(opening)
    try:
        await asyncio.wait({waiting, working}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for one in (waiting, working):
            one.cancel()
        await asyncio.wait({waiting, working})


def _print_environment(running: MissionControl, *, has_token: bool) -> None:
    click.echo(f"# Mission Control listens on {running.url} (Ctrl-C stops it). In another shell:")
    for name, value in running.environment().items():
        if name == "COPILOT_SDK_AUTH_TOKEN" and has_token:
            click.echo(f"# export {name}=...  (the token)")
        elif name in {"NO_PROXY", "no_proxy"}:
            # The other shell may have exceptions of its own.
            hosts = ",".join(LOOPBACK_HOSTS)
            click.echo(f'export {name}="{hosts}${{{name}:+,${name}}}"')
        else:
            click.echo(f"export {name}={shlex.quote(value)}")


def _print_request(request: SeenRequest) -> None:
    milliseconds = request.seconds * 1000
    line = printable_line(f"{request.method} {request.path}")
    click.echo(f"{line} {request.status} {milliseconds:.0f} ms", err=True)


def _ignore_request(request: SeenRequest) -> None:
    """Print nothing: ``--verbose`` was not given."""
