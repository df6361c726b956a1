"""A Mission Control of our own: cloud sessions of the real runtime, on this machine and without an account.

    async with serve() as control:
        async with AsyncClient(env=control.environment()) as client:
            ...

Needs the extra ``control``.
"""

from __future__ import annotations

from importlib.util import find_spec

from missionlink.errors import MissingExtra

if find_spec("starlette") is None or find_spec("uvicorn") is None:
    raise MissingExtra("control", "missionlink.mission_control")

from missionlink.mission_control.api import SeenRequest
from missionlink.mission_control.commands import (
    AskUserResponse,
    ElicitationResponse,
    PermissionResponse,
    PlanApprovalResponse,
)
from missionlink.mission_control.records import Checkpoint, Limits, TaskRepository
from missionlink.mission_control.scripted import ScriptedWorker
from missionlink.mission_control.scripted_task import ScriptedTask
from missionlink.mission_control.server import MissionControl, serve
from missionlink.mission_control.store import MemoryStore, TaskStore, Totals, open_store
from missionlink.mission_control.tasks import Tasks, TaskView
from missionlink.mission_control.worker import ClaimedTask, Worker

__all__ = (
    "AskUserResponse",
    "Checkpoint",
    "ClaimedTask",
    "ElicitationResponse",
    "Limits",
    "MemoryStore",
    "MissionControl",
    "PermissionResponse",
    "PlanApprovalResponse",
    "ScriptedTask",
    "ScriptedWorker",
    "SeenRequest",
    "TaskRepository",
    "TaskStore",
    "TaskView",
    "Tasks",
    "Totals",
    "Worker",
    "open_store",
    "serve",
)
