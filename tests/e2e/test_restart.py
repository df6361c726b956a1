"""A lost runtime is started again, and what it has stored comes back."""

import os
import shlex
import signal

import pytest

from missionlink import AsyncClient, ClientOptions, Provider
from missionlink.errors import ConnectionClosed, ConnectionLost, InvalidOption
from missionlink.testing import FakeRuntime, model_server

from .real_runtime import WAIT_S

pytestmark = pytest.mark.anyio


async def test_a_killed_runtime_is_started_again_and_its_session_resumed(tmp_path):
    """C7."""
    command = os.environ.get("MISSIONLINK_TEST_RUNTIME_N")
    assert command, "no runtime to test with; run these tests with 'make test'"
    (program,) = shlex.split(command)
    options = ClientOptions(runtime=program, base_directory=tmp_path, start_timeout=WAIT_S)
    async with model_server() as model, AsyncClient(options) as client:
        provider = Provider(base_url=model.url, api_key="key")
        session = await client.create_session(provider=provider)
        await session.run("remember this", timeout=WAIT_S)
        turn = await session.send("/and this")
        assert client.pid is not None
        os.kill(client.pid, signal.SIGKILL)
        lost = await client.wait_closed()
        assert isinstance(lost, ConnectionLost)
        assert lost.exit_code == -signal.SIGKILL
        with pytest.raises(ConnectionLost):
            await turn
        await client.restart()
        assert client.state == "running"
        again = await client.resume_session(session.id, provider=provider)
        assert any("remember this" in str(event.data) for event in await again.history())
        assert (await again.run("and go on", timeout=WAIT_S)).text == "You said: and go on"


async def test_what_cannot_be_restarted_says_so():
    client = AsyncClient(transport=FakeRuntime().transport())
    with pytest.raises(InvalidOption, match="transport"):
        await client.restart()
    with pytest.raises(ConnectionClosed, match="new"):
        await AsyncClient().restart()
