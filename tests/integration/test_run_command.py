"""``missionlink run`` as a process, on the fake runtime: what it prints, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from missionlink.testing import FakeRuntime, SystemClock, fail, forever, say, stall

if TYPE_CHECKING:
    from missionlink.testing import TurnRequest
    from missionlink.testing.scripted_model.replies import AnyReply

_WAIT_S = 240


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """The fake runtime as a program."""
    program = tmp_path / "runtime"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m missionlink.testing "$@"\n')
    program.chmod(0o700)
    return program


def start(runtime: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the command with pipes, as a script does."""
    return subprocess.Popen(
        [sys.executable, "-m", "missionlink", "run", "--runtime", str(runtime), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def ended(process: subprocess.Popen[str], text: str | None = None) -> tuple[int, str, str]:
    """Wait for its end; return its exit code and what it printed."""
    output, errors = process.communicate(text, timeout=_WAIT_S)
    return process.returncode, output, errors


def test_the_answer_goes_to_standard_output_and_all_else_to_standard_error(runtime: Path) -> None:
    code, output, errors = ended(start(runtime, "say it"))
    assert (code, output) == (0, "You said: say it\n")
    assert "completed" in errors


def test_the_prompt_can_come_from_standard_input(runtime: Path) -> None:
    assert ended(start(runtime, "-"), "from a pipe")[:2] == (0, "You said: from a pipe\n")


def test_json_lines_are_the_events_and_the_result(runtime: Path) -> None:
    code, output, _ = ended(start(runtime, "--json", "say it"))
    documents = [json.loads(line) for line in output.splitlines()]
    assert code == 0
    assert documents[-1]["result"]["text"] == "You said: say it"
    assert "session.idle" in [document["event"]["type"] for document in documents if "event" in document]


def result_of(output: str) -> dict[str, Any]:
    """The terminal line of JSON lines: there is one, and it is the last."""
    documents = [json.loads(line) for line in output.splitlines()]
    assert [list(one) for one in documents].count(["result"]) == 1
    result: dict[str, Any] = documents[-1]["result"]
    assert list(result) == ["format", "status", "exitCode", "sessionId", "text", "usage", "error"]
    assert result["format"] == 1
    error = result["error"]
    assert error is None or list(error) == ["kind", "type", "message", "canRetry", "statusCode"]
    assert error is None or (error["message"] and "\n" not in error["message"])
    return result


async def json_of_a_turn(folder: Path, turns: Any, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run one prompt on a fake runtime; return the exit code and the terminal line."""
    async with FakeRuntime(turns=turns) as fake:
        (runtime,) = await fake.command(folder / "runtime")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "missionlink", "run", "--runtime", runtime, "--json", *arguments, "hello"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(_WAIT_S):
            output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, result_of(output.decode())


async def test_json_lines_of_an_answer_end_with_it(tmp_path: Path) -> None:
    code, result = await json_of_a_turn(tmp_path, [say("the answer")])
    assert (code, result["exitCode"], result["status"], result["text"]) == (0, 0, "completed", "the answer")
    assert result["error"] is None
    assert result["sessionId"]
    assert list(result["usage"]) == ["inputTokens", "outputTokens"]


async def test_json_lines_of_a_failed_turn_end_with_its_error(tmp_path: Path) -> None:
    code, result = await json_of_a_turn(tmp_path, [fail(429, "Too many requests")])
    assert (code, result["exitCode"], result["status"]) == (1, 1, "failed")
    error = result["error"]
    assert (error["kind"], error["type"], error["canRetry"], error["statusCode"]) == ("turn", "TurnFailed", True, 429)
    assert "Too many requests" in error["message"]


async def test_json_lines_of_an_aborted_turn_end_with_that(tmp_path: Path) -> None:
    def turns(request: TurnRequest) -> AnyReply:
        asyncio.get_running_loop().call_soon(fake_abort, request)
        return say("half") + stall()

    async with FakeRuntime(turns=turns) as fake:

        def fake_abort(request: TurnRequest) -> None:
            fake.emit(request.session_id, "abort", {"reason": "user_initiated"})
            fake.emit(request.session_id, "session.idle", {})

        (runtime,) = await fake.command(tmp_path / "runtime")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "missionlink", "run", "--runtime", runtime, "--json", "hello"),
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(_WAIT_S):
            output, _ = await process.communicate()
    result = result_of(output.decode())
    assert (process.returncode, result["exitCode"], result["status"]) == (1, 1, "aborted")
    assert result["error"] is None


async def test_json_lines_of_a_turn_that_takes_too_long_end_with_that(tmp_path: Path) -> None:
    code, result = await json_of_a_turn(tmp_path, [say("half") + stall()], "--timeout", "0.5")
    assert (code, result["exitCode"], result["status"]) == (1, 1, "timeout")
    assert (result["error"]["kind"], result["error"]["type"]) == ("timeout", "TurnTimeout")


def test_json_lines_of_a_start_that_fails_end_with_that(tmp_path: Path) -> None:
    program = tmp_path / "runtime"
    program.write_text("#!/bin/sh\necho 'error: no such module' >&2\nexit 3\n")
    program.chmod(0o700)
    for runtime, kind in ((program, "RuntimeStartFailed"), (tmp_path / "nothing", "RuntimeNotFound")):
        code, output, _ = ended(start(runtime, "--json", "hello"))
        result = result_of(output)
        assert (code, result["exitCode"], result["status"], result["sessionId"]) == (1, 1, "failed", None)
        assert (result["error"]["kind"], result["error"]["type"]) == ("start", kind)


async def test_json_lines_of_a_lost_runtime_end_with_that(tmp_path: Path) -> None:
    async with FakeRuntime(turns=[say("thinking about it") + stall()]) as fake:
        (runtime,) = await fake.command(tmp_path / "runtime")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "missionlink", "run", "--runtime", runtime, "--json", "hello"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(_WAIT_S):
            lines = b""
            while b"assistant.message_delta" not in lines:
                lines += await process.stdout.readline()
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            lines += await process.stdout.read()
            code = await process.wait()
    result = result_of(lines.decode())
    assert (code, result["status"], result["error"]["kind"]) == (1, "failed", "connection")
    assert result["sessionId"]


@pytest.mark.parametrize(
    ("arguments", "problem"), [(["--cloud", "nonsense", "hello"], "owner/name@branch"), ([" "], "must not be empty")]
)
def test_json_lines_of_wrong_arguments_end_with_that(runtime: Path, arguments: list[str], problem: str) -> None:
    code, output, _ = ended(start(runtime, "--json", *arguments))
    result = result_of(output)
    assert (code, result["exitCode"], result["status"], result["error"]["kind"]) == (2, 2, "failed", "usage")
    assert problem in result["error"]["message"]


async def test_an_error_of_a_turn_is_printed_once(tmp_path: Path) -> None:
    async with FakeRuntime(turns=[fail(429, "Too many requests")]) as fake:
        (runtime,) = await fake.command(tmp_path / "runtime")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "missionlink", "run", "--runtime", runtime, "hello"), stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(_WAIT_S):
            _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.count(b"Too many requests") == 1


def test_the_end_tells_the_command_that_goes_on(runtime: Path) -> None:
    _, _, errors = ended(start(runtime, "--provider-url", "http://127.0.0.1:9/v1", "say it"))
    words = shlex.split(errors.rpartition("go on with: ")[2])
    assert words[:4] == ["missionlink", "run", "--provider-url", "http://127.0.0.1:9/v1"]
    assert words[4] == "--resume"
    assert words[-1] == "PROMPT"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--cloud", "octo/hello", "--embedded"], "exclude each other"),
        (["--embedded", "--resume", "s"], "--resume finds nothing with --embedded"),
        (["--provider-key-env", "KEY"], "needs --provider-url"),
        (["--timeout", "0"], "--timeout"),
        (["--timeout", "nan"], "error: --timeout: must be a number of seconds"),
        (["--timeout", "inf"], "error: --timeout: must be a number of seconds"),
        (["--provider-url", "nonsense"], "error: --provider-url: must begin with"),
        (["--resume", ""], "error: --resume: must be a text"),
        (["--model", ""], "error: --model: must not be empty"),
        (["--runtime", ""], "error: --runtime: '' cannot be a path"),
        (["--cloud", "nonsense"], "owner/name@branch"),
    ],
)
def test_wrong_arguments_start_nothing(tmp_path: Path, arguments: list[str], problem: str) -> None:
    runtime = tmp_path / "runtime"
    runtime.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    runtime.chmod(0o700)
    code, output, errors = ended(start(runtime, *arguments, "hello"))
    assert (code, output) == (2, "")
    assert problem in errors
    assert not (tmp_path / "started").exists()


def test_a_missing_runtime_is_said_with_what_to_type(tmp_path: Path) -> None:
    code, output, errors = ended(start(tmp_path / "nothing", "hello"))
    assert (code, output) == (1, "")
    assert "missionlink runtime install" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("prompt", "given", "problem"),
    [
        ("", None, "must not be empty"),
        ("-", b" \n", "must not be empty"),
        ("-", b"a\xff\xfeb", "is no text"),
        (b"a\xffb", None, "is no text"),
    ],
)
def test_a_prompt_that_cannot_be_sent_starts_nothing(
    tmp_path: Path, prompt: str | bytes, given: bytes | None, problem: str
) -> None:
    runtime = tmp_path / "runtime"
    runtime.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    runtime.chmod(0o700)
    command = [sys.executable, "-m", "missionlink", "run", "--runtime", str(runtime), prompt]
    env = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(command, input=given, env=env, capture_output=True, check=False, timeout=_WAIT_S)
    assert (done.returncode, done.stdout) == (2, b"")
    assert problem in done.stderr.decode()
    assert not (tmp_path / "started").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "hello"],
        ["run", "--json", "hello"],
        ["doctor"],
        ["runtime", "list"],
        ["control", "serve", "--dev", "--port", "0"],
        ["--help"],
    ],
)
def test_a_full_disk_is_said_in_one_line(runtime: Path, tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "missionlink", *arguments]
    # The database of Mission Control is in the home.
    env = {**os.environ, "MISSIONLINK_RUNTIME": str(runtime), "HOME": str(tmp_path)}
    env.pop("XDG_STATE_HOME", None)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, env=env, text=True, check=False, timeout=_WAIT_S
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: No space left on device"
    assert "Traceback" not in done.stderr


def test_an_encoding_that_cannot_show_everything_stops_nothing(runtime: Path) -> None:
    words = [sys.executable, "-m", "missionlink", "run", "--runtime", str(runtime), "naïve 日本 …"]
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(words, capture_output=True, env=env, check=False, timeout=_WAIT_S)
    assert (done.returncode, done.stdout) == (0, "You said: naïve ?? ?\n".encode("latin-1"))


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_standard_streams_may_be_closed(runtime: Path, closed: str) -> None:
    words = [sys.executable, "-m", "missionlink", "run", "--runtime", str(runtime), "say it"]
    done = subprocess.run(
        ["sh", "-c", f"{shlex.join(words)} {closed}"], capture_output=True, text=True, check=False, timeout=_WAIT_S
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert done.stdout == ("" if ">&-" in closed.replace("2>&-", "") else "You said: say it\n")


async def test_an_agent_whose_output_nobody_reads_is_stopped(tmp_path: Path) -> None:
    # A function, not a list: the agent may be stopped before it is asked anything.
    async with FakeRuntime(turns=lambda _: forever("on and on "), clock=SystemClock()) as fake:
        (runtime,) = await fake.command(tmp_path / "runtime")
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", f"{sys.executable} -m missionlink run --runtime {runtime} --json hello | head -n 1"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(_WAIT_S):
            output, errors = await process.communicate()
    assert output.count(b"\n") == 1
    assert b"Traceback" not in errors
    assert len(fake.traffic.calls("session.abort")) == 1


async def test_ctrl_c_aborts_the_turn_and_leaves_nothing_running(tmp_path: Path) -> None:
    async with FakeRuntime(turns=[say("thinking about it") + stall()]) as fake:
        (runtime,) = await fake.command(tmp_path / "runtime")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "missionlink", "run", "--runtime", runtime, "--json", "hello"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(_WAIT_S):
                while b"assistant.message_delta" not in (line := await process.stdout.readline()):
                    assert line, await process.stderr.read() if process.stderr else None
                children = psutil.Process(process.pid).children(recursive=True)
                process.send_signal(signal.SIGINT)
                output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 130
    assert b"Traceback" not in errors
    result = json.loads(output.splitlines()[-1])["result"]
    assert (result["status"], result["exitCode"]) == ("interrupted", 130)
    assert len(fake.traffic.calls("session.abort")) == 1
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, _WAIT_S)
    assert alive == []


@pytest.mark.skipif(sys.platform == "win32", reason="the runtime is a shell script")
@pytest.mark.parametrize("clean", [True, False])
def test_the_agent_gets_no_more_of_the_environment_than_was_wanted(tmp_path: Path, clean: bool) -> None:
    """G2: and the key of the provider is never in that of its commands."""
    program = tmp_path / "runtime"
    seen = tmp_path / "seen"
    program.write_text(
        f'#!/bin/sh\n{{ env; echo "$@"; }} >{seen}\nexec {shlex.quote(sys.executable)} -m missionlink.testing "$@"\n'
    )
    program.chmod(0o700)
    words = [
        "run",
        "--runtime",
        str(program),
        "--provider-url",
        "http://127.0.0.1:1/v1",
        "--provider-key-env",
        "MY_KEY",
    ]
    words += ["--model", "mine", *(["--clean-env"] if clean else []), "say it"]
    env = {**os.environ, "MY_KEY": "a-key-of-mine", "OTHER": "a-secret", "GH_TOKEN": "gho_token"}
    done = subprocess.run(
        [sys.executable, "-m", "missionlink", *words],
        capture_output=True,
        text=True,
        env=env,
        check=False,
        timeout=_WAIT_S,
    )
    assert done.returncode == 0, done.stderr
    lines = seen.read_text().splitlines()
    assert "--secret-env-vars=MY_KEY" in lines[-1].split()
    assert ("OTHER=a-secret" in lines) is not clean
    assert ("GH_TOKEN=gho_token" in lines) is not clean
    # The token that the runtime would have found there is passed all the same, and hidden from commands.
    assert ("COPILOT_SDK_AUTH_TOKEN=gho_token" in lines) is clean
    assert ("MY_KEY=a-key-of-mine" in lines) is not clean
