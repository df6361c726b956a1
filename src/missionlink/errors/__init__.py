"""Every error that missionlink raises, in one tree.

The branches follow what a caller does next: mend the call, mend the machine, reconnect, retry or give up.

    MissionlinkError
    ├─ InvalidOption (also ValueError)
    ├─ MissingExtra (also ImportError)
    ├─ WouldDeadlock
    ├─ WrongEventLoop (also RuntimeError)
    ├─ RuntimeUnavailable
    │  ├─ RuntimeNotFound
    │  ├─ RuntimeInstallFailed
    │  ├─ RuntimeStartFailed
    │  │  └─ RuntimeStartTimeout (also TimeoutError)
    │  └─ RuntimeIncompatible
    ├─ ConnectionFailed
    │  ├─ ConnectionLost
    │  └─ ConnectionClosed
    ├─ ProtocolError
    │  ├─ RemoteProtocolError
    │  ├─ LocalProtocolError
    │  └─ UnexpectedResult
    ├─ RequestFailed
    │  ├─ RequestRejected
    │  │  ├─ AuthenticationFailed
    │  │  └─ UnsupportedByRuntime
    │  ├─ RequestRefused
    │  └─ RequestTimeout (also TimeoutError)
    ├─ SessionError
    │  ├─ SessionNotFound
    │  ├─ SessionBusy (also TimeoutError)
    │  ├─ SessionClosed
    │  ├─ SessionIdMismatch
    │  │  └─ SessionAlreadyOpen
    │  ├─ CloudSessionFailed
    │  │  ├─ CloudPolicyRefused
    │  │  ├─ CloudValidationFailed
    │  │  ├─ CloudNotAuthorised
    │  │  ├─ CloudNotStarted
    │  │  ├─ CloudUnreachable
    │  │  ├─ CloudNotReady (also TimeoutError)
    │  │  ├─ CloudTimeout (also RequestTimeout)
    │  │  ├─ CloudResponseInvalid (also ProtocolError)
    │  │  ├─ CloudIdMismatch (also SessionIdMismatch)
    │  │  ├─ CloudSessionNotFound (also SessionNotFound)
    │  │  ├─ CloudUnsupported (also UnsupportedByRuntime)
    │  │  ├─ CloudConnectionLost (also ConnectionLost)
    │  │  ├─ CloudConnectionClosed (also ConnectionClosed)
    │  │  └─ CloudConnectionBroken (also RemoteProtocolError)
    │  ├─ TurnFailed
    │  │  ├─ OutputInvalid
    │  │  └─ TurnTimeout (also TimeoutError)
    │  └─ ConsumerOverflow
    ├─ HandlerFailed
    │  └─ RequestMisdirected
    ├─ MissionControlError
    │  ├─ MissionControlStartFailed
    │  ├─ StoreRefused
    │  ├─ StoreUnavailable
    │  └─ TaskRefused
    └─ ScriptMismatch (also AssertionError)

Each error keeps its facts in attributes, says what to do in its text, and survives ``copy`` and ``pickle``.
"""

from __future__ import annotations

from missionlink.errors.cloud import (
    CloudConnectionBroken,
    CloudConnectionClosed,
    CloudConnectionLost,
    CloudIdMismatch,
    CloudResponseInvalid,
    CloudSessionNotFound,
    CloudTimeout,
    CloudUnsupported,
)
from missionlink.errors.exchange import (
    AuthenticationFailed,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    RequestFailed,
    RequestRefused,
    RequestRejected,
    RequestTimeout,
    UnexpectedResult,
    UnsupportedByRuntime,
)
from missionlink.errors.machine import (
    ConnectionClosed,
    ConnectionFailed,
    ConnectionLost,
    RuntimeIncompatible,
    RuntimeInstallFailed,
    RuntimeNotFound,
    RuntimeStartFailed,
    RuntimeStartTimeout,
    RuntimeUnavailable,
)
from missionlink.errors.root import (
    HandlerFailed,
    InvalidOption,
    MissingExtra,
    MissionlinkError,
    RequestMisdirected,
    WouldDeadlock,
    WrongEventLoop,
)
from missionlink.errors.sessions import (
    CloudNotAuthorised,
    CloudNotReady,
    CloudNotStarted,
    CloudPolicyRefused,
    CloudSessionFailed,
    CloudUnreachable,
    CloudValidationFailed,
    ConsumerOverflow,
    OutputInvalid,
    SessionAlreadyOpen,
    SessionBusy,
    SessionClosed,
    SessionError,
    SessionIdMismatch,
    SessionNotFound,
    TurnFailed,
    TurnTimeout,
)
from missionlink.errors.tools import (
    MissionControlError,
    MissionControlStartFailed,
    ScriptMismatch,
    StoreRefused,
    StoreUnavailable,
    TaskRefused,
)

__all__ = (
    "AuthenticationFailed",
    "CloudConnectionBroken",
    "CloudConnectionClosed",
    "CloudConnectionLost",
    "CloudIdMismatch",
    "CloudNotAuthorised",
    "CloudNotReady",
    "CloudNotStarted",
    "CloudPolicyRefused",
    "CloudResponseInvalid",
    "CloudSessionFailed",
    "CloudSessionNotFound",
    "CloudTimeout",
    "CloudUnreachable",
    "CloudUnsupported",
    "CloudValidationFailed",
    "ConnectionClosed",
    "ConnectionFailed",
    "ConnectionLost",
    "ConsumerOverflow",
    "HandlerFailed",
    "InvalidOption",
    "LocalProtocolError",
    "MissingExtra",
    "MissionControlError",
    "MissionControlStartFailed",
    "MissionlinkError",
    "OutputInvalid",
    "ProtocolError",
    "RemoteProtocolError",
    "RequestFailed",
    "RequestMisdirected",
    "RequestRefused",
    "RequestRejected",
    "RequestTimeout",
    "RuntimeIncompatible",
    "RuntimeInstallFailed",
    "RuntimeNotFound",
    "RuntimeStartFailed",
    "RuntimeStartTimeout",
    "RuntimeUnavailable",
    "ScriptMismatch",
    "SessionAlreadyOpen",
    "SessionBusy",
    "SessionClosed",
    "SessionError",
    "SessionIdMismatch",
    "SessionNotFound",
    "StoreRefused",
    "StoreUnavailable",
    "TaskRefused",
    "TurnFailed",
    "TurnTimeout",
    "UnexpectedResult",
    "UnsupportedByRuntime",
    "WouldDeadlock",
    "WrongEventLoop",
)

for _name in __all__:
    # Tracebacks and pickles name the place that programs import from.
    globals()[_name].__module__ = __name__
