"""What a person can do about a dead letter, by its reason: docs/operations.md in two sentences.

It must know every reason that a letter can have; a test holds it to the stack's own list.
"""

from __future__ import annotations

__all__ = ["NO_REASON", "REMEDIES"]

NO_REASON = ""
# reason: what happened, what to do. What is done before a redrive stands first.
REMEDIES = {
    "malformed_message": (
        "No job id could be read, or the vendor calls the request wrong.",
        "Mend the sender, then delete the letter: sent again it would come back.",
    ),
    "no_such_job": (
        "The vendor knew no such job (404) for five minutes.",
        (
            "Check the id, and whose credentials the secret holds; then redrive. If the job "
            "appears in the vendor's list, the next sweep queues it: delete the letter then."
        ),
    ),
    "forbidden": (
        "The vendor refuses it: no permission, or the feature is not enabled for the account.",
        "Let the vendor's account be mended, then redrive.",
    ),
    "quota_exceeded": (
        "The account's quota at the vendor is used up.",
        "Wait for the new period or have it raised, then redrive.",
    ),
    "untrusted_link": (
        (
            "The link names a host that is neither S3's nor in TrustedLinkHosts. Nothing was sent "
            "to it."
        ),
        (
            "If the host is right, add it to TrustedLinkHosts, deploy and redrive; if not, tell "
            "the vendor."
        ),
    ),
    "object_conflict": (
        (
            "Another object is at the job's key, or one that its source contradicts. It was not "
            "touched."
        ),
        "Compare the two; move the one away and redrive, or delete the letter.",
    ),
    "waited_too_long": (
        "The job waited longer than MaxWaitHours.",
        "Mend what it waited for, then redrive: the waiting begins anew.",
    ),
    "network": (
        "The last of six tries met a network that gives no answer.",
        "Look at routes, security group and proxy, and at the job's log; then redrive.",
    ),
    "vendor_error": (
        "The vendor, or the store behind its link, gave no usable answer, six times or for good.",
        "Tell the vendor the code in the detail; redrive once it is mended.",
    ),
    "aws_error": (
        "A service of AWS's failed or refused, to the last try.",
        (
            "AccessDenied: put the policy or the key right. Else look at AWS's Health Dashboard; "
            "then redrive."
        ),
    ),
    "bug": (
        "Something that nobody foresaw.",
        "Keep the log's traceback and report it; redrive after the mending.",
    ),
    NO_REASON: (
        "The runtime died on every receive, or EventBridge could not deliver.",
        (
            "Look for time-outs and memory in the log; raise MemorySize or FunctionTimeout, then "
            "redrive."
        ),
    ),
}
