"""The locks around moto: who waits for whom. The races themselves are too narrow to provoke."""

from __future__ import annotations

from contextlib import nullcontext
from threading import Thread

from moto.sqs.models import Message, sqs_backends

from local.aws.moto_locks import ConditionLocks, make_queues_atomic


def test_sending_waits_for_a_delete_that_is_under_way() -> None:
    """A delete puts a new list in the old one's place; nothing may be added in between."""
    make_queues_atomic()
    queue = sqs_backends["123456789012"]["us-east-1"].create_queue("raced", {})
    sender = Thread(target=queue.add_message, args=(Message("new", "{}"),))
    waited: list[bool] = []

    class Deleted(Message):
        """A message during whose deletion another one is sent."""

        def had_receipt_handle(self, receipt_handle: str) -> bool:
            if not waited:
                sender.start()
                sender.join(0.2)  # ends at once without the lock, never with it
                waited.append(sender.is_alive())
            return receipt_handle == "handle"

    queue.add_message(Deleted("old", "{}"))
    queue.delete_message("handle")
    sender.join(5)
    assert waited == [True]
    assert [message.id for message in queue.messages] == ["new"]


def test_conditional_requests_share_a_lock_where_they_can_conflict() -> None:
    """All of DynamoDB does, and conditional writes to one S3 path; everything else runs freely."""
    locks = ConditionLocks()
    conditional = {"REQUEST_METHOD": "PUT", "HTTP_IF_NONE_MATCH": "*", "PATH_INFO": "/b/k"}
    elsewhere = conditional | {"PATH_INFO": "/b/other"}
    plain = {"REQUEST_METHOD": "PUT", "PATH_INFO": "/b/k"}
    assert locks.lock_for("dynamodb", plain) is locks.lock_for("dynamodb", elsewhere)
    assert locks.lock_for("s3", conditional) is locks.lock_for("s3", dict(conditional))
    assert locks.lock_for("s3", conditional) is not locks.lock_for("s3", elsewhere)
    assert isinstance(locks.lock_for("s3", plain), nullcontext)
