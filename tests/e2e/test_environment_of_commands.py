"""What the agent's commands can read of the program's secrets, on both real runtimes (contract G2)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient
from missionlink.testing import call, model_server, say

from .real_runtime import WAIT_S, within

if TYPE_CHECKING:
    from pathlib import Path

    from missionlink.testing import ModelServer

    from .real_runtime import RealRuntime

TOKEN = "ghp_0123456789abcdef"
CONNECTION_TOKEN = "connection-0123456789"
KEY = "a key of the program"


class Seen:
    """A command of the agent's that looks at its environment, and at that of the runtime."""

    def __init__(self, folder: Path) -> None:
        self._own, self._runtime = folder / "own", folder / "runtime"
        self.command = call(
            "bash",
            {"command": f"env -0 >{self._own}; cat /proc/$PPID/environ >{self._runtime}", "description": "look"},
        )

    @property
    def own(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self._own.read_text().split("\0") if "=" in entry)

    @property
    def runtime(self) -> str:
        return self._runtime.read_text()


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    return Seen(tmp_path)


def options_of(runtime: RealRuntime, folder: Path, model: ModelServer, **changes: Any) -> dict[str, Any]:
    """What a program of one's own would say, with the model in GitHub's place."""
    env = {
        "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"],
        "COPILOT_DISABLE_KEYTAR": "1",
        "HOME": str(folder),
        **model.environment(),
    }
    env.pop("COPILOT_SDK_AUTH_TOKEN", None)
    return {
        "runtime": runtime.program,
        "base_directory": folder / "copilot",
        "working_directory": folder,
        "start_timeout": WAIT_S,
        "env": env,
        **changes,
    }


def authorised(model: ModelServer) -> set[str | None]:
    return {request.headers.get("authorization") for request in model.requests}


@pytest.mark.parametrize("inherits", [True, False])
async def test_the_tokens_are_not_in_the_environment_of_commands(
    runtime: RealRuntime, tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch, inherits: bool
) -> None:
    """The runtime has them in its own; the program's own secrets are only inherited where that is wanted."""
    for name in ("MY_KEY", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, KEY)
    async with within(), model_server([seen.command, say("Done.")]) as model:
        given = options_of(runtime, tmp_path, model, channel="tcp", connection_token=CONNECTION_TOKEN)
        async with (
            AsyncClient(**given, github_token=TOKEN, inherit_env=inherits) as client,
            client.create_session(model=model.model, on_permission=lambda request: True) as session,
        ):
            assert (await session.run("Look.")).text == "Done."
        assert authorised(model) == {f"Bearer {TOKEN}"}
    assert not {TOKEN, CONNECTION_TOKEN} & set(seen.own.values())
    assert (KEY in seen.own.values()) is inherits
    assert {"PATH", "HOME"} <= set(seen.own)


async def test_the_token_of_a_session_is_in_no_environment(
    runtime: RealRuntime, tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the runtime's either, which a command can read; so it is of a resumed session."""
    for name in ("MY_KEY", "GITHUB_TOKEN", "GH_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, KEY)
    async with within(), model_server([say("Hello."), seen.command, say("Done.")]) as model:
        given = options_of(runtime, tmp_path, model, inherit_env=False, use_logged_in_user=False)
        async with AsyncClient(**given) as client:
            options: dict[str, Any] = {
                "model": model.model,
                "github_token": TOKEN,
                "on_permission": lambda request: True,
            }
            async with client.create_session(session_id="mine", **options) as session:
                assert (await session.run("Hello?")).text == "Hello."
            async with client.resume_session("mine", **options) as session:
                assert (await session.run("Look.")).text == "Done."
        assert authorised(model) == {f"Bearer {TOKEN}"}
    for environment in (str(seen.own), seen.runtime):
        assert KEY not in environment
        assert TOKEN not in environment
