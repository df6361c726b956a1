"""Files that a folder rule for writing never covers: those through which other programs run what was written.

Git runs the filters of ``.git/config`` at ``git status``, direnv runs ``.envrc``, an editor runs its task files, and a
CI service runs its workflows. An agent that may write such a file and run one harmless command may run anything. A
rule covers these files only where its own text names them.

Names are compared as the most lenient file system would: without regard to case, Unicode forms, ignorable characters,
trailing dots and blanks.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

__all__ = ("Protected", "is_git_directory", "makes_git_directory", "plain_names", "protected_on")

_VERSION_CONTROL: Final = frozenset(
    {".git", ".hg", ".svn", "_svn", ".jj", ".bzr", ".sl", ".pijul", "_darcs", ".repo", "git~1"}
    | {".gitattributes", ".gitmodules", ".gitconfig", ".hgrc", ".hgsub", ".jjconfig.toml", ".fslckout", "_fossil_"}
)
_RUN_BY_OTHERS: Final = frozenset(
    # Editors, their workspaces and containers.
    {".vscode", ".idea", ".run", ".vs", ".fleet", ".zed", ".devcontainer", ".devcontainer.json", ".gitpod.yml"}
    | {".replit", ".externaltoolbuilders", ".exrc", ".vimrc", ".nvimrc", ".nvim.lua", ".dir-locals.el"}
    # Shells, interpreters and debuggers run these when they start.
    | {".envrc", ".autoenv.zsh", ".profile", ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases"}
    | {".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout", ".kshrc", ".mkshrc", ".cshrc", ".tcshrc", ".login"}
    | {".logout", ".xprofile", ".xinitrc", ".xsession", ".xsessionrc", ".pam_environment", ".ssh"}
    | {"sitecustomize.py", "usercustomize.py", ".rprofile", ".irbrc", ".pryrc", ".psqlrc", ".sqliterc"}
    | {".gdbinit", ".lldbinit", ".pdbrc"}
    # Managers of git hooks.
    | {".husky", ".githooks", ".git-hooks", ".overcommit.yml", ".pre-commit-hooks.yaml", ".pre-commit-hooks.yml"}
    | {".pre-commit-config.yaml", ".pre-commit-config.yml"}
    # CI services.
    | {".circleci", ".buildkite", ".woodpecker", ".semaphore", ".teamcity", ".azure-pipelines", ".travis.yml"}
    | {".drone.yml", ".drone.star", ".drone.jsonnet", ".cirrus.yml", ".cirrus.star", ".woodpecker.yml"}
    | {".woodpecker.yaml", "appveyor.yml", ".appveyor.yml", "bitbucket-pipelines.yml", "buildspec.yml"}
    | {"buildspec.yaml", "cloudbuild.yaml", "cloudbuild.yml", "cloudbuild.json", "codemagic.yaml", "bitrise.yml"}
    | {".build.yml", ".builds", "wercker.yml", "codefresh.yml", "screwdriver.yaml"}
    # Agents start the servers that this file names.
    | {".mcp.json"}
)
_BELOW_OTHERS: Final = tuple(
    (folder, name)
    for folder, names in {
        ".github": ("workflows", "actions", "hooks", "extensions", "copilot", "mcp.json"),
        ".gitea": ("workflows", "actions"),
        ".forgejo": ("workflows", "actions"),
        ".gitlab": ("ci",),
        ".config": ("git", "fish", "autostart", "systemd", "jj"),
        ".claude": ("settings.json", "settings.local.json", "hooks"),
        ".cursor": ("mcp.json", "hooks.json", "hooks"),
        ".gemini": ("settings.json",),
        ".copilot": ("settings.json", "config.json", "mcp-config.json", "hooks", "extensions", "installed-plugins"),
        "library": ("launchagents", "launchdaemons"),
    }.items()
    for name in names
)
# A file of one of these names is a git hook wherever ``core.hooksPath`` points to; "update" says too little.
_GIT_HOOKS: Final = frozenset(
    {"applypatch-msg", "pre-applypatch", "post-applypatch", "pre-commit", "pre-merge-commit", "prepare-commit-msg"}
    | {"commit-msg", "post-commit", "pre-rebase", "post-checkout", "post-merge", "pre-push", "pre-receive"}
    | {"proc-receive", "post-receive", "post-update", "reference-transaction", "push-to-checkout", "pre-auto-gc"}
    | {"post-rewrite", "sendemail-validate", "fsmonitor-watchman", "post-index-change"}
)
_FILES: Final = re.compile(
    r"\.envrc\..+|jenkinsfile.*|.+\.jenkinsfile|\.gitlab-ci.*\.ya?ml|\.?azure-pipelines.*\.ya?ml|.+\.code-workspace"
    r"|\.?lefthook(-local)?\.\w+|\.lintstagedrc.*|lint-staged\.config\.\w+|\.?simple-git-hooks\.\w+|\.huskyrc.*"
)
# What Windows calls a file besides its name could be the name of any of these.
_SHORT_NAME: Final = re.compile(r"[^~]{1,6}~[0-9]+(\..{0,3})?")
_IS_WINDOWS: Final = os.name == "nt"
_SEPARATORS: Final = re.compile(r"[/\\]")
_GIT_HEAD: Final = re.compile(rb"ref:|[0-9a-f]{40}")


class Protected(NamedTuple):
    """A protected file or folder on a path."""

    depth: int
    """How many names lead to it, its own included."""
    kind: Literal["version control", "run by others", "file"]
    """``"file"`` is protected by its own name, wherever it lies, except in a folder that a rule names."""


def plain_names(path: str) -> list[str]:
    """Return the names of a path as they are compared; empty ones and ``"."`` are left out."""
    if not path.isascii():
        path = unicodedata.normalize("NFKC", path)
        path = "".join(sign for sign in path if unicodedata.category(sign) != "Cf")
    # "name:stream" is the same file on NTFS.
    parts = ((part.partition(":")[0] or part) for part in _SEPARATORS.split(path))
    return [name for part in parts if (name := part.rstrip(". ").casefold())]


def protected_on(names: Sequence[str]) -> Iterator[Protected]:
    """Find what is protected on a path that ``plain_names`` took apart; outer ones come first."""
    for place, name in enumerate(names):
        if name in _VERSION_CONTROL or (_IS_WINDOWS and _SHORT_NAME.fullmatch(name)):
            yield Protected(place + 1, "version control")
        elif name in _RUN_BY_OTHERS or (place and (names[place - 1], name) in _BELOW_OTHERS):
            yield Protected(place + 1, "run by others")
    if names and (names[-1] in _GIT_HOOKS or _FILES.fullmatch(names[-1])):
        yield Protected(len(names), "file")


def makes_git_directory(path: str) -> bool:
    """Whether a file is the one that makes a folder a repository for git, with a config and hooks of its own."""
    return plain_names(path)[-1:] == ["head"]


def is_git_directory(folder: str) -> bool:
    """Whether git could take a folder for a repository whose files lie in it openly.

    Such are bare repositories, and those whose ``.git`` is a file or a link that leads elsewhere.
    """
    head = os.path.join(folder, "HEAD")
    if os.path.islink(head):
        return True
    try:
        with open(head, "rb") as file:
            return _GIT_HEAD.match(file.read(64)) is not None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    except OSError:
        return True
