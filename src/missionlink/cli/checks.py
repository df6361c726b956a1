"""Examines what this machine has for missionlink, and what is missing. Nothing is changed or fetched."""

from __future__ import annotations

import importlib.util
import platform
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from missionlink import AsyncClient, ClientOptions, __version__
from missionlink.cli.interrupts import run_interruptible
from missionlink.cli.login import is_logged_in
from missionlink.cli.outcome import text_of
from missionlink.cli.sanitize import printable_line
from missionlink.errors import InvalidOption, MissingExtra, MissionlinkError, RuntimeNotFound, RuntimeStartFailed
from missionlink.options.checks import check_token
from missionlink.runtime import RELEASES, RuntimeProgram, installed, locate
from missionlink.runtime.cache import cache_root
from missionlink.runtime.node import Tool, find_npm
from missionlink.runtime.program import ask_version
from missionlink.runtime.releases import platform_key

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("Diagnosis", "Finding", "examine")

EXTRAS: dict[str, tuple[str, ...]] = {
    "cli": ("click", "rich", "prompt_toolkit", "platformdirs", "filelock"),
    "control": ("starlette", "uvicorn"),
    "fsspec": ("fsspec",),
    "models": ("httpx",),
    "testing": ("anyio", "starlette", "uvicorn", "pytest"),
}
"""Extra to the modules that it must bring. ``runtime`` is explained with npm: who has npm needs no other."""

TOKENS = ("COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN")
"""Variables that the runtime takes a GitHub token from; the first one that is set counts."""


_ACCOUNT_MEMBERS = ("login", "host", "authType", "copilotPlan", "statusMessage")
# A first start unpacks the runtime, which slow disks take long for.
_START_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    """One word or two."""
    text: str
    """What is there, in one line."""
    state: str = "ok"
    """``"ok"``; ``"note"`` for what is missing and may be; ``"problem"`` for what stops missionlink."""
    advice: str = ""
    """What to type or do; empty when nothing need be done."""
    facts: Mapping[str, object] = field(default_factory=dict[str, object])
    """The same for programs: values that JSON can carry."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, in the order in which a reader wants them."""

    findings: tuple[Finding, ...]

    @property
    def is_well(self) -> bool:
        """Whether a session can be started on this machine."""
        return all(finding.state != "problem" for finding in self.findings)


def examine(environ: Mapping[str, str]) -> Diagnosis:
    """Look at everything that missionlink needs; starts the runtime and npm to ask for versions and for the account."""
    python = f"{platform.python_implementation()} {platform.python_version()} on {platform_key()}"
    return Diagnosis(
        (
            Finding("missionlink", __version__, facts={"version": __version__}),
            Finding("python", python, facts={"version": platform.python_version(), "platform": platform_key()}),
            _runtime(environ),
            *_releases(environ),
            _npm(environ),
            _token(environ),
            *_account(environ),
            *(_extra(name, modules) for name, modules in EXTRAS.items()),
        )
    )


def _runtime(environ: Mapping[str, str]) -> Finding:
    try:
        program = locate(environ=environ)
    except RuntimeNotFound as error:
        places = "; ".join(f"{place}: {why}" for place, why in error.tried)
        return Finding("runtime", f"not found ({places})", "problem", "missionlink runtime install")
    try:
        version = ask_version(program.argv)
    except RuntimeStartFailed as error:
        return Finding("runtime", str(error), "problem", _fix(program))
    facts = {"version": version, "source": program.source, "argv": list(program.argv)}
    where = f"{version} from {program.source}: {program.path}"
    if all(release.version != version for release in RELEASES):
        return Finding("runtime", f"{where} (not one of the tested versions)", "note", facts=facts)
    return Finding("runtime", where, facts=facts)


def _fix(program: RuntimeProgram) -> str:
    if program.source == "cache":
        return f"missionlink runtime install {program.version} --force"
    return "missionlink runtime install, and unset the variable that names the other program"


def _releases(environ: Mapping[str, str]) -> list[Finding]:
    try:
        root = cache_root(environ)
        there = {program.version for program in installed(environ=environ)}
    except MissingExtra as error:
        return [Finding("cache", str(error), "note")]
    tested = [
        f"{release.version} ({release.family}) {'is' if release.version in there else 'is not'} installed"
        for release in RELEASES
    ]
    facts = {release.version: release.version in there for release in RELEASES}
    return [
        Finding("tested", "; ".join(tested), facts={"installed": facts}),
        Finding("cache", str(root), facts={"path": str(root)}),
    ]


def _npm(environ: Mapping[str, str]) -> Finding:
    found = find_npm(environ)
    if isinstance(found, Tool):
        where = "from the extra 'runtime'" if found.argv[0] == sys.executable else found.argv[0]
        return Finding("npm", f"{found.version}: {where}", facts={"version": found.version, "argv": list(found.argv)})
    return Finding(
        "npm", f"none ({found}); only needed to install a runtime", "note", "pip install 'missionlink[runtime]'"
    )


def _token(environ: Mapping[str, str]) -> Finding:
    for name in TOKENS:
        if token := environ.get(name):
            try:
                check_token(name, token)
            except InvalidOption as error:
                return Finding("token", str(error), "problem", f"set {name} anew")
            return Finding("token", f"{name} is set", facts={"variable": name})
    return Finding("token", f"none of {', '.join(TOKENS)} is set; only GitHub's own service needs one", "note")


def _account(environ: Mapping[str, str]) -> list[Finding]:
    """Ask the runtime who is logged in; nothing where there is no runtime that answers."""
    try:
        program = locate(environ=environ)
        status = run_interruptible(_auth_status(program, environ))
    except RuntimeNotFound:
        return []
    except MissionlinkError as error:
        return [Finding("account", f"the runtime cannot be asked who is logged in: {text_of(error)}", "note")]
    known = {name: value for name in _ACCOUNT_MEMBERS if isinstance(value := status.get(name), str)}
    facts: dict[str, object] = {"isAuthenticated": is_logged_in(status), **known}
    if not is_logged_in(status):
        text = (
            f"{known.get('statusMessage') or 'nobody is logged in'}; GitHub's models and cloud sessions need an account"
        )
        return [Finding("account", printable_line(text), "note", "copilot login", facts)]
    who = known.get("login") or known.get("statusMessage") or "an account"
    how = ", ".join(known[name] for name in ("host", "authType", "copilotPlan") if name in known)
    return [Finding("account", printable_line(f"logged in as {who}" + (f" ({how})" if how else "")), facts=facts)]


async def _auth_status(program: RuntimeProgram, environ: Mapping[str, str]) -> Mapping[str, object]:
    options = ClientOptions(runtime=program.path, env=environ, inherit_env=False, start_timeout=_START_SECONDS)
    async with AsyncClient(options) as client:
        return await client.auth_status()


def _extra(name: str, modules: tuple[str, ...]) -> Finding:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        text = f"not installed (no {', '.join(missing)})"
        return Finding(f"extra {name}", text, "note", f"pip install 'missionlink[{name}]'")
    return Finding(f"extra {name}", "installed")
