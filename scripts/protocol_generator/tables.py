"""What only people know about the protocol, each entry with its reason."""

from __future__ import annotations

from typing import Final

# Definitions whose name an event's payload needs: payloads are named after their event.
RENAMED_TYPES: Final = {
    "ModelCallFinalResult": "ModelCallFinalResultKind",
    "ModelMessage": "ModelNote",
    "SystemNotification": "SystemNotificationKind",
}

# Wire parameters that would take the name of our own ``timeout``; the wire counts milliseconds.
RENAMED_PARAMETERS: Final = {("session.shell.exec", "timeout"): "timeout_ms"}

# Results with a member ``success`` or ``ok`` where a false one is an answer and not a failure. All other methods
# with such a result raise ``RequestRefused``; the generator refuses to guess for names that are in neither place.
_RACE: Final = "false says that somebody else answered first or that the request is over, which is normal"
_CONTENT: Final = "the member describes the thing asked about, not the call"
ANSWERS: Final = {
    "session.commands.handlePendingCommand": _RACE,
    "session.commands.respondToQueuedCommand": _RACE,
    "session.mcp.headers.handlePendingHeadersRefreshRequest": _RACE,
    "session.mcp.oauth.handlePendingRequest": _RACE,
    "session.mcp.oauth.respond": _RACE,
    "session.permissions.handlePendingPermissionRequest": _RACE,
    "session.sandbox.grantPathForRequest": _RACE,
    "session.tools.handlePendingToolCall": _RACE,
    "session.ui.handleHumanAskUser": _RACE,
    "session.ui.handleHumanExitPlanMode": _RACE,
    "session.ui.handleHumanUserInput": _RACE,
    "session.ui.handlePendingAutoModeSwitch": _RACE,
    "session.ui.handlePendingElicitation": _RACE,
    "session.ui.handlePendingExitPlanMode": _RACE,
    "session.ui.handlePendingSampling": _RACE,
    "session.ui.handlePendingSessionLimitsExhausted": _RACE,
    "session.ui.handlePendingUserInput": _RACE,
    "session.eventLog.releaseInterest": "false says that the handle was released before",
    "session.history.compact": "false says that there was nothing worth compacting",
    "session.permissions.notifyPromptShown": "only a hint to the runtime; false says that nobody waits for it",
    "session.shell.executeUserRequested": "a command that fails is a result like any other",
    "session.tools.taskCompleteEventData": _CONTENT,
    "user.settings.validate": _CONTENT,
}
FAILURES: Final = {
    "persistence.writeRawJsonLocked": "the file was not written",
    "secrets.addFilterValues": "the values will show in logs",
    "session.abort": "the turn goes on",
    "session.accounts.set": "the account was not set",
    "session.auth.setCredentials": "the credentials were not taken",
    "session.commands.finalizeInvocationEffect": "the command's effect did not take place",
    "session.delete": "the session is still on disk; runtimes say so only here",
    "session.destroy": "there is no such session",
    "session.detach": "this connection is still attached",
    "session.gitHubAuth.setCredentials": "the credentials were not taken",
    "session.options.update": "the options are as before",
    "session.permissions.configure": "the rules are as before",
    "session.permissions.folderTrust.addTrusted": "the folder is not trusted",
    "session.permissions.locations.addToolApproval": "the approval was not stored",
    "session.permissions.modifyRules": "the rules are as before",
    "session.permissions.paths.add": "the path is not allowed",
    "session.permissions.paths.updatePrimary": "the primary path is as before",
    "session.permissions.resetSessionApprovals": "the approvals still hold",
    "session.permissions.setAllowAll": "the mode is as before",
    "session.permissions.setApproveAll": "the mode is as before",
    "session.permissions.setMode": "the mode is as before",
    "session.permissions.setRequired": "the rule is as before",
    "session.permissions.urls.setUnrestrictedMode": "the mode is as before",
    "session.sandbox.disableForSession": "the sandbox is still on",
    "session.setForeground": "only a runtime with a terminal can do it",
    "connect": "the handshake did not take place",
    "llmInference.setProvider": "model traffic does not go through this client",
    "sessionFs.setProvider": "session files do not go through this client",
}

# Methods whose answer waits for a person, a model, an MCP server, a download or a login: no bound of ours would be
# right.
UNLIMITED: Final = {
    "account.login",
    "azureMl.catalog",
    "azureMl.download",
    "catalog.planInstallFromReference",
    "mcp.applyInstall",
    "mcp.planInstall",
    "mcp.prepareInstall",
    "plugins.applyInstall",
    "plugins.install",
    "plugins.marketplaces.add",
    "plugins.marketplaces.refresh",
    "plugins.planInstall",
    "plugins.update",
    "plugins.updateAll",
    "sandbox.proxyCa.trust",
    "session.accounts.login.advance",
    "session.accounts.login.begin",
    "session.canvas.action.invoke",
    "session.canvas.open",
    "session.commands.execute",
    "session.commands.invoke",
    "session.connectors.connect",
    "session.connectors.continueConnection",
    "session.connectors.reconnect",
    "session.create",
    "session.debug.collectLogs",
    "session.eventLog.read",
    "session.fleet.start",
    "session.gitHubAuth.login",
    "session.history.compact",
    "session.history.summarizeForHandoff",
    "session.limitPrediction.predict",
    "session.mcp.apps.callTool",
    "session.mcp.apps.readResource",
    "session.mcp.executeSampling",
    "session.mcp.oauth.complete",
    "session.mcp.oauth.login",
    "session.mcp.prompts.get",
    "session.mcp.reload",
    "session.mcp.reloadWithConfig",
    "session.mcp.resources.read",
    "session.mcp.restartServer",
    "session.mcp.startServer",
    "session.plugins.install",
    "session.plugins.marketplaces.add",
    "session.plugins.marketplaces.refresh",
    "session.plugins.reload",
    "session.plugins.retryManaged",
    "session.plugins.update",
    "session.resume",
    "session.send",
    "session.sendMessages",
    "session.shell.exec",
    "session.shell.executeUserRequested",
    "session.tasks.waitForPending",
    "session.tools.execute",
    "session.tools.initializeAndValidate",
    "session.ui.elicitation",
    "session.ui.ephemeralQuery",
    "session.workflow.agent",
    "session.workflow.resume",
    "session.workflow.resumeFromTool",
    "session.workflow.run",
    "session.workflow.runFromTool",
    "sessions.connect",
    "skills.applyInstall",
    "skills.planInstall",
}

# Members that a schema requires and real runtimes send as null: (class, member) -> what null means there.
NULLABLE_MEMBERS: Final = {
    ("AgentGetCurrentResult", "agent"): "no custom agent is selected; sent by both runtimes",
    ("BuiltinToolDescriptor", "hasSummariseIntention"): "most tools have no such setting; sent by 1.0.102",
}

# Members that real runtimes send and no schema has: (class, member) -> type in the form of the reduced schema.
SEEN_MEMBERS: Final = {
    ("CurrentToolMetadata", "title"): "string",
    ("ExitPlanModeRequested", "toolCallId"): "string",
    ("PermissionRequestShell", "shellType"): "string",
    ("PermissionRequestShellCommandSegment", "hasUnboundExecutableContent"): "boolean",
    ("WorkspacesGetWorkspaceResultWorkspace", "fork_count"): "integer",
}
