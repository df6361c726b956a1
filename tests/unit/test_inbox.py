"""The bounded buffer that tells what it has let go (contracts P4, P11, E2)."""

from __future__ import annotations

import pytest

from missionlink._wire.bounded_queue import BoundedQueue


def test_items_come_out_in_the_order_in_which_they_went_in():
    """P3."""
    inbox: BoundedQueue[int] = BoundedQueue(10, 100)
    for number in range(5):
        assert inbox.push(number, 1) == []
    assert [inbox.pop() for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(IndexError):
        inbox.pop()


def test_at_the_bound_of_items_the_oldest_falls_out():
    """P4."""
    inbox: BoundedQueue[int] = BoundedQueue(3, 100)
    assert [inbox.push(number, 1) for number in range(5)] == [[], [], [], [0], [1]]
    assert inbox.take_all() == [(2, 1), (3, 1), (4, 1)]


def test_at_the_bound_of_bytes_as_many_fall_out_as_it_takes():
    """P4."""
    inbox: BoundedQueue[str] = BoundedQueue(10, 10)
    for name in "abc":
        inbox.push(name, 3)
    assert inbox.push("big", 7) == ["a", "b"]
    assert inbox.bytes == 10


def test_an_item_larger_than_the_bound_does_not_stay():
    """P4: the bound holds under any traffic; what went is named."""
    inbox: BoundedQueue[str] = BoundedQueue(10, 10)
    inbox.push("a", 1)
    assert inbox.push("huge", 11) == ["a", "huge"]
    assert (len(inbox), inbox.bytes) == (0, 0)


def test_items_exactly_at_the_bounds_stay():
    """P4."""
    inbox: BoundedQueue[str] = BoundedQueue(2, 10)
    assert inbox.push("a", 4) == []
    assert inbox.push("b", 6) == []
    assert len(inbox) == 2


def test_losses_are_reported_once():
    """P4, E2."""
    inbox: BoundedQueue[str] = BoundedQueue(1, 10)
    inbox.note_lost(2)
    inbox.note_lost(3)
    assert inbox.take_lost() == 5
    assert inbox.take_lost() == 0


def test_taking_all_empties_it_and_frees_its_room():
    inbox: BoundedQueue[str] = BoundedQueue(2, 10)
    inbox.push("a", 5)
    assert inbox.take_all() == [("a", 5)]
    assert inbox.take_all() == []
    assert inbox.bytes == 0
    assert inbox.push("b", 10) == []
