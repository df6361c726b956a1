"""What a start loads. Sets of modules, never milliseconds: those are in the benchmarks."""

import subprocess
import sys

import pytest

HEAVY = {
    "anyio", "asyncio", "click", "dbos", "email", "filelock", "http", "httpx2", "inspect", "json", "logging", "msgspec",
    "platformdirs", "pytest", "rich", "socket", "ssl", "starlette", "subprocess", "tempfile", "typing", "uvicorn",
}  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """The modules that a statement adds to those of a bare start."""
    script = f"import sys; before = set(sys.modules); {code}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=200)
    return set(done.stdout.split())


def test_import_missionlink_loads_missionlink_and_nothing_else():
    """L1."""
    loaded = loaded_by("import missionlink")
    assert {name for name in loaded if name.startswith("missionlink")} == {"missionlink"}
    assert not HEAVY & loaded


def test_importtime_shows_neither_asyncio_nor_msgspec():
    """L1: The promise as a reader would try it."""
    command = [sys.executable, "-X", "importtime", "-c", "import missionlink"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "missionlink" in names
    assert not {"asyncio", "msgspec", "anyio"} & names


@pytest.mark.parametrize(
    "name", ["missionlink.errors", "missionlink.runtime", "missionlink.cli", "missionlink.testing"]
)
def test_the_packages_for_occasions_load_neither_asyncio_nor_msgspec(name):
    assert not {"asyncio", "msgspec", "anyio", "click", "starlette"} & loaded_by(f"import {name}")


def test_the_client_loads_no_server_no_command_line_and_no_generated_namespace():
    """L1."""
    loaded = loaded_by("from missionlink import AsyncClient")
    assert "missionlink.client" in loaded
    assert not {f"missionlink.{name}" for name in ("mission_control", "cli", "testing", "fleet")} & loaded
    assert not {"starlette", "uvicorn", "click", "rich", "platformdirs", "filelock", "anyio"} & loaded
    assert not {name for name in loaded if name.startswith("missionlink.protocol.generated")}


def test_what_sessions_and_connections_are_made_of_is_loaded_while_the_runtime_boots():
    """L1: importing the client stays quick; the wait for the runtime is long enough for the rest."""
    loaded = loaded_by("from missionlink import AsyncClient")
    late = {"missionlink.session.core", "missionlink._io.connection", "missionlink.handlers.requests", "msgspec"}
    assert not (late | {"missionlink.options.session", "concurrent.futures.thread", "pathlib"}) & loaded


def test_every_name_of_the_root_can_be_loaded_first():
    """No name depends on another one having been imported before it."""
    import missionlink

    code = "import sys, importlib, missionlink\nfor name in missionlink.__all__: getattr(missionlink, name)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=200)
    for name in sorted(set(missionlink.__all__) - {"__version__"})[::6]:
        assert loaded_by(f"from missionlink import {name}")


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a POSIX one")
def test_a_runtime_is_started_before_what_it_need_not_wait_for_is_loaded():
    """L1: its boot is the time for the rest; nothing is searched for where a program is named."""
    program = """if True:
        import asyncio, sys
        from missionlink import AsyncClient, MissionlinkError
        known = set()
        def watch(event, arguments):
            if event == "subprocess.Popen":
                known.update(sys.modules)
        sys.addaudithook(watch)
        async def main():
            try:
                await AsyncClient(runtime="/bin/sh").start()
            except MissionlinkError:
                pass
        asyncio.run(main())
        assert "missionlink._io.process.child" in known
        for name in set(sys.modules) - known: del sys.modules[name]
    """
    loaded = loaded_by(f"exec({program!r})")
    assert "missionlink._io.process.child" in loaded
    from missionlink._client.bootstrap import _MODULES_OF_A_SESSION

    assert not {"missionlink." + name for name in _MODULES_OF_A_SESSION} & loaded
    assert not {"missionlink._io.connection", "missionlink._io.router", "msgspec"} & loaded
    assert not {"missionlink.runtime.location", "pathlib", "shutil", "tempfile"} & loaded


def test_what_a_first_turn_needs_is_loaded_behind_the_start_where_the_runtime_runs_already():
    """L1: the first event would wait for it, as it does not where the runtime has to boot."""
    program = """if True:
        import asyncio, sys
        from missionlink import AsyncClient
        from missionlink.testing import FakeRuntime
        def loaded():
            return any(name.startswith("missionlink.protocol.generated.events_assistant") for name in sys.modules)
        async def main():
            async with FakeRuntime() as fake:
                client = AsyncClient(transport=fake.transport())
                await client.start()
                assert not loaded(), "the start has waited for it"
                while not loaded():
                    await asyncio.sleep(0)
                await client.close()
        asyncio.run(asyncio.wait_for(main(), 60))
    """
    subprocess.run([sys.executable, "-c", f"exec({program!r})"], check=True, timeout=200)


def test_importing_the_client_compiles_no_pattern():
    """L1: a few patterns cost as much as all other code of these modules."""
    program = """if True:
        import asyncio, dataclasses, re
        compiled = []
        real = re._compiler.compile if hasattr(re, "_compiler") else re.sre_compile.compile
        def compile(pattern, flags=0):
            compiled.append(pattern)
            return real(pattern, flags)
        setattr(re._compiler if hasattr(re, "_compiler") else re.sre_compile, "compile", compile)
        import missionlink.client
        assert compiled == [], compiled
    """
    subprocess.run([sys.executable, "-c", f"exec({program!r})"], check=True, timeout=200)
