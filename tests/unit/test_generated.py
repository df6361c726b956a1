"""What the generator writes: up to date, of bounded size, complete, and loaded only when it is used."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from missionlink.protocol.generated.methods import METHODS, UNLIMITED, VERSIONS
from missionlink.protocol.generated.names import EVENTS, REQUESTS

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "src" / "missionlink" / "protocol" / "generated"
MODELS = {x: json.loads((ROOT / "schema" / f"{x}.json").read_text()) for x in VERSIONS}
CLASSIC = json.loads((ROOT / "schema" / "classic.json").read_text())
PACKAGE = "missionlink.protocol.generated"


def generated_after(code: str) -> set[str]:
    """The generated modules that are loaded once ``code`` has run in a fresh interpreter, tables too."""
    script = f"{code}\nimport sys\nprint(*(x for x in sys.modules if x.startswith({PACKAGE!r})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=200)
    return {name.removeprefix(PACKAGE).removeprefix(".") for name in done.stdout.split()} - {""}


def test_the_files_are_what_the_generator_makes() -> None:
    """T1: Contract: the output depends on the schemas alone, not on the order of a set: each run has another."""
    command = [sys.executable, "scripts/generate_protocol.py", "--check"]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONHASHSEED": "random"}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr


def test_no_generated_module_is_long() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in GENERATED.glob("*.py")}
    assert max(lengths.values()) <= 2000, lengths


@pytest.mark.parametrize("version", VERSIONS)
def test_no_reduced_schema_is_large_or_holds_sentences(version: str) -> None:
    """Contract: names and types are facts; the texts of others stay with them."""
    text = (ROOT / "schema" / f"{version}.json").read_text()
    assert len(text) < 2**20
    assert not [x for x in re.findall(r'"([^"]*)"', text) if x.count(" ") > 1]


def test_each_schema_is_pinned() -> None:
    pins = json.loads((ROOT / "schema" / "PINNED.json").read_text())
    assert set(pins) == set(VERSIONS) == set(MODELS)
    assert all(len(sum_) == 64 for pin in pins.values() for sum_ in pin["sha256"].values())


def test_all_events_of_both_runtimes_are_there() -> None:
    """T1."""
    counts = {version: len(model["events"]) for version, model in MODELS.items()}
    assert counts == {"1.0.102": 163, "1.0.60": 89}
    described = {wire for model in (*MODELS.values(), CLASSIC) for wire in model["events"]}
    assert EVENTS.keys() == described
    assert len(described) == 163 + len(CLASSIC["events"])
    assert len(set(EVENTS.values())) == len(EVENTS)


def test_all_methods_of_both_runtimes_are_there_on_their_side() -> None:
    """T1."""
    assert {version: len(model["methods"]) for version, model in MODELS.items()} == {"1.0.102": 619, "1.0.60": 237}
    for model in MODELS.values():
        for wire, method in model["methods"].items():
            side = REQUESTS if method["side"].startswith("client") else METHODS
            assert wire in side


# A client starts a runtime of its own, and a session of it, and somebody looks at the types of events only.
LIFE = """
import asyncio, os, pathlib, sys, tempfile
from missionlink import AsyncClient
from missionlink.testing import FakeRuntime

async def main(folder):
    async with FakeRuntime() as fake:
        program = pathlib.Path(folder, "runtime")
        await fake.command(program)
        async with AsyncClient(runtime=program) as client:
            async with client.create_session(streaming=True) as session:
                events = session.events("session.idle")
                await session.send("hello")
                assert (await anext(events)).type == "session.idle"

with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(folder))
"""


def test_the_tables_of_methods_name_known_methods() -> None:
    assert METHODS.keys() >= UNLIMITED
    assert {"session.send", "session.create", "account.login"} <= UNLIMITED


@pytest.mark.parametrize(
    "code",
    [
        "import missionlink",
        "from missionlink import AsyncClient; AsyncClient()",
        "import missionlink.protocol.index, missionlink.protocol.envelope",
        "import missionlink.session.session, missionlink.handlers, missionlink.options",
    ],
)
def test_nothing_generated_is_loaded_before_it_is_used(code: str) -> None:
    """L1."""
    assert generated_after(code) == set()


def test_the_facades_load_their_table_and_no_type() -> None:
    assert generated_after("import missionlink.events, missionlink.rpc") == {"public"}
    assert generated_after("from missionlink.events import Event; Event(type='assistant.message')") == {"public"}
    assert generated_after("import missionlink.protocol.compat") == set()
    assert generated_after("from missionlink.protocol.compat import Compat; Compat('1.0.60').methods()") == {"methods"}


def test_one_payload_loads_the_modules_of_its_family() -> None:
    """L1."""
    code = "from missionlink.protocol.index import payload_decoder; payload_decoder('user_input.requested')"
    assert generated_after(code) == {"names", "events_user_input"}


def test_one_namespace_loads_its_own_module() -> None:
    """L1."""
    loaded = generated_after("from missionlink.rpc import SessionRpc; SessionRpc(None, {}).name")
    assert "rpc_session_name" in loaded
    assert not {x for x in loaded if "rpc_client" in x or "rpc_session_mcp" in x or x.startswith("events_")}


def test_a_start_loads_the_types_of_a_turn_and_no_method() -> None:
    """The types of a turn are loaded on purpose, while a runtime of our own starts; see ``startup``."""
    deliberate = generated_after(f"import {PACKAGE}.events_assistant, {PACKAGE}.events_session")
    assert not {name for name in deliberate if name.startswith(("rpc_", "client_", "types_rpc_"))}
    # Some of them are left for later where the runtime was ready before.
    assert "events_assistant" in generated_after(LIFE)
    assert generated_after(LIFE) - {"names"} <= deliberate
