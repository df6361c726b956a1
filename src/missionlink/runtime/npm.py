"""Run ``npm ci`` once and say in our words what went wrong."""

from __future__ import annotations

import errno
import re
import subprocess
import tempfile
from typing import TYPE_CHECKING

from missionlink.errors import RuntimeInstallFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from missionlink._io.process.ownership import Ownership
    from missionlink.runtime.node import Tool

__all__ = ("fault_of", "run_npm")

DETAIL_LINES = 12
"""What npm says about one fault fits in these; the rest is its stack trace."""

# Whatever the user's settings, files and variables say about these, the command line counts. What says where packages
# come from and how they are reached stays theirs: registries, credentials, proxies, certificates, the cache.
_ARGUMENTS = (
    "ci",
    # Nothing that is fetched is run before its checksum has been compared.
    "--ignore-scripts",
    # Others ignore the lock's checksums ("linked"), or put packages where nobody looks for them.
    "--install-strategy=hoisted",
    "--no-global-style",
    "--no-legacy-bundling",
    # The lock holds the checksums.
    "--package-lock",
    "--shrinkwrap",
    "--no-package-lock-only",
    "--no-force",
    "--no-dry-run",
    # The folder that we have made, and no other one.
    "--no-global",
    "--location=project",
    "--no-workspaces",
    "--no-audit",
    "--no-fund",
    "--no-bin-links",
    # The user's settings may ask for silence; a full disk is reported as a warning only.
    "--loglevel=warn",
    "--no-json",
    "--no-progress",
    "--no-color",
    # The defaults wait for minutes before they report a missing network.
    "--fetch-retries=3",
    "--fetch-retry-mintimeout=500",
    "--fetch-retry-maxtimeout=4000",
)

_NETWORK = frozenset(
    "ENOTFOUND EAI_AGAIN EAI_FAIL ECONNREFUSED ECONNRESET ECONNABORTED ETIMEDOUT ENETUNREACH EHOSTUNREACH EPIPE "
    "EPROTO ERR_SOCKET_TIMEOUT ERR_SSL_WRONG_VERSION_NUMBER CERT_HAS_EXPIRED DEPTH_ZERO_SELF_SIGNED_CERT "
    "SELF_SIGNED_CERT_IN_CHAIN UNABLE_TO_GET_ISSUER_CERT_LOCALLY UNABLE_TO_VERIFY_LEAF_SIGNATURE".split()
)
_REFUSED = frozenset("E401 E403 E404 ETARGET E407 E429".split())
_PERMISSION = frozenset("EACCES EPERM EROFS".split())
_ADVICE = {
    "checksum": "what the registry sent is not what was released, so it was not installed; try again, and if it "
    "stays so look at the mirror or proxy between you and the registry",
    "network": "npm's registry could not be reached; check the network, or npm's settings 'registry', 'proxy' and "
    "'cafile'",
    "registry": "npm's registry does not give this package out; check npm's setting 'registry' and its credentials",
    "disk": "the disk is full; make room, or name another folder in MISSIONLINK_CACHE",
    "permission": "it may not be written to; mend its rights, or name another folder in MISSIONLINK_CACHE",
    "platform": "npm finds the package unfit for this platform",
    "npm": "see what npm said, in 'detail'",
    "other": "see the cause",
}


def run_npm(npm: Tool, folder: Path, environ: Mapping[str, str], timeout: float, owner: Ownership) -> None:
    """Install what the lock file in ``folder`` names; return when it is complete.

    npm is ended together with all that it started when this is interrupted or takes too long.

    Args:
        npm: The program.
        folder: Has ``package.json`` and ``package-lock.json``.
        environ: npm's environment.
        timeout: Seconds.
        owner: Owns npm and its tree, and goes on to own what is left until it is dismissed.

    Raises:
        RuntimeInstallFailed: npm failed, or said that it could not write everything.
        OSError: npm cannot be started.
    """
    settings = owner.prepare(npm.argv[0], {**environ, "npm_config_update_notifier": "false"}, str(folder))
    # A file and not a pipe: a process of npm's that outlives it cannot hold us up.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*npm.argv, *_ARGUMENTS], stdin=subprocess.DEVNULL, stdout=output, stderr=output, **settings
        )
        try:
            owner.started(process.pid)
            code = process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise RuntimeInstallFailed(
                f"npm took longer than {timeout:g} s and was ended; try again", reason="network"
            ) from error
        finally:
            owner.kill()
            process.wait()
            owner.ended()
        output.seek(0)
        said = output.read().decode(errors="replace")
    _judge(code, said)


def fault_of(error: OSError) -> tuple[str, str]:
    """Tell which kind of failure an error of the file system is, and what to do about it."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        reason = "disk"
    elif isinstance(error, TimeoutError):
        return "other", "another process has been installing the same release for too long"
    else:
        reason = "permission" if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS} else "other"
    return reason, _ADVICE[reason]


def _judge(code: int, said: str) -> None:
    # On a full disk npm warns for each file, leaves it cut short, and ends with exit code 0.
    full = "ENOSPC" in said
    if code == 0 and not full and "TAR_ENTRY_ERROR" not in said:
        return
    named = re.search(r"^npm (?:ERR!|error) code (\S+)", said, re.MULTILINE)
    fault = "ENOSPC" if full else named.group(1) if named else "unknown"
    reason = _reason(fault)
    raise RuntimeInstallFailed(
        f"npm could not fetch the runtime ({fault}, exit code {code}): {_ADVICE[reason]}",
        reason=reason,
        detail=_tail(said),
    )


def _reason(fault: str) -> str:
    if fault == "ENOSPC":
        return "disk"
    if fault in {"EINTEGRITY", "EBADCHECKSUM"}:
        return "checksum"
    if fault in _NETWORK or re.fullmatch(r"E5\d\d", fault):
        return "network"
    if fault in _REFUSED:
        return "registry"
    if fault in _PERMISSION:
        return "permission"
    return "platform" if fault == "EBADPLATFORM" else "npm"


def _tail(said: str) -> str:
    lines = [line for line in said.splitlines() if re.match(r"npm (?:ERR!|error|warn)", line)]
    # Addresses of private registries may carry a password.
    return re.sub(r"//[^/\s@]+@", "//***@", "\n".join(lines[:DETAIL_LINES]))
