"""A folder rule for writing leaves out what makes other programs run what was written (contract G1)."""

from __future__ import annotations

import asyncio
import subprocess
import unicodedata
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from missionlink.handlers.permissions.policy import Permissions
from missionlink.handlers.permissions.requests import parse_permission_request

if TYPE_CHECKING:
    from pathlib import Path

ATTACKS = [
    ".git/config",
    ".git/hooks/pre-commit",
    ".git/info/attributes",
    ".git",
    "sub/.git",
    "vendor/lib/.git/config",
    "vendor/lib/.gitattributes",
    "src/../.git/config",
    ".GIT/config",
    ".Git/config",
    ".git./config",
    ".git /config",
    ".git::$INDEX_ALLOCATION/config",
    "git~1/config",
    ".git\\config",
    "src\\.git\\config",
    ".g\u200cit/config",
    "\ufeff.git/config",
    unicodedata.normalize("NFKC", ".git") + "\u200d/config",
    ".\uff47it/config",
    ".hg/hgrc",
    ".svn/wc.db",
    ".jj/repo/config.toml",
    ".bzr/branch/branch.conf",
    ".gitattributes",
    ".GitAttributes",
    ".gitmodules",
    ".gitconfig",
    ".config/git/config",
    ".envrc",
    "src/.envrc",
    ".envrc.local",
    ".vscode/tasks.json",
    ".vscode/launch.json",
    ".vscode/settings.json",
    "project.code-workspace",
    ".idea/runConfigurations/run.xml",
    ".devcontainer/devcontainer.json",
    ".devcontainer.json",
    ".github/workflows/ci.yml",
    ".GitHub/Workflows/ci.yml",
    ".github/actions/build/action.yml",
    ".github/hooks/agent.json",
    ".gitlab-ci.yml",
    ".circleci/config.yml",
    "azure-pipelines.yml",
    "Jenkinsfile",
    ".husky/pre-commit",
    ".githooks/pre-push",
    "tools/git-hooks/commit-msg",
    ".pre-commit-config.yaml",
    "lefthook.yml",
    ".mcp.json",
    ".bashrc",
    ".profile",
    "sitecustomize.py",
    ".gdbinit",
    "HEAD",
    "nested/HEAD",
]
ORDINARY = [
    "src/main.py",
    "README.md",
    "Makefile",
    "package.json",
    "pyproject.toml",
    "Dockerfile",
    "conftest.py",
    ".gitignore",
    ".gitkeep",
    ".editorconfig",
    ".env",
    ".npmrc",
    ".github/ISSUE_TEMPLATE/bug.md",
    ".github/dependabot.yml",
    ".github/CODEOWNERS",
    ".github/copilot-instructions.md",
    "git/config",
    "src/git.py",
    "gitattributes",
    "docs/workflows/ci.yml",
    "src/head/index.ts",
    "src/head.ts",
    "hooks/useThing.ts",
    "actions/a.py",
    "src/.hidden",
    ".github.md",
    "digit/.gitlike/x",
    "notes~1.txt",
    "grün/münze.txt",
]


def writes(path: str, folder: Path, *, source: str | None = None, older: bool = False) -> Any:
    """A request to write a file, or to move one there, as one of the families makes it."""
    details: dict[str, Any] = {"kind": "write", "fileName": path, "intention": "w"}
    if older:
        absolute = path if path.startswith("/") else f"/{path}"
        before = "/dev/null" if source is None else source
        details["diff"] = f"\ndiff --git a/x b/x\n--- a{before}\n+++ b{absolute}\n@@ -1,0 +1,1 @@\n+x\n"
    else:
        edit: dict[str, Any] = {"after": {"path": path, "content": "x"}}
        if source is not None:
            edit["before"] = {"path": source, "content": "x"}
        details["fileEdits"] = [edit]
    data = {"requestId": "r", "permissionRequest": details, "permissionMode": None if older else "manual"}
    request = parse_permission_request(msgspec.Raw(msgspec.json.encode(data)), "s", working_directory=str(folder))
    assert request is not None
    return request


def allows(rule: Any, request: Any) -> bool:
    policy = Permissions.allow(write_under=rule)
    return bool(asyncio.run(policy(request)).allows)  # type: ignore[union-attr]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    subprocess.run(("git", "init", "-q", project), check=True)
    return project


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("path", ATTACKS)
def test_a_folder_rule_never_covers_what_other_programs_run(project: Path, path: str, older: bool) -> None:
    for rule in (".", str(project), ["src", "."], ".."):
        assert not allows(rule, writes(path, project, older=older))
        assert not allows(rule, writes(f"{project}/{path}", project, older=older))


