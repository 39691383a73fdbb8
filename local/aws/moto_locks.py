"""What moto lacks to be called from many threads at once, as real AWS is.

moto reads, decides and writes without a lock: two conditional writes can both succeed, and a
message that arrives while another is deleted is lost. Only what our stack relies on is mended.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from contextlib import nullcontext
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any

from moto.sqs.models import Queue, SQSBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

__all__ = ["ConditionLocks", "make_queues_atomic"]


class ConditionLocks:
    """Locks that make conditional requests atomic: one for DynamoDB, one per S3 path.

    S3's are per path because a conditional PutObject holds its lock while its body arrives.
    """

    def __init__(self) -> None:
        self._table_lock = RLock()
        self._lock = Lock()
        self._path_locks: dict[str, Lock] = defaultdict(Lock)

    def lock_for(self, service: str, environ: Mapping[str, Any]) -> AbstractContextManager[Any]:
        """Return what must be held while the request is served."""
        if service == "dynamodb":
            return self._table_lock
        if "HTTP_IF_NONE_MATCH" in environ and environ["REQUEST_METHOD"] in ("PUT", "POST"):
            with self._lock:
                return self._path_locks[environ["PATH_INFO"]]
        return nullcontext()


def make_queues_atomic() -> None:
    """Let sending, receiving and deleting exclude each other, per queue; safe to call again."""
    if not hasattr(Queue.delete_message, "__wrapped__"):
        setattr(Queue, "delete_message", _deleting(Queue.delete_message))  # noqa: B010 - mypy holds methods for final
        setattr(SQSBackend, "receive_message", _receiving(SQSBackend.receive_message))  # noqa: B010 - as above


def _deleting(delete: Callable[[Queue, str], None]) -> Callable[[Queue, str], None]:
    @functools.wraps(delete)
    def delete_message(queue: Queue, receipt_handle: str) -> None:
        with queue._messages_lock:  # noqa: SLF001 - the lock with which moto appends
            delete(queue, receipt_handle)

    return delete_message


def _receiving(receive: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(receive)
    def receive_message(
        backend: SQSBackend, queue_name: str, count: int, wait_seconds: int, *rest: object
    ) -> object:
        queue = backend.get_queue(queue_name)
        if wait_seconds:
            queue.wait_for_messages(int(wait_seconds))  # gives the lock up while it waits
        with queue._messages_lock:  # noqa: SLF001 - the lock with which moto appends
            return receive(backend, queue_name, count, 0, *rest)

    return receive_message
