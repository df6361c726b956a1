"""Run the tests that need no runtime on each Python that is found here: ``test_pythons.py 3.12 3.13 -- tests/unit``.

Each Python gets an environment of its own, ``.venv-VERSION``, from the locked requirements. A version that is not on
this machine is named and left out; the last lines say what ran.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = [ROOT / "requirements" / name for name in ("build.txt", "test.txt")]


def find_python(version: str) -> str | None:
    """Return a program that is this version, for example ``"3.12"``: from PATH, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [
        shutil.which(f"python{version}"),
        *map(str, sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)),
    ]
    for candidate in filter(None, candidates):
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        # A shim of pyenv is on PATH for versions that are not switched on, and fails.
        asked = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
        if asked.stdout.strip() == version:
            return candidate
    return None


def environment_of(version: str, python: str) -> Path:
    """Return the ``bin`` folder of an environment with what the tests need, made anew when the locks have changed."""
    folder = ROOT / f".venv-{version}"
    stamp = folder / ".locks"
    wanted = hashlib.sha256(b"".join(lock.read_bytes() for lock in LOCKS)).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        locked = [word for lock in LOCKS for word in ("-r", str(lock))]
        subprocess.run([*pip, "--require-hashes", *locked], check=True)
        path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
        package = [*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
        subprocess.run(package, check=True, env={**os.environ, "PATH": path})
        stamp.write_text(wanted)
    return folder / "bin"


def main(words: list[str]) -> int:
    """Test each version that is here; fail if one fails."""
    split = words.index("--") if "--" in words else len(words)
    versions, tests = words[:split], words[split + 1 :]
    outcomes: dict[str, str] = {}
    for version in versions:
        python = find_python(version)
        if python is None:
            outcomes[version] = "not on this machine"
            continue
        programs = environment_of(version, python)
        done = subprocess.run([str(programs / "pytest"), "-q", "-p", "no:cacheprovider", *tests], cwd=ROOT, check=False)
        outcomes[version] = "passed" if done.returncode == 0 else f"failed with {done.returncode}"
    for version, outcome in outcomes.items():
        sys.stdout.write(f"Python {version}: {outcome}\n")

    return 1 if any(outcome.startswith("failed") for outcome in outcomes.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
