"""Keeps what a function was given out of the traceback of a refusal, whose variables error services show."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from missionlink.errors import InvalidOption
from missionlink.protocol.sensitive import Secret, masked_copy, masked_env

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ("HiddenCall", "forget", "hidden_arguments", "hidden_env", "hidden_text", "hides_arguments", "without_frames")

_P = ParamSpec("_P")
_Result = TypeVar("_Result")
_Error = TypeVar("_Error", bound=BaseException)


def hides_arguments(function: Callable[_P, _Result]) -> Callable[_P, _Result]:
    """Let ``InvalidOption`` leave a function without the frames below it, whose variables may be secrets; a decorator.

    Where the wrong option came from is in the frame above, and what is wrong about it is in the text.
    """

    @functools.wraps(function)
    def hidden(*args: _P.args, **kwargs: _P.kwargs) -> _Result:
        call = HiddenCall(function, args, kwargs)
        del args, kwargs
        try:
            return call()
        except InvalidOption as error:
            raise without_frames(error)  # noqa: B904

    return hidden


def forget(fields: Mapping[str, object]) -> None:
    """Empty the keywords of a call, which have been passed on: its frame stays for as long as it waits."""
    cast("dict[str, object]", fields).clear()


def hidden_text(text: str | None) -> str | None:
    """Return a text that masks itself where it is represented, in the frame of an error for example."""
    return None if text is None else Secret(text)


def hidden_arguments(words: Sequence[str]) -> tuple[str, ...]:
    """Return arguments of a program in which secrets mask themselves."""
    return tuple(masked_copy(words))


def hidden_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that represents nothing but its names."""
    return masked_env(env)


def without_frames(error: _Error) -> _Error:
    """Return an error that shows no frames, nor do those that led to it."""
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest:
        one = rest.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            rest += [one.__cause__, one.__context__]
    return error


class HiddenCall(Generic[_Result]):
    """A call that represents nothing of its arguments.

    Args:
        function: What is called.
        args: Its arguments by place.
        kwargs: Its arguments by name.
    """

    def __init__(self, function: Callable[..., _Result], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self.__qualname__: str = getattr(function, "__qualname__", None) or repr(function)

    def __call__(self) -> _Result:
        """Make it."""
        return self._function(*self._args, **self._kwargs)
