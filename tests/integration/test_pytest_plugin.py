"""The fixtures, as users of plain pytest, of anyio's plugin and of neither get them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

INNER = """
import asyncio, sys, urllib.request, json
import pytest

def test_nothing_is_imported_until_a_fixture_is_used():
    loaded = [name for name in sys.modules if name.startswith("missionlink") or name == "msgspec"]
    assert set(loaded) <= {"missionlink", "missionlink.testing", "missionlink.testing.plugin"}, loaded

def ask(model):
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
    request = urllib.request.Request(model.url + "/chat/completions", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["choices"][0]["message"]["content"]

def test_a_model_without_an_event_loop(model_server):
    assert ask(model_server) == "You said: hi"

@pytest.mark.model_server(model="m")
def test_a_scripted_model(model_server):
    from missionlink.testing import say
    model_server.then(say("scripted"))
    assert ask(model_server) == "scripted"
    assert model_server.provider().model_id == "m"

def test_a_model_whose_script_was_not_followed(model_server):
    from missionlink.testing import say
    model_server.then(say("never"))

async def converse(fake):
    from missionlink.client import AsyncClient
    async with AsyncClient(transport=fake.transport()) as client:
        async with client.create_session() as session:
            return client.runtime_version, (await session.run("hi", timeout=10)).text

def test_a_runtime_under_asyncio_run(fake_runtime):
    assert asyncio.run(converse(fake_runtime)) == ("1.0.102", "You said: hi")

@pytest.mark.fake_runtime(family="1.0.60")
@pytest.mark.anyio
async def test_a_runtime_under_anyio(fake_runtime):
    assert await converse(fake_runtime) == ("1.0.60", "You said: hi")

def test_a_runtime_that_was_expected_to_be_asked(fake_runtime):
    fake_runtime.expect("session.create")

def test_a_failure_of_its_own_is_reported_once(fake_runtime, model_server):
    from missionlink.testing import say
    fake_runtime.expect("session.create")
    model_server.then(say("never"))
    assert False

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


@pytest.mark.parametrize("extra", [(), ("-p", "no:anyio")], ids=["with anyio's plugin", "without"])
def test_the_fixtures_work_under_each_way_to_run_async_tests(tmp_path: Path, extra: tuple[str, ...]) -> None:
    """Two tests fail in their tear-down, for what their scripts foresaw; one by itself, and only once."""
    (tmp_path / "test_inner.py").write_text(INNER)
    selected = ("-k", "not under_anyio") if extra else ()
    options = ("-q", "-rA", "-p", "no:randomly", "-p", "no:cacheprovider", "-W", "ignore")
    command = (sys.executable, "-m", "pytest", *options, *extra, *selected)
    environment = _environment()
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    passed = 6 if extra else 7
    deselected = ", 1 deselected" if extra else ""
    assert f"1 failed, {passed} passed{deselected}, 2 errors" in done.stdout, done.stdout + done.stderr
    assert "ERROR test_inner.py::test_a_model_whose_script_was_not_followed" in done.stdout
    assert "ERROR test_inner.py::test_a_runtime_that_was_expected_to_be_asked" in done.stdout


def _environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
