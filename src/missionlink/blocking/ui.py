"""Forms that a blocking program puts to the user of the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from missionlink.blocking.portal import Portal
    from missionlink.session.ui import Ui as AsyncUi

__all__ = ("Ui",)

_Data = TypeVar("_Data")


class Ui:
    """Asks the user; made by ``session.ui``. Each method returns ``None`` when the user declined or went away.

    The methods wait for the answer for as long as it takes, unless ``timeout`` says otherwise.

    Raises:
        UnsupportedByRuntime: Nobody can answer: the session was opened without ``on_elicitation``.
        RequestTimeout: No answer came in time; the question stays open.
    """

    __slots__ = ("_inner", "_portal")

    def __init__(self, portal: Portal, inner: AsyncUi) -> None:
        self._portal = portal
        self._inner = inner

    def confirm(self, message: str, *, timeout: float | None = None) -> bool | None:
        """Ask for yes or no."""
        return self._portal.run(self._inner.confirm, message, timeout=timeout)

    def select(self, message: str, choices: Sequence[str], *, timeout: float | None = None) -> str | None:
        """Ask for one of several texts."""
        return self._portal.run(self._inner.select, message, choices, timeout=timeout)

    def input(self, message: str, *, default: str | None = None, timeout: float | None = None) -> str | None:
        """Ask for a text."""
        return self._portal.run(self._inner.input, message, default=default, timeout=timeout)

    @overload
    def form(self, message: str, wanted: type[_Data], *, timeout: float | None = None) -> _Data | None: ...
    @overload
    def form(
        self, message: str, wanted: Mapping[str, Any], *, timeout: float | None = None
    ) -> dict[str, Any] | None: ...

    def form(self, message: str, wanted: Any, *, timeout: float | None = None) -> Any:
        """Ask for several values at once.

        Args:
            message: What it is about.
            wanted: A dataclass, ``msgspec.Struct`` or ``TypedDict`` with fields of simple types; the answer is one.
                Or a JSON schema of an object; the answer is a dictionary then, not validated.
            timeout: Seconds; no limit if not given.

        Raises:
            InvalidOption: Forms cannot show such data.
            UnexpectedResult: What was filled in does not fit.
        """
        answer: Any = self._portal.run(self._inner.form, message, wanted, timeout=timeout)
        return answer
