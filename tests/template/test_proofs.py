"""What `archiver verify` asks IAM about is what the role is for: neither more nor less."""

from __future__ import annotations

from typing import Any

from cli.proofs import NEEDS
from tests.template.resolved import Stack

# The role's policies, by the resource that the proof names. The log and the trace have no proof:
# without them nothing is archived less.
POLICIES = {
    "ReceiveAndDefer": "queue",
    "ClaimAndRemember": "table",
    "ReadCredentials": "secret",
    "Archive": "objects",
    "Emit": "bus",
    "Reject": "dead letters",
}


def test_the_proof_of_the_role_asks_for_every_action_of_its_policies() -> None:
    """A permission that is added to the role is added to the proof."""
    asked = {resource: set(actions) for resource, actions in NEEDS.items()}
    granted: dict[str, set[str]] = {resource: set() for resource in asked}
    for policy in Stack().properties("ArchiveExportRole")["Policies"]:
        if policy["PolicyName"] not in POLICIES:
            continue
        for statement in policy["PolicyDocument"]["Statement"]:
            granted[_resource(policy["PolicyName"], statement)] |= _actions(statement)
    assert asked == granted


def _resource(policy: str, statement: dict[str, Any]) -> str:
    if policy == "Archive" and not statement["Resource"].endswith("*"):
        return "bucket"
    return POLICIES[policy]


def _actions(statement: dict[str, Any]) -> set[str]:
    actions = statement["Action"]
    return {actions} if isinstance(actions, str) else set(actions)
