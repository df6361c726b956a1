"""The part of a blocking client that opens, lists and removes sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

from missionlink.blocking.session import Session
from missionlink.handlers.invoke import is_nonblocking
from missionlink.handlers.signatures import check_shape
from missionlink.options.hiding import forget, hides_arguments
from missionlink.options.session import HANDLERS, SessionOptions
from missionlink.protocol.timeouts import DEFAULT, Timeout

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from typing_extensions import TypeForm

    from missionlink._client.lifecycle import SessionInfo
    from missionlink.blocking.delivery import Deliveries
    from missionlink.blocking.shared import Shared
    from missionlink.client import AsyncClient
    from missionlink.options.attachments import Attachment
    from missionlink.options.client import ClientOptions
    from missionlink.options.cloud import CloudOptions, Repository
    from missionlink.options.fields import SessionFields
    from missionlink.session.opening import SessionOpening
    from missionlink.session.output_types import OutputAdapter
    from missionlink.session.turn import TurnResult
    from missionlink.session.turn_state import Until

__all__ = ("Sessions",)

_Output = TypeVar("_Output")


class Sessions:
    """The methods of a client that concern sessions as a whole.

    A session is opened by the call itself, and left at the end of the block where the call stands behind ``with``.
    Ctrl-C while it is opened leaves nothing behind.
    """

    options: ClientOptions
    """The client's options."""

    def __init__(self, inner: AsyncClient, shared: Shared) -> None:
        self._inner = inner
        self._shared = shared

    @hides_arguments
    def create_session(
        self,
        options: SessionOptions | None = None,
        *,
        session_id: str | None = None,
        timeout: Timeout = DEFAULT,
        **fields: Unpack[SessionFields],
    ) -> Session:
        """Open a new local session.

        Args:
            options: Options of the session; ``fields`` are fields of ``SessionOptions`` that override it.
            session_id: Name for the session; a fresh one if not given.
            timeout: Seconds for opening; the client's ``create_timeout`` if not given.
            fields: Any field of ``SessionOptions``.

        Raises:
            InvalidOption: An option is wrong, or asks for a cloud session.
        """
        create = self._inner.create_session
        return self._open(
            options, fields, lambda given: create(options, session_id=session_id, timeout=timeout, **given)
        )

    @hides_arguments
    def resume_session(
        self,
        session_id: str,
        options: SessionOptions | None = None,
        *,
        continue_pending: bool = False,
        quiet: bool = False,
        timeout: Timeout = DEFAULT,
        **fields: Unpack[SessionFields],
    ) -> Session:
        """Open a stored local session again; handlers and providers are not stored and must be given again.

        Args:
            session_id: The session.
            options: As for ``create_session``.
            continue_pending: Whether the agent goes on with what was open when the session was left.
            quiet: Whether the runtime leaves out the ``session.resume`` event.
            timeout: Seconds for opening; the client's ``create_timeout`` if not given.
            fields: Any field of ``SessionOptions``.
        """
        resume = self._inner.resume_session
        return self._open(
            options,
            fields,
            lambda given: resume(
                session_id, options, continue_pending=continue_pending, quiet=quiet, timeout=timeout, **given
            ),
        )

    @hides_arguments
    def create_cloud_session(
        self,
        repository: Repository | str | None = None,
        options: SessionOptions | None = None,
        *,
        cloud: CloudOptions | None = None,
        timeout: Timeout = DEFAULT,
        **fields: Unpack[SessionFields],
    ) -> Session:
        """Open a new session on compute that Mission Control reserves; the runtime assigns its id.

        Args:
            repository: ``Repository``, ``"owner/name"`` or ``"owner/name@branch"``; ``None`` for none.
            options: As for ``create_session``.
            cloud: Further options of cloud sessions.
            timeout: Seconds for opening; the client's ``create_timeout`` if not given.
            fields: Any field of ``SessionOptions``.

        Raises:
            InvalidOption: An option is wrong or not for cloud sessions; nothing was sent.
        """
        create = self._inner.create_cloud_session
        return self._open(
            options, fields, lambda given: create(repository, options, cloud=cloud, timeout=timeout, **given)
        )

    @hides_arguments
    def resume_cloud_session(
        self,
        session_id: str,
        options: SessionOptions | None = None,
        *,
        cloud: CloudOptions | None = None,
        history: bool = False,
        timeout: Timeout = DEFAULT,
        **fields: Unpack[SessionFields],
    ) -> Session:
        """Come back to a cloud session, after a disconnect, a timed-out creation or from a new process.

        Questions of a kind without a handler are left to other clients; nobody else denies them.

        Args:
            session_id: The session.
            options: As for ``create_session``; the handlers are served again.
            cloud: Further options of cloud sessions.
            history: Whether consumers get the session's past events first.
            timeout: Seconds for opening; the client's ``create_timeout`` if not given.
            fields: Any field of ``SessionOptions``.
        """
        resume = self._inner.resume_cloud_session
        return self._open(
            options,
            fields,
            lambda given: resume(session_id, options, cloud=cloud, history=history, timeout=timeout, **given),
        )

    @overload
    def run(
        self,
        prompt: str,
        options: SessionOptions | None = None,
        *,
        output_type: None = None,
        attachments: Sequence[Attachment | Mapping[str, Any]] = (),
        timeout: float | None = None,
        idle_timeout: float | None = None,
        until: Until = "idle",
        **fields: Unpack[SessionFields],
    ) -> TurnResult: ...
    @overload
    def run(
        self,
        prompt: str,
        options: SessionOptions | None = None,
        *,
        output_type: TypeForm[_Output],
        attachments: Sequence[Attachment | Mapping[str, Any]] = (),
        timeout: float | None = None,
        idle_timeout: float | None = None,
        until: Until = "idle",
        **fields: Unpack[SessionFields],
    ) -> TurnResult[_Output]: ...
    @overload
    def run(
        self,
        prompt: str,
        options: SessionOptions | None = None,
        *,
        output_type: OutputAdapter[_Output],
        attachments: Sequence[Attachment | Mapping[str, Any]] = (),
        timeout: float | None = None,
        idle_timeout: float | None = None,
        until: Until = "idle",
        **fields: Unpack[SessionFields],
    ) -> TurnResult[_Output]: ...
    @overload
    def run(
        self,
        prompt: str,
        options: SessionOptions | None = None,
        *,
        output_type: Mapping[str, Any],
        attachments: Sequence[Attachment | Mapping[str, Any]] = (),
        timeout: float | None = None,
        idle_timeout: float | None = None,
        until: Until = "idle",
        **fields: Unpack[SessionFields],
    ) -> TurnResult[Any]: ...

    def run(
        self,
        prompt: str,
        options: SessionOptions | None = None,
        *,
        output_type: Any = None,
        attachments: Sequence[Attachment | Mapping[str, Any]] = (),
        timeout: float | None = None,
        idle_timeout: float | None = None,
        until: Until = "idle",
        **fields: Unpack[SessionFields],
    ) -> TurnResult[Any]:
        """Send one prompt in a local session of its own, and return the result; the session is deleted afterwards.

        Args:
            prompt: The text.
            options: As for ``create_session``.
            output_type: As for ``session.run``.
            attachments: As for ``session.send``.
            timeout: Seconds for the turn in all; ``None`` for no limit.
            idle_timeout: Seconds without any event; ``None`` for no limit.
            until: When the turn ends, as for ``session.send``; what still runs then ends with the session.
            fields: Any field of ``SessionOptions``.

        Raises:
            InvalidOption, RequestFailed, ConnectionFailed: As for ``create_session`` and ``session.send``.
            TurnFailed, TurnTimeout, OutputInvalid: As for ``session.run``.
        """
        deliveries, given = self._listening(options, fields)

        def begin() -> Coroutine[Any, Any, TurnResult[Any]]:
            running = self._inner.run(
                prompt,
                options,
                output_type=cast("TypeForm[Any]", output_type),
                attachments=attachments,
                timeout=timeout,
                idle_timeout=idle_timeout,
                until=until,
                **given,
            )
            forget(given)
            return running

        forget(fields)
        with deliveries.caught_up():
            return self._shared.portal.run(begin)

    def list_sessions(
        self,
        *,
        cwd: str | os.PathLike[str] | None = None,
        git_root: str | os.PathLike[str] | None = None,
        repository: str | None = None,
        branch: str | None = None,
    ) -> list[SessionInfo]:
        """Return the stored local sessions: all, or those that were opened in a certain place.

        Args:
            cwd: Working directory; relative paths count from this program's, and ``~`` is the user's home.
            git_root: Root of the working tree; likewise.
            repository: ``"owner/name"``.
            branch: Name of the branch.

        Raises:
            InvalidOption: An argument is no path or no text; nothing was sent.
        """
        list_sessions = self._inner.list_sessions
        return self._shared.portal.run(
            lambda: list_sessions(cwd=cwd, git_root=git_root, repository=repository, branch=branch)
        )

    def delete_session(self, session_id: str, *, missing_ok: bool = False) -> None:
        """Remove a stored session that is not open here.

        Raises:
            SessionNotFound: There is none, and ``missing_ok`` is not set.
        """
        self._shared.portal.run(self._inner.delete_session, session_id, missing_ok=missing_ok)

    def _open(
        self,
        options: SessionOptions | None,
        fields: Mapping[str, Any],
        make: Callable[[Mapping[str, Any]], SessionOpening],
    ) -> Session:
        """Open a session; ``make`` begins to, with the fields that it is given in the place of ``fields``."""
        deliveries, given = self._listening(options, fields)
        # What is wrong with the options is said here, in the thread that gave them.
        opening = make(given)
        forget(given)
        forget(fields)
        try:
            return Session(self._shared, self._shared.portal.run(_opened, opening), deliveries)
        finally:
            # It may have been refused before it was begun.
            opening.discard()

    def _listening(
        self, options: SessionOptions | None, fields: Mapping[str, Any]
    ) -> tuple[Deliveries, dict[str, Any]]:
        """Return a copy of the fields with an ``on_event`` that is called in a thread, and what calls it."""
        self._shared.portal.check_reachable()
        deliveries = self._shared.deliveries()
        function = fields.get("on_event", options.on_event if isinstance(options, SessionOptions) else None)
        if not callable(function) or is_nonblocking(function):
            return deliveries, dict(fields)
        check_shape("on_event", function, HANDLERS["on_event"])
        delivery = self._shared.event_delivery(function, None, takes_payload=False)
        deliveries.add(delivery)
        return deliveries, {**fields, "on_event": delivery.put}


async def _opened(opening: SessionOpening) -> Any:
    return await opening
