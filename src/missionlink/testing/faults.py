"""Injects faults into the fake runtime. They act on the newest connection unless another one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from missionlink.testing.fake import FakeRuntime
    from missionlink.testing.peer import Peer

__all__ = ("Faults",)

_FLOOD_BATCH = 500


class Faults:
    """The ways in which a fake runtime misbehaves; found as ``fake.faults``."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self._runtime = runtime

    def tear_frame(self, keep: int = 10, *, peer: Peer | None = None) -> None:
        """Send only the first ``keep`` bytes of the next frame, header included, then nothing until ``mend``."""
        self._peer(peer).outlet.tear(keep)

    def go_silent(self, *, peer: Peer | None = None) -> None:
        """Say nothing more; what would be said is held back until ``mend``."""
        self._peer(peer).outlet.silence()

    def mend(self, *, peer: Peer | None = None) -> None:
        """Send what was held back, and go on as usual: ends torn frames, silence and dripping."""
        outlet = self._peer(peer).outlet
        outlet.drip(0)
        outlet.speak()

    def drip(self, size: int = 1, *, peer: Peer | None = None) -> None:
        """Send everything in pieces of ``size`` bytes, until ``mend``.

        In memory the client reads each piece by itself. Pipes and sockets may join pieces, but each is written in
        a round of the event loop of its own.
        """
        self._peer(peer).outlet.drip(size)

    def one_segment(self, *, peer: Peer | None = None) -> AbstractContextManager[None]:
        """Write what is sent within the block as one piece, so that the client reads it at once."""
        return self._peer(peer).outlet.one_segment()

    async def flood(
        self,
        count: int,
        session_id: str,
        *,
        size: int = 0,
        type: str = "assistant.message_delta",  # noqa: A002  the wire's word
    ) -> None:
        """Send many events as fast as the client takes them.

        Args:
            count: How many.
            session_id: For which session; it need not exist.
            size: Bytes of text in each.
            type: Wire name of the events.
        """
        text = "x" * size
        for start in range(0, count, _FLOOD_BATCH):
            for number in range(start, min(start + _FLOOD_BATCH, count)):
                data = {"messageId": "flood", "deltaContent": text, "number": number}
                self._runtime.emit(session_id, type, data)
            await self._runtime.peer.drained()

    def send_body(self, body: bytes, *, peer: Peer | None = None) -> None:
        """Send bytes as the body of a frame, whatever they are."""
        target = self._peer(peer)
        target.sends_raw = True
        target.send_body(body)

    def send_bytes(self, data: bytes, *, peer: Peer | None = None) -> None:
        """Send bytes outside any frame."""
        target = self._peer(peer)
        target.sends_raw = True
        target.send_bytes(data)

    def stop_reading(self, *, peer: Peer | None = None) -> None:
        """Read nothing more, so that what the client writes piles up."""
        self._peer(peer).link.pause_reading()

    def read_again(self, *, peer: Peer | None = None) -> None:
        """Go on reading."""
        self._peer(peer).link.resume_reading()

    def disconnect(self, *, peer: Peer | None = None) -> None:
        """Close the connection after what was sent; the process, where there is one, lives on."""
        self._peer(peer).end()

    def exit(self, code: int = 0, *, peer: Peer | None = None) -> None:
        """End the process with an exit code after what was sent; without a process, close the connection."""
        target = self._peer(peer)
        if target.is_open:
            target.link.exit(code)
            target.lose()

    def write_stderr(self, data: bytes, *, peer: Peer | None = None) -> None:
        """Write to the standard error of the process; nothing happens without a process."""
        self._peer(peer).link.write_stderr(data)

    def defy(self, *, peer: Peer | None = None) -> None:
        """Let the process ignore the end of its input and the signal TERM."""
        self._peer(peer).link.defy()

    def _peer(self, peer: Peer | None) -> Peer:
        return peer or self._runtime.peer
