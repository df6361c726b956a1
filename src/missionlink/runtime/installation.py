"""Installs a tested release into the cache with npm: pinned, checked by checksum, placed atomically."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from missionlink._io.process.ownership import ownership_here
from missionlink.errors import MissingExtra, RuntimeInstallFailed, RuntimeStartFailed
from missionlink.runtime.cache import cache_root, program_files, release_folder
from missionlink.runtime.integrity import check_genuine, is_noted, note_genuine
from missionlink.runtime.location import placed
from missionlink.runtime.node import Tool, find_npm
from missionlink.runtime.npm import fault_of, run_npm
from missionlink.runtime.program import RuntimeProgram, ask_version
from missionlink.runtime.releases import RELEASES, find_release, platform_key

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from types import FrameType

    from filelock import BaseFileLock

    from missionlink.runtime.releases import Package, Release

__all__ = ("ended_in_order", "install", "npm_lock")

INSTALL_TIMEOUT_S = 900.0


"""90 MB over a slow line, or the wait for another process that installs the same release."""


SPARE_MB = 300


"""Room beside the release itself: its first start, for the check, unpacks about 240 MB for a moment."""


class _Terminated(BaseException):
    """Unwinds the block; nobody catches it."""


@contextlib.contextmanager
def ended_in_order() -> Generator[None, None, None]:
    """Let TERM and HUP unwind the block as Ctrl-C does; afterwards they end the process as they would have.

    Signals that the program handles or ignores itself stay as they are, and so do all in other threads than the main
    one, where Python has no signal handlers.
    """
    received: list[int] = []

    def unwind(number: int, frame: FrameType | None) -> None:
        received.append(number)
        # A second one must not disturb the cleaning.
        if len(received) == 1:
            raise _Terminated

    former = {number: signal.signal(number, unwind) for number in _unhandled()}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if received:
            os.kill(os.getpid(), received[0])


def _unhandled() -> list[int]:
    if threading.current_thread() is not threading.main_thread():
        return []
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]


def install(
    version: str | None = None,
    *,
    force: bool = False,
    environ: Mapping[str, str] | None = None,
    report: Callable[[str], None] | None = None,
    timeout: float = INSTALL_TIMEOUT_S,
) -> RuntimeProgram:
    """Install one tested release of the runtime into our cache and return its program.

    A release that is installed already is returned at once. Several processes may install at the same time: one
    does it, the others wait. An installation that fails or is killed leaves nothing in place, and no npm running.

    What an earlier version of this package has installed is compared with the checksums once, before it is returned.

    Args:
        version: One of the tested versions, ``"newest"`` or ``"oldest"``. ``None`` means the newest.
        force: Install it anew even when it is there.
        environ: The environment to read and to run npm with. ``None`` means this process's own.
        report: Called with a short line before each step that takes long.
        timeout: Seconds for npm, and for the wait for another process.

    Raises:
        InvalidOption: The version is not a tested one.
        MissingExtra: The extra ``runtime`` is needed and not installed.
        RuntimeInstallFailed: It could not be installed; ``reason`` says which kind of failure it was.
    """
    env = os.environ if environ is None else environ
    release = find_release(version)
    key = platform_key()
    if key not in release.packages:
        offered = ", ".join(other.version for other in RELEASES if key in other.packages) or "none"
        raise RuntimeInstallFailed(
            f"runtime {release.version} is not published for this platform ({key}); versions that are: {offered}",
            reason="platform",
        )
    root = cache_root(env)
    folder = release_folder(root, release, key)
    there = placed(root, release.version)
    try:
        if there is not None and not force:
            _require_checked(folder, release, key)
            return there
        folder.parent.mkdir(parents=True, exist_ok=True)
        with ended_in_order(), _only_one(folder, timeout):
            # Another process may have done it while we waited.
            there = placed(root, release.version)
            if there is None or force:
                _install_alone(folder, release, key, env, report or _silent, timeout)
    except OSError as error:
        reason, advice = fault_of(error)
        raise RuntimeInstallFailed(
            f"runtime {release.version} could not be installed in {str(folder.parent)!r}: "
            f"{error.strerror or error}; {advice}",
            reason=reason,
        ) from error
    there = placed(root, release.version)
    if there is None:
        raise RuntimeInstallFailed(f"runtime {release.version} vanished from {str(folder)!r} while it was installed")
    return there


def npm_lock(packages: tuple[Package, ...]) -> tuple[dict[str, object], dict[str, object]]:
    """Write npm's ``package.json`` and ``package-lock.json`` for these packages, without any registry's address.

    Only the files that the command line names are wanted, so what the packages themselves depend on is left out.
    """
    wanted = {package.name: package.version for package in packages}
    locked: dict[str, object] = {
        f"node_modules/{package.name}": {"version": package.version, "integrity": package.integrity}
        for package in packages
    }
    manifest: dict[str, object] = {"private": True, "dependencies": wanted}
    return manifest, {"lockfileVersion": 3, "requires": True, "packages": {"": {"dependencies": wanted}, **locked}}


def _install_alone(
    folder: Path,
    release: Release,
    key: str,
    environ: Mapping[str, str],
    report: Callable[[str], None],
    timeout: float,
) -> None:
    npm = find_npm(environ)
    if not isinstance(npm, Tool):
        raise RuntimeInstallFailed(
            f"the runtime comes as an npm package and there is no npm that can be used ({npm}); install Node, or "
            "let pip bring it: pip install 'missionlink[runtime]'",
            reason="npm",
        )
    _remove_leftovers(folder)
    _require_room(folder.parent, release)
    staging = Path(tempfile.mkdtemp(prefix=_staging_prefix(folder), dir=folder.parent))
    # When we are killed, npm is ended and the staging folder is removed all the same.
    owner = ownership_here(patience=0.0, scratch=str(staging))
    try:
        tree = staging / "tree"
        tree.mkdir()
        manifest, lock = npm_lock(release.packages[key])
        (tree / "package.json").write_text(json.dumps(manifest, indent=2))
        (tree / "package-lock.json").write_text(json.dumps(lock, indent=2))
        report(f"fetching runtime {release.version} for {key} with npm {npm.version}")
        run_npm(npm, tree, environ, timeout, owner)
        report(f"checking runtime {release.version}")
        _require_files(tree, release, key)
        check_genuine(tree, release, key)
        _require_working(tree, staging, release, key, owner.marked(environ))
        note_genuine(tree, release, key)
        if folder.exists():
            os.replace(folder, staging / "replaced")
        os.replace(tree, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        owner.dismiss()


def _require_checked(folder: Path, release: Release, key: str) -> None:
    """Compare what is installed with the checksums, unless that has been done already."""
    if not is_noted(folder, release, key):
        check_genuine(folder, release, key)
        # A cache that several users share may not be ours to write to; then it is compared each time.
        with contextlib.suppress(OSError):
            note_genuine(folder, release, key)


def _require_room(parent: Path, release: Release) -> None:
    needed = release.unpacked_mb + SPARE_MB
    free = shutil.disk_usage(parent).free // 1_000_000
    if free < needed:
        raise RuntimeInstallFailed(
            f"runtime {release.version} needs {needed} MB of disk space in {str(parent)!r} and {free} MB are "
            "free; make room, or name another folder in MISSIONLINK_CACHE",
            reason="disk",
        )


def _require_files(tree: Path, release: Release, key: str) -> None:
    for file in program_files(tree, release, key):
        if not file.is_file():
            raise RuntimeInstallFailed(
                f"npm ended without an error but left out {file.name!r} of runtime {release.version}; run "
                "'npm cache clean --force' and try again",
                reason="npm",
            )


def _require_working(tree: Path, scratch: Path, release: Release, key: str, environ: Mapping[str, str]) -> None:
    argv = [str(file) for file in program_files(tree, release, key)]
    try:
        said = ask_version(argv, scratch=scratch, environ=environ)
    except RuntimeStartFailed as error:
        raise RuntimeInstallFailed(
            f"runtime {release.version} was fetched and does not run on this machine: {error}",
            reason="other",
            detail=error.stderr,
        ) from error
    if said != release.version:
        raise RuntimeInstallFailed(
            f"runtime {release.version} was asked for and the fetched program calls itself {said}", reason="other"
        )


def _only_one(folder: Path, timeout: float) -> BaseFileLock:
    try:
        import filelock  # an optional extra
    except ImportError as error:
        raise MissingExtra("runtime", "installing the runtime") from error
    return filelock.FileLock(folder.with_name(f"{folder.name}.lock"), timeout=timeout)


def _remove_leftovers(folder: Path) -> None:
    # Under the lock nobody else works on this release, so these are of a process that was killed.
    for leftover in folder.parent.glob(f"{_staging_prefix(folder)}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _staging_prefix(folder: Path) -> str:
    return f".{folder.name}."


def _silent(_line: str) -> None:
    return None
