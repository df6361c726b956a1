"""Takes secrets out of what people will read: runtimes quote what they were given in errors and on standard error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar, cast

from missionlink.protocol.json_repr import REDACTORS
from missionlink.protocol.sensitive import MASK, Secret, secrets_of

if TYPE_CHECKING:
    from missionlink.errors import MissionlinkError

__all__ = ("MOST_SECRETS", "Redactor")

_Error = TypeVar("_Error", bound="MissionlinkError")
MOST_SECRETS = 4096
"""Values of sessions that are remembered; the client's own come on top."""
# Shorter ones would be found in words that mean something else.
_SHORTEST = 8


class Redactor:
    """The secrets that one client has been given."""

    __slots__ = ("__weakref__", "_lasting", "_values")

    def __init__(self) -> None:
        self._lasting: tuple[str, ...] = ()
        # Those that were learned last are at the end.
        self._values: dict[str, None] = {}
        # Events show their payload, and know no client.
        REDACTORS.add(self)

    def __repr__(self) -> str:
        return f"<Secrets {len(self._lasting) + len(self._values)}>"

    def pin(self) -> None:
        """Remember what is known now for good, whatever is learned later."""
        self._lasting = (*self._lasting, *self._values)
        self._values = {}

    def add(self, values: Iterable[str | None]) -> None:
        """Remember values; short ones are no secrets. Of too many, those that were learned first are forgotten."""
        for value in values:
            if value is not None and len(value) >= _SHORTEST and value not in self._lasting:
                self._values.pop(value, None)
                self._values[value] = None
                if len(self._values) > MOST_SECRETS:
                    del self._values[next(iter(self._values))]

    def add_from(self, members: object) -> None:
        """Remember the secrets in JSON-like data or in an environment; see ``secrets_of``."""
        self.add(secrets_of(members))

    def text(self, text: str) -> str:
        """Return the text without them."""
        for values in (self._lasting, self._values):
            for value in values:
                if value in text:
                    text = text.replace(value, MASK)
        return text

    def redact_error(self, error: _Error) -> _Error:
        """Return the error, with its text and attributes freed of them."""
        if self._lasting or self._values:
            error.args = tuple(self.data(argument) for argument in error.args)
            for name, value in vars(error).items():
                setattr(error, name, self.data(value))
        return error

    def data(self, value: object) -> object:
        """Return JSON-like data without them; a ``Secret`` is replaced by what is shown for it."""
        if isinstance(value, Secret):
            return self.text(value.shown)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            text = value.decode("latin-1")
            return self.text(text).encode("latin-1")
        if isinstance(value, dict):
            return {name: self.data(member) for name, member in cast("dict[object, object]", value).items()}
        if isinstance(value, list):
            return [self.data(member) for member in cast("list[object]", value)]
        return value
