"""Programs that die in the middle of what they say, with secrets on their lips."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from missionlink import AsyncClient
from missionlink.errors import ConnectionLost, MissionlinkError, RuntimeStartFailed
from missionlink.options.client import ClientOptions

from .runtime import pack
from .watch import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

HELLO = pack({"id": 1, "result": {"ok": True, "protocolVersion": 3, "version": "1.0.102"}})
TOKEN = "ghp_a0b1c2d3e4f5a6b7c8d9"
SAYS = """#!{python}
import os, sys
sys.stdin.buffer.read1(1)
sys.stdout.buffer.write({data!r})
sys.stdout.buffer.flush()
sys.stderr.buffer.write(b"\\xff noise\\n" * 100000)
sys.stderr.write("dying with " + os.environ["COPILOT_SDK_AUTH_TOKEN"] + " and " + os.environ["MY_API_KEY"])
sys.stderr.flush()
{end}
"""


@pytest.mark.parametrize(("end", "code"), [("os._exit(7)", 7), ("os.kill(os.getpid(), 9)", -9)])
@pytest.mark.parametrize("count", [0, 1, 20, 40, len(HELLO) - 1, len(HELLO), len(HELLO) + 10])
async def test_a_program_that_dies_is_reported_with_its_status_and_without_secrets(
    tmp_path: Path, count: int, end: str, code: int
) -> None:
    """C2, C4, C5, G2."""
    program = tmp_path / "dies"
    data = (HELLO + HELLO)[:count]
    program.write_text(SAYS.format(python=sys.executable, data=data, end=end))
    program.chmod(0o700)
    options = ClientOptions(runtime=str(program), github_token=TOKEN, env={"MY_API_KEY": TOKEN[::-1]})
    client = AsyncClient(options)
    async with asyncio.timeout(PATIENCE_S * 3):
        error: MissionlinkError
        try:
            await client.start()
        except RuntimeStartFailed as failure:
            assert count < len(HELLO)
            error = failure
        else:
            assert count >= len(HELLO)
            error = await client.wait_closed()
            assert isinstance(error, ConnectionLost)
        await client.close()
    assert isinstance(error, ConnectionLost | RuntimeStartFailed)
    assert error.exit_code == code
    assert "dying with *** and ***" in error.stderr
    assert len(error.stderr) <= 16 * 1024
    for text in (str(error), repr(error), repr(vars(error)), repr(error.__cause__), repr(client)):
        assert TOKEN not in text
        assert TOKEN[::-1] not in text
