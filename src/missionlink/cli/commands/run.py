"""``missionlink run``: one prompt, its answer on standard output."""

from __future__ import annotations

import asyncio
import contextlib
import math
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import click

from missionlink import Repository, Session, SessionOptions
from missionlink.cli.interrupts import run_interruptible
from missionlink.cli.login import explaining
from missionlink.cli.noninteractive import NonInteractiveHandlers
from missionlink.cli.outcome import EXIT_FAILED, EXIT_OK
from missionlink.cli.run_output import RunOutput, output_for
from missionlink.cli.session_source import SessionSource, provider_of
from missionlink.errors import InvalidOption, MissionlinkError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from missionlink import Turn, TurnResult

__all__ = ("run",)

_LAST_EVENTS_SECONDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arguments:
    """What the command line asked for."""

    prompt: str
    place: SessionSource
    options: SessionOptions
    timeout: float | None
    until: Literal["idle", "assistant_idle"]
    provider_options: Sequence[str]

    def resume_command(self, session_id: str) -> str | None:
        """Return the command that goes on with the session; one on a Mission Control of this command is gone."""
        if self.place.embedded:
            return None
        where = ["--cloud", str(self.place.cloud)] if self.place.cloud is not None else []
        return shlex.join(["missionlink", "run", *where, *self.provider_options, "--resume", session_id, "PROMPT"])


@click.command()
@click.argument("prompt")
@click.option("--cloud", metavar="OWNER/NAME[@BRANCH]", help="Run in a cloud session on this repository.")
@click.option("--embedded", is_flag=True, help="Run in a cloud session of a Mission Control inside this command.")
@click.option("--resume", metavar="ID", help="Go on with a stored session; with --cloud, a cloud one.")
@click.option("--model", help="Name of the model.")
@click.option("--provider-url", metavar="URL", help="A model server of your own that speaks OpenAI's protocol.")
@click.option("--provider-key-env", metavar="NAME", help="Environment variable with the key for --provider-url.")
@click.option("--allow-all", is_flag=True, help="Give every permission that the agent asks for.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds for the turn; then it is aborted."
)
@click.option(
    "--until",
    type=click.Choice(["idle", "assistant-idle"]),
    default="idle",
    show_default=True,
    help="When the turn ends: when nothing is left to do, background commands included, or when the agent has "
    "stopped talking.",
)
@click.option(
    "--clean-env", is_flag=True, help="Keep this shell's environment from the agent, but for PATH, HOME and the like."
)
@click.option("--runtime", metavar="PATH", help="The runtime's program, instead of searching for it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines: the events, then how it ended.")
def run(  # noqa: PLR0913 - one parameter for each option of the command line
    *,
    prompt: str,
    cloud: str | None,
    embedded: bool,
    resume: str | None,
    model: str | None,
    provider_url: str | None,
    provider_key_env: str | None,
    allow_all: bool,
    timeout: float | None,
    until: str,
    clean_env: bool,
    runtime: str | None,
    as_json: bool,
) -> int:
    """Send PROMPT to an agent and print its answer; "-" reads the prompt from standard input.

    Without --cloud or --embedded the session is a local one. Permissions and questions are asked at the terminal;
    where there is none, permissions are denied. Ctrl-C aborts the turn and leaves nothing running.

    Exit codes: 0 answered, 1 failed, 2 wrong arguments, 130 interrupted.
    """
    transcript = output_for(as_json=as_json)
    try:
        place = SessionSource(
            cloud=None if cloud is None else Repository.parse(cloud),
            embedded=embedded,
            resume=resume,
            runtime=runtime,
            key_variable=provider_key_env,
            clean_env=clean_env,
        )
        place.check()
        answers = NonInteractiveHandlers(transcript, allow_all=allow_all)
        options = SessionOptions(
            model=model,
            streaming=True,
            provider=provider_of(provider_url, provider_key_env),
            on_permission=answers.permission,
            on_user_input=answers.user_input if answers.can_prompt else None,
        )
        wanted = _Arguments(
            timeout=_finite(timeout),
            prompt=_read_prompt() if prompt == "-" else _checked(prompt),
            place=place,
            options=options,
            until="assistant_idle" if until == "assistant-idle" else "idle",
            provider_options=[
                word
                for option, value in (("--provider-url", provider_url), ("--provider-key-env", provider_key_env))
                if value is not None
                for word in (option, value)
            ],
        )
        result = run_interruptible(_run(wanted, transcript))
    except (Exception, KeyboardInterrupt) as error:
        transcript.failed(error)
        raise
    return EXIT_OK if result.status == "completed" else EXIT_FAILED


def _read_prompt() -> str:
    try:
        return _checked(sys.stdin.read())
    except UnicodeDecodeError as error:
        raise InvalidOption("PROMPT", f"standard input is no text: {error}") from error


def _finite(timeout: float | None) -> float | None:
    """Refuse, before anything is started, what is no time."""
    if timeout is not None and not math.isfinite(timeout):
        raise InvalidOption("--timeout", f"must be a number of seconds, not {timeout}; leave it out for no limit")
    return timeout


def _checked(prompt: str) -> str:
    """Refuse, before anything is started, what cannot be sent."""
    if not prompt.strip():
        raise InvalidOption("PROMPT", "must not be empty")
    if any("\ud800" <= one <= "\udfff" for one in prompt):
        raise InvalidOption("PROMPT", "is no text: it has bytes that are not UTF-8")
    return prompt


async def _run(wanted: _Arguments, transcript: RunOutput) -> TurnResult:
    async with contextlib.AsyncExitStack() as stack:
        client = await wanted.place.client(stack)
        async with explaining(client, has_provider=wanted.options.provider is not None):
            session = await stack.enter_async_context(wanted.place.open(client, wanted.options))
            transcript.opened(session)
            return await _turn(session, wanted, transcript)


async def _turn(session: Session, wanted: _Arguments, transcript: RunOutput) -> TurnResult:
    async with session.stream(wanted.prompt, until=wanted.until) as turn:
        showing = asyncio.create_task(_show(turn, transcript))
        ending = asyncio.create_task(turn.wait(timeout=wanted.timeout))
        try:
            # Who cannot be shown anything any more, as the pipe is closed, does not want the agent to go on.
            await asyncio.wait({showing, ending}, return_when=asyncio.FIRST_EXCEPTION)
            if showing.done():
                showing.result()
            result = await ending
            await showing
        except MissionlinkError:
            # The events that led to it: they end with the turn.
            await asyncio.wait({showing}, timeout=_LAST_EVENTS_SECONDS)
            raise
        finally:
            showing.cancel()
            ending.cancel()
    transcript.finished(result, wanted.resume_command(session.id))
    return result


async def _show(turn: Turn, transcript: RunOutput) -> None:
    # The turn's own error is raised where its result is awaited.
    with contextlib.suppress(MissionlinkError):
        async for event in turn:
            transcript.event(event)
