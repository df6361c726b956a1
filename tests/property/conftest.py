"""Settings of all property tests."""

from __future__ import annotations

from hypothesis import settings

# Machines that run these tests are shared: the time of one example says nothing.
settings.register_profile("missionlink", deadline=None)
settings.load_profile("missionlink")
