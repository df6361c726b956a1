"""Run the cases: one fresh process for each measurement, the sides in turn, round after round."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.suite import Case

__all__ = ("PEER_PYTHON", "Harness", "Settings", "install_peer", "machine")

_HERE = Path(__file__).resolve().parent
_REPOSITORY = _HERE.parent
PEER_PYTHON = _HERE / ".venv-peer" / "bin" / "python"
_REQUIREMENTS = _HERE / "requirements-peer.txt"
_MEASUREMENT_LIMIT_S = 300
_STATEMENTS = {
    "official": "from copilot import CopilotClient",
    "missionlink": "from missionlink import AsyncClient",
    "limit:pass": "pass",
    "limit:asyncio": "import asyncio",
}
_REPORT_IMPORT = (
    "; import sys; n = len(sys.modules); print(n, open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run does."""

    rounds: int
    quick: bool
    sides: tuple[str, ...]
    #: Program of a real runtime, for the cases that need one.
    runtime: str | None


def install_peer() -> None:
    """Make the virtual environment of the official SDK from the pinned and hashed requirements."""
    subprocess.run([sys.executable, "-m", "venv", str(PEER_PYTHON.parent.parent)], check=True)
    install = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(_REQUIREMENTS)]
    subprocess.run([str(PEER_PYTHON), *install], check=True)


def machine() -> dict[str, Any]:
    """Describe the machine by what matters for the figures."""
    peers = [
        line for line in _REQUIREMENTS.read_text(encoding="utf-8").splitlines() if "copilot" in line and "==" in line
    ]
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "versions": {
            "missionlink": version("missionlink"),
            "official": peers[0].split("==")[1].split()[0],
            "msgspec": version("msgspec"),
        },
    }


class Harness:
    """Measures cases and keeps every value."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self.failures: list[str] = []

    def run(self, cases: list[Case]) -> dict[str, Any]:
        """Measure all cases and return their values and medians by case and side."""
        environment = self._environment()
        results: dict[str, Any] = {}
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, self._model_server() as model_url:
            program = _write_launcher(Path(folder))
            for side in self._python_sides():  # byte code is compiled and files are in the cache before anything counts
                self._import(side, environment)
            for case in cases:
                if case.real and self._settings.runtime is None:
                    self._say(f"{case.id}: left out, no real runtime was named")
                    continue
                common = {"program": self._settings.runtime if case.real else program}
                common |= {"model_url": model_url} if case.real else {}
                results[case.id] = self._run_case(case, common, environment, Path(folder))
        return results

    def _python_sides(self) -> list[str]:
        return [side for side in _STATEMENTS if side.partition(":")[0] in self._settings.sides]

    def _run_case(
        self, case: Case, common: dict[str, Any], environment: dict[str, str], folder: Path
    ) -> dict[str, Any]:
        sides = [side for side in case.sides if side.partition(":")[0] in self._settings.sides]
        values: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        environment = {**environment, **({"FAKE_EARLY": json.dumps(case.early)} if case.early else {})}
        for number in range(self._settings.rounds):
            for side in sides:
                params = {**case.params, **(case.quick if self._settings.quick else {}), **common}
                for key, value in case.smaller.get(side, {}).items():
                    params[key] = min(value // (4 if self._settings.quick else 1), params[key])
                try:
                    values[side].append(self._measure(case.workload, side, params, environment, folder))
                except (RuntimeError, subprocess.SubprocessError) as error:
                    self.failures.append(f"{case.id}, {side}, round {number + 1}: {error}")
                    self._say(self.failures[-1])
        summary = {side: _summarise(list_) for side, list_ in values.items() if list_}
        self._say(f"{case.id}: " + "; ".join(f"{side} {_brief(case, row)}" for side, row in summary.items()))
        return summary

    def _measure(
        self, workload: str, side: str, params: dict[str, Any], environment: dict[str, str], folder: Path
    ) -> dict[str, float]:
        if workload == "import":
            return self._import(side, environment)
        with tempfile.TemporaryDirectory(dir=folder) as state_dir:
            out = Path(state_dir, "out.json")
            params = {**params, "state_dir": state_dir, "spawned_at": time.monotonic()}
            command = [self._python(side), "-m", "benchmarks.child", side, workload, json.dumps(params), str(out)]
            child = subprocess.Popen(
                command,
                cwd=_REPOSITORY,
                env=environment,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            try:
                _, errors = child.communicate(timeout=_MEASUREMENT_LIMIT_S)
            finally:
                _end_group(child)
            if child.returncode:
                raise RuntimeError(errors.decode(errors="replace").strip().splitlines()[-1])
            return json.loads(out.read_text(encoding="utf-8"))

    def _import(self, side: str, environment: dict[str, str]) -> dict[str, float]:
        command = [self._python(side), "-P", "-s", "-c", _STATEMENTS[side] + _REPORT_IMPORT]
        started = time.perf_counter()
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert child.stdout is not None
        with child.stdout as stream:
            output = stream.read().split()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"importing failed with exit code {child.returncode}")
        cpu_ms = (usage.ru_utime + usage.ru_stime) * 1e3
        wall_ms = (time.perf_counter() - started) * 1e3
        return {"cpu_ms": cpu_ms, "wall_ms": wall_ms, "modules": int(output[0]), "rss_mb": int(output[1]) / 1024}

    def _python(self, side: str) -> str:
        return str(PEER_PYTHON) if side == "official" else sys.executable

    def _environment(self) -> dict[str, str]:
        dropped = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHASHSEED", "VIRTUAL_ENV", "COPILOT_HOME")
        kept = {key: value for key, value in os.environ.items() if key not in dropped}
        # This tree is measured, whatever is installed.
        return {**kept, "PYTHONPATH": str(_REPOSITORY / "src")}

    @contextmanager
    def _model_server(self) -> Iterator[str]:
        if self._settings.runtime is None:
            yield ""
            return
        command = [sys.executable, "-m", "benchmarks.model_server", "--tokens", "10000"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=_REPOSITORY, text=True, **pipes) as server:
            assert server.stdout is not None
            assert server.stdin is not None
            yield server.stdout.readline().strip()
            server.stdin.close()


def _write_launcher(folder: Path) -> str:
    """Write the fake runtime's program: a bare interpreter without site packages, to start fast."""
    interpreter = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    program = folder / "fake-runtime"
    program.write_text(
        f"#!{interpreter} -SE\nimport sys\nsys.path.insert(0, {str(_REPOSITORY)!r})\n"
        "from benchmarks.fake_runtime import main\nmain()\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return str(program)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End the measured process and whatever it left running."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def _summarise(rows: list[dict[str, float]]) -> dict[str, Any]:
    keys = rows[0].keys()
    columns = {key: [row[key] for row in rows] for key in keys}
    return {key: {"median": median(column), "values": column} for key, column in columns.items()}


def _brief(case: Case, row: dict[str, Any]) -> str:
    return ", ".join(f"{row[m.key]['median']:,.4g} {m.unit}".strip() for m in case.metrics if m.key in row)