@pytest.mark.parametrize("path", ORDINARY)
def test_ordinary_files_of_a_project_stay_writable(project: Path, path: str) -> None:
    assert allows(".", writes(path, project))
    assert allows(project, writes(f"{project}/{path}", project))
    assert allows(project, writes(f"{project}/{path}", project, older=True))


@pytest.mark.parametrize("older", [False, True])
def test_a_file_is_neither_moved_into_nor_out_of_what_is_protected(project: Path, older: bool) -> None:
    inside, plain = f"{project}/.git/hooks/x", f"{project}/src/x"
    assert not allows(".", writes(inside, project, source=plain, older=older))
    assert not allows(".", writes(plain, project, source=inside, older=older))
    assert allows(".", writes(plain, project, source=f"{project}/src/y", older=older))


def test_every_file_of_a_change_counts(project: Path) -> None:
    request = writes("src/x", project)
    request.file_edits.append({"after": {"path": f"{project}/.git/config", "content": "x"}})
    assert not allows(".", request)


def test_links_to_what_is_protected_are_followed(project: Path) -> None:
    (project / "to-config").symlink_to(project / ".git" / "config")
    (project / "to-git").symlink_to(project / ".git")
    (project / "data").mkdir()
    (project / "data" / "HEAD").write_text("ref: refs/heads/main\n")
    (project / "linked").mkdir()
    (project / "linked" / ".git").symlink_to(project / "data")
    (project / "src" / ".hg").symlink_to(project / "src")
    for path in ("to-config", "to-git/config", "linked/.git/config", "data/config", "src/.hg/x"):
        assert not allows(".", writes(path, project)), path
    assert not allows("to-git", writes("to-git/config", project))
    assert not allows("to-git", writes(".git/config", project))


def test_the_git_directory_of_a_worktree_is_protected_under_any_name(project: Path, tmp_path: Path) -> None:
    """A ``.git`` file leads elsewhere; a bare repository has its files in the open."""
    subprocess.run(("git", "init", "-q", "--separate-git-dir", project / "storage", project / "apart"), check=True)
    subprocess.run(("git", "init", "-q", "--bare", project / "mirror"), check=True)
    for path in ("apart/.git", "storage/config", "storage/hooks/x", "mirror/config", "mirror/objects/x", "mirror"):
        assert not allows(".", writes(path, project)), path
    assert allows(".", writes("apart/main.py", project))
    assert allows("mirror", writes("mirror/config", project))
    # Beside the checkouts, some keep the repository itself.
    subprocess.run(("git", "init", "-q", "--bare", tmp_path / "house.git"), check=True)
    checkout = tmp_path / "house.git" / "main"
    checkout.mkdir()
    assert allows(".", writes("main.py", checkout))
    assert not allows(".", writes(".git", checkout))


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        (".git", ".git/config"),
        (".git", ".git/hooks/pre-commit"),
        (".git", ".git/HEAD"),
        (".git", ".git/modules/lib/config"),
        (".git/hooks", ".git/hooks/pre-commit"),
        ("./.git/hooks/", ".git/hooks/pre-commit"),
        (".git/config", ".git/config"),
        (".gitattributes", ".gitattributes"),
        (".vscode", ".vscode/tasks.json"),
        (".github/workflows", ".github/workflows/ci.yml"),
        (".envrc", ".envrc"),
        (".husky", ".husky/pre-commit"),
        ("scripts/pre-commit", "scripts/pre-commit"),
        ("vendor/lib/.git", "vendor/lib/.git/config"),
    ],
)
def test_what_a_rule_names_it_covers(project: Path, rule: str, path: str) -> None:
    assert allows(rule, writes(path, project))
    assert allows(project / rule, writes(f"{project}/{path}", project))
    assert allows([".", rule], writes(path, project))


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        (".github", ".github/workflows/ci.yml"),
        (".git/hooks", ".git/config"),
        (".vscode", ".vscode/.git/config"),
        (".vscode", ".vscode/HEAD"),
        (".git", ".gitattributes"),
        ("vendor/lib/.git", ".git/config"),
    ],
)
def test_naming_one_thing_does_not_open_another(project: Path, rule: str, path: str) -> None:
    assert not allows(rule, writes(path, project))


def test_working_inside_of_a_repository_s_own_folder_does_not_name_it(project: Path) -> None:
    hooks = project / ".git" / "hooks"
    assert not allows(".", writes("pre-commit", hooks))
    assert not allows("..", writes("../config", hooks))
    assert allows(project / ".git", writes("pre-commit", hooks))


def test_reading_is_not_restricted(project: Path) -> None:
    data = {"requestId": "r", "permissionRequest": {"kind": "read", "path": f"{project}/.git/config", "intention": "r"}}
    request = parse_permission_request(msgspec.Raw(msgspec.json.encode(data)), "s")
    assert request is not None
    assert asyncio.run(Permissions.allow(read=[project])(request)).allows  # type: ignore[union-attr]
