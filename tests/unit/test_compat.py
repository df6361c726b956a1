"""What is known of a runtime by its version."""

from __future__ import annotations

import pytest

from missionlink.protocol.compat import Compat
from missionlink.protocol.generated.methods import VERSIONS

NEW, OLD = VERSIONS[0], VERSIONS[-1]
EVERYWHERE, NEW_ONLY, OLD_ONLY, UNHEARD_OF = "session.send", "session.detach", "session.auth.getStatus", "session.foo"


@pytest.mark.parametrize(
    ("version", "everywhere", "new_only", "old_only"),
    [
        (NEW, True, True, False),
        (OLD, True, False, True),
        ("1.0.80", True, None, None),
        ("2.1.0", True, True, False),
        ("1.0.102-beta.1", True, True, False),
        ("1.0.20", None, False, None),
        ("nightly", None, None, None),
        (None, None, None, None),
    ],
)
def test_a_method_is_there_not_there_or_unknown(
    version: str | None, everywhere: bool | None, new_only: bool | None, old_only: bool | None
) -> None:
    compat = Compat(version)
    assert compat.supports(EVERYWHERE) is everywhere
    assert compat.supports(NEW_ONLY) is new_only
    assert compat.supports(OLD_ONLY) is old_only
    assert compat.supports(UNHEARD_OF) is None


def test_the_methods_of_a_runtime_are_those_that_it_is_known_to_have() -> None:
    assert EVERYWHERE in Compat(NEW).methods() & Compat(OLD).methods()
    assert NEW_ONLY in Compat(NEW).methods() - Compat(OLD).methods()
    assert Compat(None).methods() == frozenset()
