"""Which session owns an id, and traffic for ids that nobody owns yet (contracts P3, P4, P5, P7, P17)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import msgspec
import pytest

from missionlink._wire.calls import Call
from missionlink._wire.pending_limits import PendingLimits
from missionlink._wire.routing import KnownIds, RoutingTable
from missionlink.errors import InvalidOption, LocalProtocolError
from missionlink.protocol.envelope import Event
from missionlink.protocol.messages import Request

_numbers = itertools.count(1)


def _event(name: str = "") -> Event:
    return Event(type="t", id=name or f"e{next(_numbers)}")


def _call() -> Call:
    return Call(Request(b"%d" % next(_numbers), "userInput.request", msgspec.Raw(b"{}")), "s", 10)


@dataclass
class Port:
    name: str


def _routes(**limits: int) -> RoutingTable[Port]:
    return RoutingTable(replace(PendingLimits(), **limits))


def _items(fallen: list[tuple[str, Event | Call]]) -> list[Event | Call]:
    return [item for _, item in fallen]


def test_traffic_before_the_registration_is_handed_over_in_arrival_order():
    """P3, P5: events and requests together."""
    routes = _routes()
    routes.open_guard()
    sent = [_event(), _call(), _event(), _event(), _call()]
    for item in sent:
        assert routes.buffer("s", item, 10, 0.0) == []
    lost, held = routes.register("s", Port("p"))
    assert lost == 0
    assert [item for item, _ in held] == sent
    assert [size for _, size in held] == [10] * 5
    assert routes.buffered_bytes == 0


def test_each_id_has_a_buffer_of_its_own():
    """P3."""
    routes = _routes()
    routes.open_guard()
    first, second = _event(), _event()
    routes.buffer("a", first, 1, 0)
    routes.buffer("b", second, 1, 0)
    assert routes.register("a", Port("a")) == (0, [(first, 1)])
    assert routes.register("b", Port("b")) == (0, [(second, 1)])
    assert routes.register("c", Port("c")) == (0, [])


def test_without_a_guard_nothing_is_held():
    """P3."""
    routes = _routes()
    with pytest.raises(LocalProtocolError) as caught:
        routes.buffer("s", _event(), 1, 0)
    assert caught.value.session_id == "s"


def test_a_live_id_is_not_taken_over():
    """P5, reliability 9."""
    routes = _routes()
    port = Port("first")
    routes.register("s", port)
    with pytest.raises(LocalProtocolError):
        routes.register("s", Port("second"))
    assert routes.find("s") is port
    assert routes.unregister("s") is port
    assert routes.unregister("s") is None
    assert routes.find("s") is None


def test_at_128_items_the_oldest_falls_out_whatever_it_is():
    """P4: the default bound."""
    routes = RoutingTable[Port]()
    routes.open_guard()
    request, event = _call(), _event()
    assert routes.buffer("s", request, 1, 0) == []
    assert routes.buffer("s", event, 1, 0) == []
    kept = [_event() for _ in range(126)]
    for item in kept:
        assert routes.buffer("s", item, 1, 0) == []
    newer = [_event(), _event()]
    assert routes.buffer("s", newer[0], 1, 0) == [("s", request)]
    assert routes.buffer("s", newer[1], 1, 0) == [("s", event)]
    lost, held = routes.register("s", Port("p"))
    assert lost == 1, "a request that falls out is answered, it is no lost event"
    assert [item for item, _ in held] == kept + newer


def test_at_the_bound_of_ids_the_newest_stranger_is_dropped_and_nothing_else():
    """P4: 64 ids and two for each pending creation; the loss of one never becomes a loss of all."""
    routes = RoutingTable[Port]()
    routes.open_guard()
    for number in range(66):
        assert routes.buffer(f"id-{number}", _event(), 1, 0) == []
    request, event = _call(), _event()
    assert routes.buffer("id-66", request, 1, 0) == [("id-66", request)]
    assert routes.buffer("id-67", event, 1, 0) == [("id-67", event)]
    for number in range(66):
        assert routes.buffer(f"id-{number}", _event(), 1, 0) == []
    assert [routes.register(f"id-{number}", Port("p"))[0] for number in range(66)] == [0] * 66


@pytest.mark.parametrize("pending", [2, 65, 500])
def test_the_bound_of_ids_grows_with_the_pending_creations(pending: int):
    """P4: each creation may have an id of its own and one that it never names."""
    routes = RoutingTable[Port]()
    for _ in range(pending):
        routes.open_guard()
    room = 64 + 2 * pending
    assert not any(routes.buffer(f"id-{number}", _event(), 1, 0) for number in range(room))
    assert len(routes.buffer("one-more", _event(), 1, 0)) == 1


def test_an_id_that_was_turned_away_reports_what_it_missed_when_it_is_registered_after_all():
    """P4: the loss is reported in its place, in front of what came later."""
    routes = _routes(sessions=1)
    guard = routes.open_guard()
    other = routes.open_guard()
    for name in ("a", "b", "c", "d", "e"):
        assert routes.buffer(name, _event(), 1, 0) == []
    turned_away = [_event(), _event()]
    assert [routes.buffer("z", item, 1, 0) for item in turned_away] == [[("z", item)] for item in turned_away]
    routes.register("a", Port("a"))
    later = _event()
    assert routes.buffer("z", later, 1, 0) == []
    assert routes.register("z", Port("z")) == (2, [(later, 1)])
    assert routes.close_guard(guard) == []
    assert len(routes.close_guard(other)) == 4


def test_at_16_mib_in_all_the_oldest_of_all_ids_falls_out():
    """P4: the default bound, across ids."""
    routes = RoutingTable[Port]()
    routes.open_guard()
    four_mib = 4 * 1024 * 1024
    items = [_event() for _ in range(5)]
    for number, item in enumerate(items[:4]):
        assert routes.buffer(f"id-{number % 2}", item, four_mib, 0) == []
    assert routes.buffered_bytes == 16 * 1024 * 1024
    assert routes.buffer("id-9", items[4], four_mib, 0) == [("id-0", items[0])]
    assert routes.buffered_bytes == 16 * 1024 * 1024


def test_an_item_larger_than_all_room_is_dropped_and_nothing_else():
    """P4."""
    routes = _routes(total_bytes=100)
    routes.open_guard()
    small, huge = _event(), _call()
    routes.buffer("a", small, 50, 0)
    assert _items(routes.buffer("b", huge, 101, 0)) == [huge]
    assert routes.buffered_bytes == 50
    assert routes.register("b", Port("b")) == (0, [])


def test_a_flood_for_one_id_costs_that_id_only():
    """P4: at the bound of bytes the id that takes most pays."""
    routes = _routes(total_bytes=1000)
    routes.open_guard()
    mine = [_event(), _call()]
    for item in mine:
        routes.buffer("mine", item, 100, 0)
    flood = [_event() for _ in range(50)]
    evicted = [one for item in flood for one in routes.buffer("flood", item, 100, 0)]
    assert evicted == [("flood", item) for item in flood[:-8]]
    assert [item for item, _ in routes.register("mine", Port("p"))[1]] == mine


def test_the_end_of_the_last_guard_lets_everything_go():
    """P7."""
    routes = _routes()
    guard = routes.open_guard()
    sent = [("a", _event()), ("b", _call()), ("a", _call())]
    for session_id, item in sent:
        routes.buffer(session_id, item, 1, 0)
    assert sorted(map(id, _items(routes.close_guard(guard)))) == sorted(id(item) for _, item in sent)
    assert not routes.is_guarded
    assert routes.buffered_bytes == 0
    assert routes.close_guard(guard) == []


def test_what_is_let_go_at_a_guards_end_is_in_order_for_each_id():
    """P7."""
    routes = _routes()
    guard = routes.open_guard()
    sent = [_event(), _call(), _event()]
    for item in sent:
        routes.buffer("a", item, 1, 0)
    assert routes.close_guard(guard) == [("a", item) for item in sent]


def test_traffic_stays_while_any_guard_of_its_time_is_open():
    """P7: two creations, one of which fails."""
    routes = _routes()
    first, second = routes.open_guard(), routes.open_guard()
    item = _event()
    routes.buffer("s", item, 1, 0)
    assert routes.close_guard(first) == []
    assert routes.register("s", Port("p")) == (0, [(item, 1)])
    assert routes.close_guard(second) == []


def test_leftovers_do_not_outlive_the_creations_that_were_open_when_they_came():
    """P7: a creation that begins later cannot claim them, however long it takes."""
    routes = _routes()
    first = routes.open_guard()
    leftover = _call()
    routes.buffer("gone", leftover, 1, 0)
    routes.open_guard()
    young = _event()
    routes.buffer("gone", young, 1, 0)
    assert routes.close_guard(first) == [("gone", leftover)]
    assert routes.register("gone", Port("p")) == (0, [(young, 1)])


def test_events_let_go_at_a_guards_end_are_counted_for_a_later_registration():
    """P4, P7."""
    routes = _routes()
    first = routes.open_guard()
    routes.buffer("s", _event(), 1, 0)
    routes.buffer("s", _call(), 1, 0)
    second = routes.open_guard()
    assert len(routes.close_guard(first)) == 2
    assert routes.register("s", Port("p")) == (1, [])
    routes.close_guard(second)


def test_losses_are_forgotten_with_the_last_guard():
    """P4: an id of another age is not told of losses that were not its own."""
    routes = _routes()
    guard = routes.open_guard()
    routes.buffer("s", _event(), 1, 0)
    routes.close_guard(guard)
    assert routes.register("s", Port("p")) == (0, [])


def test_ten_thousand_unknown_ids_take_no_more_room_than_the_bounds():
    """P4, reliability 10."""
    routes = RoutingTable[Port]()
    routes.open_guard()
    fallen = 0
    for number in range(10_000):
        fallen += len(routes.buffer(f"id-{number}", _event("x"), 100, 0))
    assert fallen == 10_000 - 66
    assert routes.buffered_bytes == 66 * 100


def test_a_request_that_has_waited_is_adopted_by_the_only_creation():
    """P17."""
    routes = _routes()
    guard = routes.open_guard()
    routes.buffer("s", _event(), 1, 10.0)
    assert routes.next_adoption(0.25) is None, "events do not make anybody wait"
    routes.buffer("s", _call(), 1, 11.0)
    assert routes.next_adoption(0.25) == 11.25
    assert routes.adoption_due(11.2, 0.25) is None
    assert routes.adoption_due(11.25, 0.25) == (guard, "s")


def test_a_creation_adopts_one_id_only():
    """P17."""
    routes = _routes()
    routes.open_guard()
    routes.buffer("s", _call(), 1, 0)
    assert routes.adoption_due(1, 0.25) is not None
    routes.buffer("t", _call(), 1, 2)
    assert routes.adoption_due(9, 0.25) is None
    assert routes.next_adoption(0.25) is None


def test_a_request_that_came_while_two_creations_were_pending_is_never_adopted():
    """P17 (a): only a creation that has been the only one since before the request came."""
    routes = _routes()
    first, second = routes.open_guard(), routes.open_guard()
    routes.buffer("s", _call(), 1, 0)
    assert routes.adoption_due(100, 0.25) is None
    routes.settle_guard(first)
    routes.close_guard(first)
    assert routes.adoption_due(100, 0.25) is None
    routes.buffer("t", _call(), 1, 200)
    assert routes.adoption_due(300, 0.25) == (second, "t")


def test_a_request_that_waits_while_another_creation_comes_and_goes_is_not_adopted():
    """P17 (a)."""
    routes = _routes()
    routes.open_guard()
    routes.buffer("s", _call(), 1, 0)
    short = routes.open_guard()
    routes.settle_guard(short)
    routes.close_guard(short)
    assert routes.adoption_due(100, 0.25) is None


def test_an_id_that_may_be_a_refused_creations_is_not_adopted_by_another():
    """P17: it was heard of while both were pending, and one ended without naming its session."""
    routes = _routes()
    routes.open_guard()
    refused = routes.open_guard()
    routes.buffer("s", _event(), 1, 0)
    routes.close_guard(refused)
    routes.buffer("s", _call(), 1, 1)
    assert routes.adoption_due(100, 0.25) is None


@pytest.mark.parametrize("how", ["left", "refused", "heard", "seen"])
def test_an_id_that_was_known_before_the_creation_is_not_adopted(how: str):
    """P17 (b): left or refused here, named by a listing or a notification, or seen with an event."""
    routes = _routes()
    if how == "left":
        routes.register("s", Port("p"))
        routes.unregister("s")
    elif how == "refused":
        routes.leave("s")
    elif how == "heard":
        routes.hear("s")
    else:
        older = routes.open_guard()
        routes.buffer("s", _event(), 1, 0)
        routes.close_guard(older)
    guard = routes.open_guard()
    assert routes.known.is_older("s", guard)
    assert routes.known.has_left("s") is (how in ("left", "refused"))
    routes.buffer("s", _call(), 1, 0)
    assert routes.adoption_due(100, 0.25) is None


def test_an_id_that_was_announced_after_the_creation_was_sent_is_no_stranger():
    """P17 (b): runtimes up to 1.0.71 announce the new session before the response."""
    routes = _routes()
    guard = routes.open_guard()
    routes.hear("s")
    routes.buffer("s", _call(), 1, 0)
    assert routes.adoption_due(100, 0.25) == (guard, "s")


def test_a_session_that_is_taken_up_again_is_known_as_left_no_longer():
    """P17: leaving, resuming, leaving."""
    routes = _routes()
    for _ in range(2):
        routes.register("s", Port("p"))
        assert not routes.known.has_left("s")
        routes.unregister("s")
        assert routes.known.has_left("s")


def test_the_memory_of_known_ids_is_bounded():
    """P17: the oldest are forgotten."""
    known = KnownIds(most_left=3, most_heard=2)
    for number in range(10):
        known.leave(f"left-{number}", 0)
        known.hear(f"heard-{number}", 0)
    assert len(known) == 5
    assert [known.has_left(f"left-{number}") for number in (6, 7, 9)] == [False, True, True]
    assert [known.is_older(f"heard-{number}", 1) for number in (7, 8, 9)] == [False, True, True]


def test_what_only_an_abandoned_creation_could_claim_is_due_also_with_others_pending():
    """P17: after the patience, with the events before it; what another one may own stays."""
    routes = _routes()
    gone = routes.open_guard()
    event, request = _event(), _call()
    routes.buffer("x", event, 1, 0)
    routes.buffer("x", request, 1, 1)
    routes.open_guard()
    shared = _call()
    routes.buffer("y", shared, 1, 2)
    assert routes.next_expiry(0.25) is None
    routes.abandon_guard(gone)
    assert routes.next_expiry(0.25) == 1.25
    assert routes.expired(1.2, 0.25) == []
    assert routes.expired(1.25, 0.25) == [("x", event), ("x", request)]
    assert routes.expired(100, 0.25) == []
    assert routes.register("y", Port("p")) == (0, [(shared, 1)])


def test_an_abandoned_creation_adopts_nothing():
    """P17, P10."""
    routes = _routes()
    guard = routes.open_guard()
    routes.abandon_guard(guard)
    routes.buffer("s", _call(), 1, 0)
    assert routes.adoption_due(100, 0.25) is None


def test_what_is_held_for_an_id_that_is_given_up_comes_back_at_once():
    """P7: the late response of an abandoned creation names it."""
    routes = _routes()
    routes.open_guard()
    routes.open_guard()
    items = [_event(), _call()]
    for item in items:
        routes.buffer("x", item, 5, 0)
    assert routes.give_up("x") == [("x", item) for item in items]
    assert routes.buffered_bytes == 0
    assert routes.known.has_left("x")


def test_of_several_ids_the_one_whose_request_waits_longest_is_adopted():
    """P17."""
    routes = _routes()
    guard = routes.open_guard()
    routes.buffer("young", _event(), 1, 0)
    routes.buffer("old", _call(), 1, 1)
    routes.buffer("young", _call(), 1, 2)
    assert routes.adoption_due(5, 0.25) == (guard, "old")


def test_a_request_that_was_cancelled_makes_nobody_adopt():
    """P17, C6."""
    routes = _routes()
    routes.open_guard()
    call = _call()
    routes.buffer("s", call, 1, 0)
    call.is_open = False
    assert routes.next_adoption(0.25) is None
    assert routes.adoption_due(9, 0.25) is None


def test_a_request_that_fell_out_makes_nobody_adopt():
    """P17, P4."""
    routes = _routes(items_per_session=1)
    routes.open_guard()
    routes.buffer("s", _call(), 1, 0)
    routes.buffer("s", _event(), 1, 0)
    assert routes.next_adoption(0.25) is None


def test_clearing_names_everything_that_was_held():
    """P8: at the connection's end nothing disappears unreported."""
    routes = _routes()
    routes.open_guard()
    routes.register("live", Port("live"))
    sent = [_event(), _call()]
    for item in sent:
        routes.buffer("s", item, 1, 0)
    assert routes.clear() == [("s", item) for item in sent]
    assert routes.targets() == []
    assert not routes.is_guarded
    assert routes.buffered_bytes == 0


@pytest.mark.parametrize("name", ["items_per_session", "sessions", "total_bytes"])
@pytest.mark.parametrize("value", [0, -1, "many", None, 1.5, True])
def test_a_wrong_bound_is_refused_by_name(name: str, value: object):
    """P4: each configurable; a wrong value is refused before it is used."""
    with pytest.raises(InvalidOption) as caught:
        PendingLimits(**{name: value})  # type: ignore[arg-type]
    assert caught.value.option == name
