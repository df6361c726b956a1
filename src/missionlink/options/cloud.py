"""Options of cloud sessions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from missionlink.errors import InvalidOption
from missionlink.options.checks import check_flag, check_positive, check_word, named_fields

__all__ = ("CloudOptions", "Repository")

_SHORT_FORM = re.compile(r"(?P<owner>[^/@\s]+)/(?P<name>[^/@\s]+?)(@(?P<branch>[^\s]+))?")


@named_fields
@dataclass(frozen=True, slots=True)
class Repository:
    """A GitHub repository that a cloud session works on."""

    owner: str
    """User or organisation."""
    name: str
    """Name without the owner."""
    branch: str | None = None
    """Branch to start from; ``None`` for the repository's default."""

    def __post_init__(self) -> None:
        check_word("owner", self.owner, allow_none=False)
        check_word("name", self.name, allow_none=False)
        check_word("branch", self.branch)
        for option, value in (("owner", self.owner), ("name", self.name)):
            if re.search(r"[/@\s]", value):
                raise InvalidOption(option, f"{value!r} must not hold '/', '@' or white space")

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}" + (f"@{self.branch}" if self.branch else "")

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Read the short form ``"owner/name"`` or ``"owner/name@branch"``.

        Raises:
            InvalidOption: The text has another form.
        """
        check_word("repository", text, allow_none=False)
        found = _SHORT_FORM.fullmatch(text)
        if found is None:
            raise InvalidOption("repository", f"{text!r} is not of the form 'owner/name' or 'owner/name@branch'")
        return cls(found["owner"], found["name"], found["branch"])


@named_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class CloudOptions:
    """How a cloud session is created and awaited."""

    owner: str | None = None
    """Organisation that the session belongs to, where there is no repository."""
    ready_timeout: float | None = 60.0
    """Seconds that ``send`` and ``wait_ready`` wait for the remote worker; ``None`` waits without end."""
    catch_up_timeout: float = 5.0
    """Seconds that the first reading of the session's history may take before events go on without it."""
    drop_unsupported: bool = False
    """Whether options that the runtime cannot serve in a cloud session are dropped instead of refused."""

    def __post_init__(self) -> None:
        check_word("owner", self.owner)
        check_positive("ready_timeout", self.ready_timeout)
        check_positive("catch_up_timeout", self.catch_up_timeout, allow_none=False)
        check_flag("drop_unsupported", self.drop_unsupported, allow_none=False)
