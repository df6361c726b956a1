"""The runtime ends after the n-th byte that it sends, for each n of a whole conversation (contracts C2, E4, P8)."""

from __future__ import annotations

import asyncio

from missionlink.errors import ConnectionFailed, MissionlinkError

from .runtime import Ends, Runtime, client_of, connected, program
from .watch import PATIENCE_S, quiet_loop


async def whole_conversation(budget: int | None) -> tuple[Runtime, Ends, BaseException | None]:
    runtime, ends = Runtime(budget), Ends()
    client = client_of(await connected(runtime))
    outcome: BaseException | None = None
    async with asyncio.timeout(PATIENCE_S):
        try:
            await program(client, ends)
        except BaseExceptionGroup as group:
            outcome = group.exceptions[0]
        except MissionlinkError as error:
            outcome = error
        await client.close()
    return runtime, ends, outcome


async def test_the_conversation_is_whole_where_nobody_dies() -> None:
    runtime, ends, outcome = await whole_conversation(None)
    assert outcome is None
    assert set(ends.outcomes) == {"lifecycle", "closed", "cloud events", "cloud turn", "local events"}
    assert all(len(runtime.answers[identity]) == 1 for identity in runtime.asked)


async def test_the_runtime_may_die_after_any_byte() -> None:
    """C2, E4, P8: every wait ends typed, whatever byte was the last."""
    whole, _, _ = await whole_conversation(None)
    frames = set(whole.frames)
    for budget in range(1, whole.sent):
        async with quiet_loop():
            runtime, ends, outcome = await whole_conversation(budget)
        where = f"after {runtime.sent} of {whole.sent} bytes"
        if ends.is_leaving and outcome is None:
            continue  # a farewell that nobody hears is none that fails
        assert isinstance(outcome, ConnectionFailed), f"{where}: {outcome!r}"
        for name, end in ends.outcomes.items():
            assert end is None or isinstance(end, MissionlinkError | asyncio.CancelledError), f"{where}: {name} {end!r}"
        # Nobody is told that it went well, and a message that was torn says so.
        if budget not in frames:
            assert any("within a message" in note for note in getattr(outcome, "__notes__", ())), where
        assert all(len(found) == 1 for found in runtime.answers.values()), where
