"""Takes secrets out of what people will read: runtimes quote what they were given in errors and on standard error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from missionlink.errors import MissionlinkError

__all__ = ("Secrets",)

_Error = TypeVar("_Error", bound="MissionlinkError")
_MASK = "***"
# Shorter ones would be found in words that mean something else.
_SHORTEST = 8
# Names of members and variables, in lower case and without "_" and "-", that hold a secret, or hold nothing else.
_NAMES = ("token", "secret", "password", "apikey", "accesskey", "authorization", "credential")
_CONTAINERS = frozenset({"headers", "requestheaders"})


class Secrets:
    """The secrets that one client has been given."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: set[str] = set()

    def __repr__(self) -> str:
        return f"<Secrets {len(self._values)}>"

    def learn(self, values: Iterable[str | None]) -> None:
        """Remember values; short ones are no secrets."""
        self._values.update(value for value in values if value is not None and len(value) >= _SHORTEST)

    def learn_from(self, members: object, *, is_secret: bool = False) -> None:
        """Remember what stands under the name of a secret, in JSON-like data or in an environment."""
        if isinstance(members, str):
            if is_secret:
                # A header may have a word in front of it, as in "Bearer ...".
                self.learn([members, members.rpartition(" ")[2]])
        elif isinstance(members, Mapping):
            for name, value in cast("Mapping[object, object]", members).items():
                plain = str(name).lower().replace("_", "").replace("-", "")
                inner = is_secret or plain in _CONTAINERS or any(part in plain for part in _NAMES)
                if inner or not isinstance(value, str):
                    self.learn_from(value, is_secret=inner)
        elif isinstance(members, list | tuple):
            for value in cast("Iterable[object]", members):
                self.learn_from(value, is_secret=is_secret)

    def text(self, text: str) -> str:
        """Return the text without them."""
        for value in self._values:
            if value in text:
                text = text.replace(value, _MASK)
        return text

    def clean(self, error: _Error) -> _Error:
        """Return the error, with its text and attributes freed of them."""
        if self._values:
            error.args = tuple(self._cleaned(argument) for argument in error.args)
            for name, value in vars(error).items():
                setattr(error, name, self._cleaned(value))
        return error

    def _cleaned(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            text = value.decode("latin-1")
            return self.text(text).encode("latin-1")
        if isinstance(value, dict):
            return {name: self._cleaned(member) for name, member in cast("dict[object, object]", value).items()}
        if isinstance(value, list):
            return [self._cleaned(member) for member in cast("list[object]", value)]
        return value
