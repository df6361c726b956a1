"""``missionlink chat``: a conversation with an agent at the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.util
import shlex
import signal
import sys
from typing import TYPE_CHECKING

import click

from missionlink import Repository, SessionOptions
from missionlink.cli.interrupts import run_interruptible
from missionlink.cli.logging import log_shown_by
from missionlink.cli.login import explaining
from missionlink.cli.output import dimmed
from missionlink.cli.session_source import SessionSource, mcp_servers_of, provider_of
from missionlink.errors import CloudNotStarted, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ("chat",)


@click.command()
@click.option("--cloud", metavar="OWNER/NAME[@BRANCH]", help="Talk in a cloud session on this repository.")
@click.option("--embedded", is_flag=True, help="Talk in a cloud session of a Mission Control inside this command.")
@click.option("--resume", metavar="ID", help="Go on with a stored session; with --cloud, a cloud one.")
@click.option("--model", help="Name of the model.")
@click.option("--provider-url", metavar="URL", help="A model server of your own that speaks OpenAI's protocol.")
@click.option("--provider-key-env", metavar="NAME", help="Environment variable with the key for --provider-url.")
@click.option("--mcp-config", metavar="FILE|JSON", help="MCP servers, in the form of the runtime's mcp-config.json.")
@click.option("--allow-all", is_flag=True, help="Give every permission that the agent asks for.")
@click.option(
    "--clean-env", is_flag=True, help="Keep this shell's environment from the agent, but for PATH, HOME and the like."
)
@click.option("--runtime", metavar="PATH", help="The runtime's program, instead of searching for it.")
def chat(  # noqa: PLR0913 - one parameter for each option of the command line
    *,
    cloud: str | None,
    embedded: bool,
    resume: str | None,
    model: str | None,
    provider_url: str | None,
    provider_key_env: str | None,
    mcp_config: str | None,
    allow_all: bool,
    clean_env: bool,
    runtime: str | None,
) -> int:
    """Talk with an agent at the terminal.

    What you type while the agent works steers it; in cloud sessions it waits. /help lists the commands. Ctrl-C cancels
    a form, else stops the agent; a second one, or one while the agent does nothing, leaves. For pipes and scripts there
    is "missionlink run".

    Exit codes: 0 left, 1 failed, 2 wrong arguments or no terminal, 130 interrupted before the session was open.
    """
    place = SessionSource(
        cloud=None if cloud is None else Repository.parse(cloud),
        embedded=embedded,
        resume=resume,
        runtime=runtime,
        key_variable=provider_key_env,
        clean_env=clean_env,
    )
    place.check()
    options = SessionOptions(
        model=model,
        streaming=True,
        provider=provider_of(provider_url, provider_key_env),
        mcp_servers=mcp_servers_of(mcp_config),
    )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("chat needs a terminal; in pipes and scripts use: missionlink run PROMPT")
    # Asked before anything is started.
    if importlib.util.find_spec("prompt_toolkit") is None or importlib.util.find_spec("rich") is None:
        raise MissingExtra("cli", "missionlink chat")
    words = ["missionlink", "chat"]
    for option, value in (
        ("--cloud", cloud),
        ("--model", model),
        ("--provider-url", provider_url),
        ("--provider-key-env", provider_key_env),
        ("--mcp-config", mcp_config),
        ("--runtime", runtime),
    ):
        words += [] if value is None else [option, value]
    words += ["--clean-env"] if clean_env else []
    _say("starting …")
    way_back = _WayBack(None if embedded else words)
    try:
        run_interruptible(_chat(place, options, way_back, allow_all=allow_all))
    except CloudNotStarted as error:
        # It may start yet.
        way_back.session_id = error.session_id or ""
        raise
    finally:
        # Also when the runtime or the connection was lost: the session is stored.
        if str(way_back):
            _say(f"go on with: {way_back}")
    return 0


def _say(text: str) -> None:
    click.echo(dimmed(text))


class _WayBack:
    """The command that resumes the session; empty where there is none, or not yet."""

    def __init__(self, words: list[str] | None) -> None:
        self._words = words
        self.session_id = ""

    def __str__(self) -> str:
        return shlex.join([*self._words, "--resume", self.session_id]) if self._words and self.session_id else ""


async def _chat(place: SessionSource, options: SessionOptions, way_back: _WayBack, *, allow_all: bool) -> None:
    from rich.text import Text

    from missionlink.cli.chat.app import ChatApp
    from missionlink.cli.chat.format import printable
    from missionlink.cli.chat.renderer import Renderer
    from missionlink.cli.chat.request_prompts import RequestPrompts
    from missionlink.cli.chat.terminal import Terminal

    picture = Renderer()
    screen = Terminal(picture.live)
    questions = RequestPrompts(screen.show, screen.ask, picture.watches.waiting, allow_all=allow_all)
    options = dataclasses.replace(
        options,
        on_permission=questions.permission,
        on_user_input=questions.user_input,
        on_elicitation=questions.form,
        on_exit_plan=questions.plan,
        on_auto_mode_switch=questions.model_switch,
    )
    async with contextlib.AsyncExitStack() as stack:
        client = await place.client(stack)
        async with explaining(client, has_provider=options.provider is not None):
            session = await stack.enter_async_context(place.open(client, options))
        way_back.session_id = session.id
        conversation = ChatApp(
            client,
            session,
            screen,
            picture,
            questions,
            way_back=str(way_back),
            has_provider=options.provider is not None,
        )
        screen.on_interrupt = conversation.interrupt
        where = f", {session.remote_url}" if session.remote_url else ""
        kind = "cloud session" if session.is_cloud else "session"
        await screen.show([Text(printable(f"{kind} {session.id}{where}; /help lists the commands"), style="dim")])

        def note(line: str) -> None:
            asyncio.run_coroutine_threadsafe(screen.show([Text(f"note: {line}", style="dim")]), loop)

        loop = asyncio.get_running_loop()
        with _left_in_order(screen.leave), log_shown_by(note):
            await conversation.run()


@contextlib.contextmanager
def _left_in_order(leave: Callable[[], None]) -> Generator[None, None, None]:
    """Let the signals that end a program leave the conversation, so that the terminal is as it was before."""
    loop = asyncio.get_running_loop()
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    added: list[signal.Signals] = []
    for number in numbers:
        with contextlib.suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(number, leave)
            added.append(number)
    try:
        yield
    finally:
        for number in added:
            loop.remove_signal_handler(number)
