"""What type checkers and editors know of structured output. Checked by test_inference.py, never run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

from missionlink import AsyncClient, Attachment, Session, Turn, TurnResult


@dataclass
class Invoice:
    total: float


class Movie(TypedDict):
    title: str


async def outputs(client: AsyncClient, session: Session) -> None:
    plain = await session.run("hello", timeout=5, attachments=[Attachment.file("a.txt")], agent_mode="plan")
    assert_type(plain, TurnResult)
    assert_type(plain.output, None)
    invoice = await session.run("hello", output_type=Invoice)
    assert_type(invoice, TurnResult[Invoice])
    assert_type(invoice.output, Invoice)
    assert_type(invoice.text, str)
    movie = await session.run("hello", output_type=Movie)
    assert_type(movie.output["title"], str)
    numbers = await client.run("hello", output_type=list[int], model="a")
    assert_type(numbers.output, list[int])
    assert_type((await client.run("hello")).output, None)
    raw = await session.run("hello", output_type={"type": "object"})
    assert_type(raw, TurnResult[Any])


async def turns(session: Session) -> TurnResult:
    async with session.stream("hello", mode="enqueue") as turn:
        assert_type(turn, Turn)
        async for text in turn.text:
            assert_type(text, str)
    return await turn


async def mistakes(session: Session) -> None:
    await session.run("hello", mode="now")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await session.run("hello", attachment=[])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await session.set_mode("planned")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
