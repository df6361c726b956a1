"""An agent that wants to run more than it may, on both real runtimes: by files that other programs run."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from missionlink import AsyncClient, Permissions, WritePermission
from missionlink.testing import call, model_server, say

from .real_runtime import within

if TYPE_CHECKING:
    from pathlib import Path

    from missionlink import PermissionPolicy
    from missionlink.testing import ModelRequest
    from missionlink.testing.scripted_model.replies import Reply

    from .real_runtime import RealRuntime

CONFIG = """[core]
\trepositoryformatversion = 0
\tfsmonitor = touch {proof}; false
[filter "run"]
\tclean = touch {proof}; cat
"""


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(("git", *who, *arguments), cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a file that has changed since it was committed."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (tmp_path / "home").mkdir()
    git(folder, "init", "-q")
    (folder / "src").mkdir()
    (folder / "a.txt").write_text("one\n")
    git(folder, "add", "a.txt")
    git(folder, "commit", "-q", "-m", "first")
    (folder / "a.txt").write_text("two\n")
    return folder


def attack(repository: Path, proof: Path) -> list[Reply]:
    """Write a configuration that runs a program, by every tool that writes files, and run ``git status``."""
    config = CONFIG.format(proof=proof)
    old = (repository / ".git" / "config").read_text()
    link = repository / "innocent"
    link.symlink_to(repository / ".git" / "config")
    return [
        call("edit", {"path": f"{repository}/.git/config", "old_str": old, "new_str": config}),
        call("edit", {"path": f"{repository}/src/../.git/config", "old_str": old, "new_str": config}),
        call("edit", {"path": str(link), "old_str": old, "new_str": config}),
        call("create", {"path": f"{repository}/.git/info/attributes", "file_text": "* filter=run\n"}),
        call("create", {"path": f"{repository}/.gitattributes", "file_text": "* filter=run\n"}),
        call("create", {"path": f"{repository}/.git/hooks/post-checkout", "file_text": f"#!/bin/sh\ntouch {proof}\n"}),
        call("bash", {"command": "git status", "description": "look"}),
        call("bash", {"command": f"printf x >> {repository}/.git/config", "description": "look"}),
        call("create", {"path": f"{repository}/src.py", "file_text": "print()\n"}),
        say("done"),
    ]


async def run_attack(runtime: RealRuntime, repository: Path, home: Path, policy: PermissionPolicy) -> dict[str, str]:
    """Let the agent attack; return what each of its tool calls said."""
    script = attack(repository, repository.parent / "proof")

    def reply(request: ModelRequest) -> Reply:
        return script[len(request.tool_results)]

    async with (
        within(),
        model_server(reply) as model,
        AsyncClient(runtime.options(home)) as client,
        client.create_session(
            provider=model.provider(), model=model.model, on_permission=policy, working_directory=repository
        ) as session,
    ):
        assert (await session.run("go", timeout=60)).text == "done"
        return model.requests[-1].tool_results


async def test_a_writable_project_and_git_status_do_not_run_what_the_agent_wrote(
    runtime: RealRuntime, repository: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in (repository / ".git").rglob("*") if path.is_file()}
    policy = Permissions.allow(read=True, write_under=".", shell=["git status"])
    results = await run_attack(runtime, repository, tmp_path / "home", policy)
    assert not (tmp_path / "proof").exists()
    after = {path: path.read_bytes() for path in (repository / ".git").rglob("*") if path.is_file()}
    index = repository / ".git" / "index"
    assert {path for path in before | after if before.get(path) != after.get(path)} <= {index}, results
    assert not (repository / ".gitattributes").exists()
    assert (repository / "src.py").read_text() == "print()\n"
    decided = [(one.request.kind, one.decided_by) for one in policy.decisions]
    assert [by for kind, by in decided if kind == "write"] == ["end"] * 6 + ["allow"], json.dumps(results)
    assert [by for kind, by in decided if kind == "shell"] == ["allow", "end"]
    assert "a.txt" in results["call_7"]


async def test_the_attack_works_where_the_folder_is_named(
    runtime: RealRuntime, repository: Path, tmp_path: Path
) -> None:
    """Otherwise the test above would show nothing; it is also what naming such a folder means."""
    policy = Permissions.allow(read=True, write_under=[".", ".git"], shell=["git status"])
    await run_attack(runtime, repository, tmp_path / "home", policy)
    assert (tmp_path / "proof").exists()
    assert all(isinstance(one.request, WritePermission) for one in policy.decisions if one.request.kind == "write")
