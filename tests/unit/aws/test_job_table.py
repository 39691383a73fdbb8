"""What is read of a job and of the vendor's throttle, when the table leaves something out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from archiver.aws.job_table import JobTable
from archiver.aws.moves import job_item_key
from archiver.claim import KnownJob
from archiver.errors import Failure

JOB_ID = "123e4567-e89b-12d3-a456-426614174000"


class BusyTable:
    """Answers every read without one of the two items."""

    def __init__(self, left_out: Any) -> None:  # noqa: ANN401 - DynamoDB's own nested type
        self.left_out = left_out

    def batch_get_item(self, **_: Any) -> Any:  # noqa: ANN401 - boto3's own
        """Return nothing, and say that more is to be read."""
        unread = {"jobs": {"Keys": [self.left_out], "ConsistentRead": True}}
        return {"Responses": {"jobs": []}, "UnprocessedKeys": unread}


@pytest.mark.parametrize("left_out", [job_item_key(JOB_ID), {"id": {"S": "throttle#vendor"}}])
def test_what_the_table_left_unread_is_not_taken_for_absent(left_out: Any) -> None:  # noqa: ANN401 - see above
    """Without the job it would be copied anew, without the throttle the vendor asked too early."""
    table = JobTable(cast("Any", BusyTable(left_out)), "jobs")
    with pytest.raises(Failure, match="busy"):
        table.read(JOB_ID)


@pytest.mark.parametrize(("asked_by", "judged"), [("mine", 1), (None, 1), ("another", 0)])
def test_a_message_is_not_judged_by_anothers_failures(asked_by: str | None, judged: int) -> None:
    """What the item says of a failing message does not end when a second one of the job gets on."""
    since = datetime(2026, 11, 26, tzinfo=UTC)
    known = KnownJob(failing_since=since, asked_by=asked_by)
    assert known.failing_since_of("mine") == (since if judged else None)
