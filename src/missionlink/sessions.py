"""The part of a client that opens, lists and removes sessions.

What sessions are made of is imported in the methods: the client loads it while the runtime boots (see ``startup``).
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

from missionlink.errors import InvalidOption, MissionlinkError
from missionlink.options.checks import check_positive
from missionlink.options.hiding import forget, hides_arguments
from missionlink.options.merge import checked_id, list_params, options_of, session_options
from missionlink.protocol.timeouts import DEFAULT, Default, Timeout

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from typing_extensions import TypeForm

    from missionlink.lifecycle import SessionInfo
    from missionlink.options.attachments import Attachment
    from missionlink.options.client import ClientOptions
    from missionlink.options.cloud import CloudOptions, Repository
    from missionlink.options.fields import SessionFields
    from missionlink.options.session import SessionOptions
    from missionlink.session.link import Link
    from missionlink.session.opening import Opening
    from missionlink.session.output_types import OutputAdapter
    from missionlink.session.turn import TurnResult
    from missionlink.session.turn_state import Until

__all__ = ("Sessions",)

_log = logging.getLogger("missionlink.client")

_Output = TypeVar("_Output")


class Sessions(ABC):
    """The methods of a client that concern sessions as a whole."""

    options: ClientOptions
    """The client's options."""

    @abstractmethod
    def _running_link(self) -> Link:
        """Return the parts of the running client; raise why it is not running."""

    @hides_arguments
    def create_session(
        self,
        options: SessionOptions | None = None,
        *,
        session_id: str | None = None,
        timeout: Timeout = DEFAULT,
        **fields: Unpack[SessionFields],
    ) -> Opening:
        """Open a new local session: ``await`` it, or enter it with ``async with``.

        Args:
            options: Options of the session; ``fields`` are fields of ``SessionOptions`` that override it.
            session_id: Name for the session; a fresh one if not given.
            timeout: Seconds for opening; the client's ``create_timeout`` if not given.
            fields: Any field of ``SessionOptions``.

        Raises:
            InvalidOption: An option is wrong, or asks for a cloud session.
        """
        if "cloud" in fields:
            raise InvalidOption("cloud", "a cloud session is created by create_cloud_session()")
        from missionlink.session.conversation import new_session_id
        from missionlink.session.local import LocalCreation
        from missionlink.session.opening import Opening

        wanted = self._wanted(options, fields, ("session_id", "timeout"))
        name = checked_id(session_id) if session_id is not None else new_session_id()
        limit = self._limit(timeout)
        return Opening("create_session", self._running_link, lambda link: LocalCreation(link, wanted, name), limit)

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
    ) -> Opening:
        """Open a stored local session again; handlers and providers are not stored and must be given again.

        Args:
            session_id: The session.
            options: As for ``create_session``.
            continue_pending: Whether the agent goes on with what was open when the session was left.
            quiet: Whether the runtime leaves out the ``session.resume`` event.
            timeout: Seconds for opening; the client's ``create_timeout`` if not given.
            fields: Any field of ``SessionOptions``.
        """
        from missionlink.session.local import Resumption
        from missionlink.session.opening import Opening

        wanted, name = (
            self._wanted(options, fields, ("continue_pending", "quiet", "timeout")),
            checked_id(session_id),
        )

        def make(link: Link) -> Resumption:
            return Resumption(link, wanted, name, continue_pending=continue_pending, quiet=quiet)

        return Opening("resume_session", self._running_link, make, self._limit(timeout))

    @hides_arguments
    def create_cloud_session(
        self,
        repository: Repository | str | None = None,
        options: SessionOptions | None = None,
        *,
        cloud: CloudOptions | None = None,
        timeout: Timeout = DEFAULT,
        **fields: Unpack[SessionFields],
    ) -> Opening:
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
        if "session_id" in fields:
            raise InvalidOption("session_id", "the runtime assigns the id of a cloud session")
        wanted = self._wanted(options, fields, ("repository", "cloud", "timeout"))
        from missionlink.options.cloud import CloudOptions, Repository
        from missionlink.options.encode import check_cloud
        from missionlink.session.cloud import CloudCreation
        from missionlink.session.opening import Opening

        check_cloud(wanted)
        place = Repository.parse(repository) if isinstance(repository, str) else repository
        if place is not None and not isinstance(place, Repository):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("repository", f"must be a Repository or str, not {type(place).__name__}")
        settings = options_of(CloudOptions, cloud)

        def make(link: Link) -> CloudCreation:
            return CloudCreation(link, wanted, place, settings)

        return Opening("create_cloud_session", self._running_link, make, self._limit(timeout))

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
    ) -> Opening:
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
        from missionlink.options.cloud import CloudOptions
        from missionlink.options.encode import check_cloud
        from missionlink.session.cloud import CloudResumption
        from missionlink.session.opening import Opening

        wanted, name = self._wanted(options, fields, ("cloud", "history", "timeout")), checked_id(session_id)
        check_cloud(wanted)
        settings = options_of(CloudOptions, cloud)

        def make(link: Link) -> CloudResumption:
            return CloudResumption(link, wanted, name, settings, history=history)

        return Opening("resume_cloud_session", self._running_link, make, self._limit(timeout))

    @overload
    async def run(
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
    async def run(
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
    async def run(
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
    async def run(
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

    async def run(
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
        from missionlink.session.single_prompt import check_single_prompt

        check_single_prompt(prompt, output_type, attachments, timeout, idle_timeout, until)
        opening = self.create_session(options, **fields)
        forget(fields)
        session = await opening
        try:
            return await session.run(
                prompt,
                output_type=cast("TypeForm[Any]", output_type),
                attachments=attachments,
                timeout=timeout,
                idle_timeout=idle_timeout,
                until=until,
            )
        finally:
            try:
                await session.delete()
            except MissionlinkError as error:  # what counts is how the turn ended
                _log.info("the session of a single prompt was not deleted: %s", error)

    async def list_sessions(
        self,
        *,
        cwd: str | os.PathLike[str] | None = None,
        git_root: str | os.PathLike[str] | None = None,
        repository: str | None = None,
        branch: str | None = None,
    ) -> list[SessionInfo]:
        """Return the stored local sessions: all, or those that were opened in a certain place.

        Runtimes do not list sessions that are in the client's ``storage``.

        Args:
            cwd: Working directory; relative paths count from this program's, and ``~`` is the user's home.
            git_root: Root of the working tree; likewise.
            repository: ``"owner/name"``.
            branch: Name of the branch.

        Raises:
            InvalidOption: An argument is no path or no text; nothing was sent.
        """
        from missionlink.lifecycle import read_sessions

        params = list_params(cwd=cwd, git_root=git_root, repository=repository, branch=branch)
        return read_sessions(await self._running_link().call("session.list", params))

    async def delete_session(self, session_id: str, *, missing_ok: bool = False) -> None:
        """Remove a stored session that is not open here.

        Raises:
            SessionNotFound: There is none, and ``missing_ok`` is not set.
        """
        from missionlink.lifecycle import check_deleted

        name = checked_id(session_id)
        link = self._running_link()
        if self.options.storage is not None:
            from missionlink.session.stored import remove_stored

            await remove_stored(link.pool, self.options.storage, name, missing_ok=missing_ok)
            return
        result = await link.call("session.delete", {"sessionId": name})
        check_deleted(name, result, missing_ok=missing_ok)

    def _wanted(
        self, options: SessionOptions | None, fields: Mapping[str, Any], also: tuple[str, ...]
    ) -> SessionOptions:
        return session_options(options, fields, also=also, base=self.options.working_directory)

    def _limit(self, timeout: Timeout) -> float | None:
        limit = self.options.create_timeout if isinstance(timeout, Default) else timeout
        check_positive("timeout", limit)
        return limit
