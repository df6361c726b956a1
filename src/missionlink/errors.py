"""Every error that missionlink raises, in one tree.

The branches follow what a caller does next: mend the call, mend the machine, reconnect, retry or give up.

    MissionlinkError
    ├─ InvalidOption (also ValueError)
    ├─ RuntimeUnavailable
    │  ├─ RuntimeNotFound
    │  ├─ RuntimeInstallFailed
    │  ├─ RuntimeStartFailed
    │  └─ RuntimeIncompatible
    ├─ ConnectionFailed
    │  ├─ ConnectionLost
    │  └─ ConnectionClosed
    ├─ ProtocolError
    │  ├─ RemoteProtocolError
    │  └─ LocalProtocolError
    ├─ RequestFailed
    │  ├─ RequestRejected
    │  │  ├─ AuthenticationFailed
    │  │  └─ UnsupportedByRuntime
    │  └─ RequestTimeout (also TimeoutError)
    ├─ SessionError
    │  ├─ SessionNotFound
    │  ├─ SessionClosed
    │  ├─ SessionIdMismatch
    │  ├─ CloudSessionFailed
    │  │  ├─ CloudPolicyRefused
    │  │  ├─ CloudValidationFailed
    │  │  ├─ CloudNotAuthorised
    │  │  ├─ CloudNotStarted
    │  │  ├─ CloudUnreachable
    │  │  └─ CloudNotReady (also TimeoutError)
    │  ├─ TurnFailed
    │  │  ├─ TurnAborted
    │  │  └─ TurnTimeout (also TimeoutError)
    │  └─ ConsumerOverflow
    ├─ HandlerFailed
    └─ MissingExtra (also ImportError)
"""
