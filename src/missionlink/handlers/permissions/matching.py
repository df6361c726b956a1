"""Matches paths, addresses and command lines against the rules of a policy."""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

if TYPE_CHECKING:
    from missionlink.handlers.permissions.requests import ReadPermission, WritePermission

__all__ = (
    "Protected",
    "host_of",
    "is_below",
    "is_git_directory",
    "is_writable",
    "makes_git_directory",
    "matches_all",
    "place_of",
    "plain_commands",
    "plain_names",
    "protected_on",
    "touched_by_read",
    "touched_by_write",
)

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


# Characters that some readers cut off, replace, or take for the end of the host.
_UNUSUAL: Final = re.compile(r'[^\x21-\x7e]|[\\"<>^`{|}]')


_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:.]*:[0-9a-f:.]*")


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


# Marks of a path that the runtime and this program might read differently.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


_DIFF_HEADER = re.compile(r"^--- a(?P<source>.*)\n(?P<next>.*)", re.MULTILINE)


_TOKEN = re.compile(
    r"""
    (?P<space>[ \t]+)
    | (?P<join>&&|\|\||;|\|(?!&))
    | (?P<word>[^\s'"\\$`<>&|;(){}\[\]*?!#~^%@\x00-\x1f\x7f]+)
    | '(?P<single>[^'\x00-\x1f\x7f]*)'
    | "(?P<double>[^"\\$`!\x00-\x1f\x7f]*)"
    """,
    re.VERBOSE,
)


_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")


def host_of(url: str) -> str | None:
    """Return the host of an ``http`` or ``https`` address in lower case; ``None`` if readers could differ about it."""
    place = _split(url)
    return None if place is None else place[0]


def place_of(url: str) -> str | None:
    """Return ``"host"``, or ``"host:port"`` if the port is not the usual one; ``None`` as for ``host_of``.

    An IPv6 address stands in brackets.
    """
    place = _split(url)
    if place is None:
        return None
    host, port = place
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def _split(url: str) -> tuple[str, int | None] | None:
    from urllib.parse import urlsplit

    if _UNUSUAL.search(url):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    # What stands before an "@" looks like the host and is none.
    if parts.scheme not in DEFAULT_PORTS or host is None or "@" in parts.netloc:
        return None
    host = host.removesuffix(".")
    if not _HOST.fullmatch(host):
        return None
    return host, None if port == DEFAULT_PORTS[parts.scheme] else port


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


def is_below(paths: Sequence[str] | None, roots: Sequence[str], base: str | None) -> bool:
    """Whether each path is one of the roots or lies below one.

    Args:
        paths: What is touched; ``None`` if that cannot be told.
        roots: Folders; relative ones count from ``base``.
        base: Where relative paths count from; the current folder of this program if ``None``.
    """
    return _all_covered(paths, _roots(roots, base), base, _Root.holds)


def is_writable(paths: Sequence[str] | None, roots: Sequence[str], base: str | None) -> bool:
    """Whether each path may be written by a rule for some folders.

    What ``protected`` lists is covered only by a root whose text names it, as ``".git"`` and ``".git/hooks"`` do.

    Args:
        paths: As for ``is_below``.
        roots: As for ``is_below``.
        base: As for ``is_below``.
    """
    return _all_covered(paths, _roots(roots, base), base, _Root.lets_write)


class _Root:
    """A folder of a rule: as it was written, and where it is."""

    __slots__ = ("_folder", "_names", "_names_of_rule", "_written")

    def __init__(self, text: str, start: str) -> None:
        self._written = os.path.normcase(os.path.abspath(os.path.join(start, text)))
        self._folder = _resolved(os.path.join(start, text))
        self._names = plain_names(self._written)
        self._names_of_rule = plain_names(os.path.normpath(text))

    def holds(self, place: str, _: str) -> bool:
        """Whether a resolved path is the folder or lies below it."""
        return self._folder is not None and _holds(self._folder, place)

    def lets_write(self, place: str, written: str) -> bool:
        """Whether a resolved path may be written.

        Args:
            place: The path, resolved.
            written: The same path as it was given, absolute.
        """
        if self._folder is None or not _holds(self._folder, place):
            return False
        # A protected name may be that of a link, so the path is looked at in both forms.
        above = self._written if _holds(self._written, written) else self._folder
        inside, inside_as_written = self._named(self._folder, place), self._named(above, written)
        if inside is None or inside_as_written is None:
            return False
        if "version control" in inside | inside_as_written:
            return True
        return not makes_git_directory(place) and not any(map(is_git_directory, self._opened(place)))

    def _named(self, folder: str, path: str) -> set[str] | None:
        """The kinds of what is protected on a path, named by the rule; ``None`` if the rule leaves one out."""
        depth = len(plain_names(folder)) if _holds(folder, path) else 0
        named: set[str] = set()
        for end, kind in protected_on(names := plain_names(path)):
            if kind == "file" and named:
                continue
            # A working directory inside of a repository's own folder does not open it.
            if end > depth or names[end - 1] not in (self._names if kind == "run by others" else self._names_of_rule):
                return None
            named.add(kind)
        return named

    def _opened(self, place: str) -> Iterator[str]:
        """The folders from the path up to this one; without this one if the rule's text says its name."""
        folder = place
        while folder != self._folder:
            yield folder
            folder = os.path.dirname(folder)
        if not self._names_of_rule:
            yield folder


