"""What type checkers and editors know of structured output. Checked by test_inference.py, never run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict, assert_type

import pydantic

from missionlink import AsyncClient, Attachment, Session, Turn, TurnResult
from missionlink.blocking import Client as BlockingClient
from missionlink.blocking import Session as BlockingSession


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


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]


Pet = Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]


async def unions(client: AsyncClient, session: Session) -> None:
    assert_type((await session.run("hello", output_type=Cat | Dog)).output, Cat | Dog)
    assert_type((await session.run("hello", output_type=Pet)).output, Cat | Dog)
    assert_type((await session.run("hello", output_type=Cat | None)).output, Cat | None)
    assert_type((await client.run("hello", output_type=Literal["yes", "no"])).output, Literal["yes", "no"])
    assert_type((await session.run("hello", output_type=list[Cat | Dog])).output, list[Cat | Dog])
    adapter = pydantic.TypeAdapter(list[Cat])
    assert_type((await session.run("hello", output_type=adapter)).output, list[Cat])
    assert_type((await client.run("hello", output_type=adapter)).output, list[Cat])


def blocking(client: BlockingClient, session: BlockingSession) -> None:
    assert_type(session.run("hello", output_type=Cat | Dog).output, Cat | Dog)
    assert_type(client.run("hello", output_type=Literal["yes", "no"]).output, Literal["yes", "no"])
    assert_type(client.run("hello", output_type=pydantic.TypeAdapter(Cat)).output, Cat)


async def turns(session: Session) -> TurnResult:
    async with session.stream("hello", mode="enqueue") as turn:
        assert_type(turn, Turn)
        async for text in turn.text:
            assert_type(text, str)
    return await turn


async def mistakes(session: Session) -> None:
    await session.run("hello", mode="now")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await session.run("hello", attachment=[])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await session.run("hello", output_type=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await session.set_mode("planned")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
