"""The command line as a program sees it: output, errors and exit codes."""

import json
import os
import subprocess
import sys

import click
import pytest

from missionlink import __version__, errors
from missionlink.cli import main
from missionlink.cli.commands.runtime import runtime as runtime_command
from missionlink.cli.group import COMMANDS, root
from missionlink.runtime import RELEASES
from missionlink.runtime.cache import program_files, release_folder
from missionlink.runtime.releases import platform_key

SLOW_MODULES = {"asyncio", "msgspec", "anyio", "rich", "starlette", "uvicorn", "ssl", "missionlink.runtime.location"}


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine without a runtime, a token or npm."""
    for name in [*os.environ]:
        if name.startswith(("MISSIONLINK_", "COPILOT_", "GH_", "GITHUB_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MISSIONLINK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def install_by_hand(tmp_path, release):
    files = program_files(release_folder(tmp_path / "cache", release, platform_key()), release, platform_key())
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text(f"#!/bin/sh\necho {release.version}\n")
        file.chmod(0o755)
    return files


def loaded_by(*arguments: str) -> tuple[set[str], str]:
    code = f"""
import sys
from missionlink.cli import main
code = main({list(arguments)!r})
sys.stderr.write("\\n".join(sys.modules))
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=200)
    return set(done.stderr.split()), done.stdout


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("--version",), ("runtime", "--help")])
def test_help_loads_nothing_that_takes_time(arguments):
    loaded, shown = loaded_by(*arguments)
    assert "click" in loaded
    assert not SLOW_MODULES & loaded
    assert shown


def test_help_of_the_whole_imports_no_command():
    loaded, shown = loaded_by("--help")
    assert not [name for name in loaded if name.startswith("missionlink.cli.commands.")]
    for name, (_, text) in COMMANDS.items():
        assert name in shown
        assert text in shown


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_in_the_table_is_there_and_the_list_says_in_one_line_what_it_is(name):
    command = root.get_command(click.Context(root), name)
    assert command is not None
    assert command.name == name
    assert command.help
    assert 0 < len(COMMANDS[name][1]) <= 60


def test_python_dash_m_is_the_same_program():
    done = subprocess.run(
        [sys.executable, "-m", "missionlink", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"missionlink {__version__}\n"


def test_without_click_one_line_says_what_to_install():
    code = "import sys; sys.modules['click'] = None; from missionlink.cli import main; sys.exit(main(['--help']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: the command line needs optional packages: pip install 'missionlink[cli]'"
    ]


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["runtime", "path", "--nonsense"], ["runtime", "install", "a", "b"]]
)
def test_wrong_arguments_end_with_2(capsys, arguments):
    assert main(arguments) == 2
    assert "Usage:" in capsys.readouterr().err


def test_a_wrong_version_ends_with_2_and_one_line(capsys):
    assert main(["runtime", "install", "0.0.1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: version: '0.0.1'")


def test_a_missing_runtime_ends_with_1_and_one_line(capsys):
    assert main(["runtime", "path"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("error: ")
    assert "missionlink runtime install" in line


def test_debug_shows_where_the_error_came_from(capsys):
    assert main(["--debug", "runtime", "path"]) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    ("raised", "code"),
    [(KeyboardInterrupt(), 130), (EOFError(), 1), (errors.ConnectionClosed("gone"), 1), (click.Abort(), 1)],
)
def test_how_a_command_ends_is_told_by_the_exit_code(monkeypatch, capsys, raised, code):
    def fail() -> None:
        raise raised

    monkeypatch.setattr(runtime_command.commands["list"], "callback", lambda **_: fail())
    assert main(["runtime", "list"]) == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="programs are shell scripts")
def test_list_and_path_show_what_is_installed(tmp_path, capsys):
    files = install_by_hand(tmp_path, RELEASES[-1])
    assert main(["runtime", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [release.version for release in RELEASES]
    assert lines[1].split()[-1] == "no"
    assert lines[-1].endswith(str(files[-1]))

    assert main(["runtime", "path"]) == 0
    assert capsys.readouterr().out.split() == [str(file) for file in files]
    assert main(["runtime", "path", "oldest", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == RELEASES[-1].version
    assert main(["runtime", "list", "--json"]) == 0
    assert [bool(one["installed"]) for one in json.loads(capsys.readouterr().out)] == [False, True]
    assert main(["runtime", "path", "newest"]) == 1
    assert f"missionlink runtime install {RELEASES[0].version}" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="programs are shell scripts")
def test_doctor_is_well_when_a_runtime_answers_and_says_what_to_type_when_not(tmp_path, capsys, monkeypatch):
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "!!  runtime" in shown
    assert "missionlink runtime install" in shown.split("To type:")[1]

    monkeypatch.setenv("GH_TOKEN", "gho_very-secret")
    files = install_by_hand(tmp_path, RELEASES[0])
    assert main(["doctor", "--json"]) == 0
    shown = capsys.readouterr().out
    told = json.loads(shown)
    facts = {one["topic"]: one["facts"] for one in told["findings"]}
    assert told["ok"] is True
    assert facts["runtime"]["version"] == RELEASES[0].version
    assert facts["token"] == {"variable": "GH_TOKEN"}
    assert "very-secret" not in shown

    files[-1].write_text("#!/bin/sh\nexit 3\n")
    assert main(["doctor"]) == 1
    assert "--force" in capsys.readouterr().out