def _roots(roots: Sequence[str], base: str | None) -> list[_Root]:
    start = os.path.abspath(base or os.curdir)
    return [_Root(root, start) for root in roots]


def _all_covered(
    paths: Sequence[str] | None, roots: Sequence[_Root], base: str | None, covers: Callable[[_Root, str, str], bool]
) -> bool:
    if not paths:
        return False
    start = os.path.abspath(base or os.curdir)
    for path in paths:
        if not path or path.startswith("~") or _CONTROL.search(path):
            return False
        written = os.path.join(start, path)
        place = _resolved(written)
        if place is None:
            return False
        lexical = os.path.normcase(os.path.abspath(written))
        if not any(covers(root, place, lexical) for root in roots):
            return False
    return True


def _resolved(path: str) -> str | None:
    try:
        place = os.path.realpath(path)
    except (OSError, ValueError):
        return None
    return None if _is_ring(place) else os.path.normcase(place)


def _is_ring(path: str) -> bool:
    """Whether links lead in a circle: nobody can say where to. ``realpath`` passes that over."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _holds(folder: str, place: str) -> bool:
    try:
        return os.path.commonpath((folder, place)) == folder
    except ValueError:
        return False  # another drive


def touched_by_read(request: ReadPermission) -> list[str] | None:
    """Return all paths that the request names; ``None`` if they cannot be told."""
    return _texts([request.path, *_shown(request.details, request.prompt)])


def touched_by_write(request: WritePermission) -> list[str] | None:
    """Return all paths that the request names, the source of a move too; ``None`` if they cannot be told."""
    paths: list[object] = [request.path, *_shown(request.details, request.prompt)]
    if request.file_edits is not None:
        for edit in request.file_edits:
            paths += [_member(edit[side], "path") for side in ("before", "after") if side in edit] or [None]
        return _texts(paths) if request.file_edits else None
    # The older family names the source of a move in the diff only. No diff, no answer.
    header = _DIFF_HEADER.search(request.diff)
    if header is None or not header["next"].startswith("+++ b"):
        return None
    source = header["source"]
    if source != "/dev/null":
        # In the diff of an absolute path the leading separator is that of "a/".
        paths.append(source if request.path.startswith("/") else source.removeprefix("/"))
    return _texts(paths)


def _shown(details: Mapping[str, Any], prompt: Mapping[str, Any]) -> list[object]:
    """The paths that stand beside the request's own."""
    shown: list[object] = [details["resolvedPath"]] if "resolvedPath" in details else []
    paths = prompt.get("paths")
    if paths is not None:
        shown += cast("list[object]", paths) if isinstance(paths, list) else [None]
    return shown


def _member(value: object, name: str) -> object:
    return cast("Mapping[str, object]", value).get(name) if isinstance(value, Mapping) else None


def _texts(values: Sequence[object]) -> list[str] | None:
    return list(cast("Sequence[str]", values)) if all(isinstance(value, str) for value in values) else None


def plain_commands(line: str) -> list[list[str]] | None:
    """Return the words of each command of a plain line, else ``None``."""
    commands: list[list[str]] = [[]]
    place, inside = 0, False
    while place < len(line):
        found = _TOKEN.match(line, place)
        if found is None:
            return None
        place = found.end()
        kind = found.lastgroup
        if kind == "space":
            inside = False
        elif kind == "join":
            if not commands[-1]:
                return None
            commands.append([])
            inside = False
        elif inside:
            # Quoted and bare parts without a gap are one word.
            commands[-1][-1] += found[kind or "word"]
        else:
            commands[-1].append(found[kind or "word"])
            inside = True
    if not commands[-1] and len(commands) > 1 and line.rstrip().endswith(";"):
        commands.pop()
    # A command of variables only, or one with variables in front, is run differently than its words say.
    if any(not words or _ASSIGNMENT.match(words[0]) for words in commands):
        return None
    return commands


def matches_all(line: str, patterns: Sequence[Sequence[str]]) -> bool:
    """Whether each command of the line matches one of the patterns, word by word.

    A pattern's words are globs; a last word ``*`` stands for any further words, none too.
    """
    commands = plain_commands(line)
    return commands is not None and all(any(_matches(words, one) for one in patterns) for words in commands)


def _matches(words: Sequence[str], pattern: Sequence[str]) -> bool:
    if pattern[-1] == "*" and len(pattern) > 1:
        fixed = pattern[:-1]
        words = words[: len(fixed)] if len(words) >= len(fixed) else ()
        pattern = fixed
    return len(words) == len(pattern) and all(map(fnmatchcase, words, pattern))
