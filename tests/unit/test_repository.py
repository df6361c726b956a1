"""What is never committed: addresses of registries, folders of somebody's machine, big files, locks with addresses."""

import functools
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LARGEST_BYTES = 1 << 20

# Put together here, so that this file does not hold what it looks for.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("npm", "pkg", "github", "com"),
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("debian", "org"),
        ("crates", "io"),
        ("golang", "org"),
    )
]
FOLDERS = ["work/main", "work/shared", "root/", "tmp/rt", "tmp/plan", "opt/wheels", "opt/pypi", "home/runner"]
OUTSIDE = ".." + "/shared"


@functools.cache
def tracked() -> list[str]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone: this is a copy of the files without their history")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@functools.cache
def texts() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name in tracked():
        data = (ROOT / name).read_bytes()
        if b"\0" not in data[:8000]:
            found.append((name, data.decode(errors="replace")))
    return found


def where(pattern: str) -> list[str]:
    compiled = re.compile(pattern)
    return [
        f"{name}:{text.count(chr(10), 0, found.start()) + 1}: {found.group()}"
        for name, text in texts()
        for found in compiled.finditer(text)
    ]


def test_no_file_names_a_registry():
    assert not where("|".join(re.escape(host) for host in HOSTS))


def test_no_file_names_a_folder_of_somebodys_machine():
    folders = "|".join(re.escape(folder) for folder in FOLDERS)
    assert not where(rf"(?<![\w.~$}}])/(?:{folders})|{re.escape(OUTSIDE)}")


def test_no_lock_holds_addresses():
    assert not [
        name for name in tracked() if Path(name).name in {"uv.lock", "poetry.lock", "yarn.lock", "pnpm-lock.yaml"}
    ]
    assert not where(r'"resolved"\s*:\s*"http')
    for name in tracked():
        if name.startswith("requirements/"):
            assert "://" not in (ROOT / name).read_text(), name


def test_locked_requirements_are_complete():
    """Each line that pins is followed by a hash."""
    for path in (ROOT / "requirements").glob("*.txt"):
        lines = path.read_text().splitlines()
        for line, after in pairwise(lines):
            if re.match(r"[a-z0-9]", line):
                assert "==" in line, line
                assert "--hash=sha256:" in after, line


def test_what_builds_is_what_pyproject_asks_for():
    pyproject = (ROOT / "pyproject.toml").read_text()
    asked = [line for line in (ROOT / "requirements" / "build.in").read_text().splitlines() if not line.startswith("#")]
    (required,) = re.findall(r"^requires = \[(.+)\]$", pyproject, re.MULTILINE)
    assert re.findall(r'"(.+?)"', required) == asked


def test_no_file_is_large():
    large = [name for name in tracked() if (ROOT / name).stat().st_size > LARGEST_BYTES]
    assert not large


def test_no_text_uses_long_dashes():
    """House style: commas, colons and full stops."""
    assert not where("[\N{EM DASH}\N{HORIZONTAL BAR}]")


def test_nothing_that_was_made_is_tracked():
    made = re.compile(r"(^|/)(__pycache__|node_modules|\.venv[^/]*|\.cache|build|dist|[^/]+\.egg-info)/|\.pyc$")
    assert not [name for name in tracked() if made.search(name)]
