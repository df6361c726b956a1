"""Measure missionlink beside the official Python SDK and beside the physical limit for the same bytes."""
