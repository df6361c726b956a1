"""``missionlink run``: one prompt, its answer on standard output."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from missionlink import AsyncClient, ClientOptions, Provider, Repository, Session, SessionOptions
from missionlink.cli.answers import Answers
from missionlink.cli.transcript import Transcript, transcript_for
from missionlink.errors import InvalidOption, MissionlinkError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from missionlink import Opening, Turn, TurnResult

__all__ = ("run",)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What the command line asked for."""

    prompt: str
    cloud: Repository | None
    embedded: bool
    resume: str | None
    model: str | None
    provider: Provider | None
    allow_all: bool
    timeout: float | None
    runtime: str | None
    provider_options: Sequence[str]

    def way_back(self, session_id: str) -> str | None:
        """Return the command that goes on with the session; one on a Mission Control of this command is gone."""
        if self.embedded:
            return None
        where = ["--cloud", str(self.cloud)] if self.cloud is not None else []
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
@click.option("--runtime", metavar="PATH", help="The runtime's program, instead of searching for it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines: each event, then the result.")
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
    runtime: str | None,
    as_json: bool,
) -> int:
    """Send PROMPT to an agent and print its answer; "-" reads the prompt from standard input.

    Without --cloud or --embedded the session is a local one. Permissions and questions are asked at the terminal;
    where there is none, permissions are denied. Ctrl-C aborts the turn and leaves nothing running.

    Exit codes: 0 answered, 1 failed, 2 wrong arguments, 130 interrupted.
    """
    wanted = _Wanted(
        prompt=sys.stdin.read() if prompt == "-" else prompt,
        cloud=None if cloud is None else Repository.parse(cloud),
        embedded=embedded,
        resume=resume,
        model=model,
        provider=_provider(provider_url, provider_key_env),
        allow_all=allow_all,
        timeout=timeout,
        runtime=runtime,
        provider_options=[
            word
            for option, value in (("--provider-url", provider_url), ("--provider-key-env", provider_key_env))
            if value is not None
            for word in (option, value)
        ],
    )
    if cloud is not None and embedded:
        raise click.UsageError("--cloud and --embedded exclude each other")
    if resume is not None and embedded:
        raise click.UsageError("--resume finds nothing with --embedded: its sessions end with the command")
    result = asyncio.run(_run(wanted, transcript_for(as_json=as_json)))
    return 0 if result.status == "completed" else 1


async def _run(wanted: _Wanted, transcript: Transcript) -> TurnResult:
    async with contextlib.AsyncExitStack() as stack:
        env: Mapping[str, str] | None = None
        if wanted.embedded:
            from missionlink.mission_control import serve

            control = await stack.enter_async_context(serve())
            env = control.environment()
        client = await stack.enter_async_context(AsyncClient(ClientOptions(runtime=wanted.runtime, env=env)))
        answers = Answers(transcript, allow_all=wanted.allow_all)
        session = await stack.enter_async_context(_open(client, wanted, answers))
        transcript.opened(session)
        return await _turn(session, wanted, transcript)


def _open(client: AsyncClient, wanted: _Wanted, answers: Answers) -> Opening:
    options = SessionOptions(
        model=wanted.model,
        streaming=True,
        provider=wanted.provider,
        on_permission=answers.permission,
        on_user_input=answers.question if answers.can_ask else None,
    )
    if wanted.cloud is not None or wanted.embedded:
        if wanted.resume is not None:
            return client.resume_cloud_session(wanted.resume, options)
        return client.create_cloud_session(wanted.cloud, options)
    if wanted.resume is not None:
        return client.resume_session(wanted.resume, options)
    return client.create_session(options)


async def _turn(session: Session, wanted: _Wanted, transcript: Transcript) -> TurnResult:
    async with session.stream(wanted.prompt) as turn:
        showing = asyncio.create_task(_show(turn, transcript))
        try:
            result = await turn.wait(timeout=wanted.timeout)
            await showing
        finally:
            showing.cancel()
    transcript.finished(result, wanted.way_back(session.id))
    return result


async def _show(turn: Turn, transcript: Transcript) -> None:
    # The turn's own error is raised where its result is awaited.
    with contextlib.suppress(MissionlinkError):
        async for event in turn:
            transcript.event(event)


def _provider(url: str | None, key_variable: str | None) -> Provider | None:
    import os

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
