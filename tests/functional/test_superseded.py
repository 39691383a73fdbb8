"""What is superseded is tagged when its days are over, and what is current never is."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from archiver.catalogue import RECORDS_FOLDER
from local.apartmentiq import Job, Order
from tests.functional.aws_script import Refusal, operation, s3_call
from tests.functional.company import Company, default_key

DAYS = 30
TAG = {"apartmentiq-archiver": "superseded"}
ROWS = b"unit,rent\n101,1000\n"
PROPERTIES = itertools.count(1)


@pytest.fixture(autouse=True)
def keeps_for_days(company: Company) -> None:
    """Let the stack keep what is superseded for 30 days."""
    company.set_environment(KEEP_SUPERSEDED_DAYS=str(DAYS))


def revisions(company: Company, number: int, content: bytes = ROWS) -> list[Job]:
    """Order the same window so many times; the later is the newer."""
    ids = sorted(str(uuid.uuid4()) for _ in range(number))  # the vendor's clock may tell no two
    return [company.vendor.add_job(content, job_id=job_id) for job_id in ids]


def tags(company: Company, job: Job) -> dict[str, str]:
    """Return the tags of a job's export."""
    told = company.people.client("s3").get_object_tagging(
        Bucket=company.bucket, Key=default_key(job)
    )
    return {tag["Key"]: tag["Value"] for tag in told["TagSet"]}


def put_tags(company: Company, job: Job, **given: str) -> None:
    """Let somebody tag a job's export."""
    company.people.client("s3").put_object_tagging(
        Bucket=company.bucket,
        Key=default_key(job),
        Tagging={"TagSet": [{"Key": name, "Value": value} for name, value in given.items()]},
    )


def another_job(company: Company) -> None:
    """Archive a job of another window, after which what is due is looked at."""
    company.archive(add_another(company))


def add_another(company: Company) -> Job:
    """Order what nobody has ordered before."""
    return company.vendor.add_job(ROWS, order=Order(property_ids=(next(PROPERTIES),)))


def tagged(company: Company, jobs: Sequence[Job]) -> list[bool]:
    """Tell of each job whether its export has the tag."""
    return [TAG.items() <= tags(company, job).items() for job in jobs]


def at_record(environ: Mapping[str, Any]) -> bool:
    """Match the write of a record."""
    return environ["REQUEST_METHOD"] == "PUT" and RECORDS_FOLDER in environ["PATH_INFO"]


def test_a_superseded_export_is_tagged_recorded_and_told_when_its_days_are_over(
    company: Company,
) -> None:
    """By the job that is archived next; tag, record and event speak of the very same object."""
    old, new = jobs = revisions(company, 2)
    for job in jobs:
        company.archive(job)
    company.let_days_pass(DAYS)
    another_job(company)

    assert tagged(company, jobs) == [True, False]
    ((key, line),) = company.records().items()
    record = json.loads(line)
    (told,) = company.emitted("Export Superseded")
    head = company.head(default_key(old))
    assert key.startswith(f"catalogue-superseded/year={record['archived_at'][:4]}/{old.job_id}.")
    assert line.endswith(b"}\n")
    assert told["job"]["job_id"] == record["job_id"] == old.job_id
    assert told["superseded_by"] == record["superseded_by"] == new.job_id
    assert told["object"]["version_id"] == record["version_id"] == head["VersionId"]
    assert told["object"]["key"] == record["object_key"] == default_key(old)
    assert told["tagged_at"] == record["tagged_at"] > record["superseded_at"]
    order = [(call.action, RECORDS_FOLDER in call.resource) for call in company.calls()]
    steps = [("PutObject", True), ("PutObjectTagging", False), ("PutEvents", False)]
    assert [step for step in order[order.index(steps[0]) :] if step in steps] == steps
    assert (told["kept_days"], record["kept_days"]) == (DAYS, DAYS)
    assert company.items("superseded")[old.job_id]["tagged_at"] == record["tagged_at"]


def test_before_its_days_are_over_nothing_is_tagged(company: Company) -> None:
    """A minute less than the days that were promised is too early."""
    jobs = revisions(company, 2)
    for job in jobs:
        company.archive(job)
    company.let_days_pass(DAYS - 1 / 1440)
    another_job(company)
    assert tagged(company, jobs) == [False, False]
    assert company.records() == {}
    assert company.calls("PutObjectTagging", "GetObjectTagging") == []


def test_what_is_looked_at_once_is_not_looked_at_again(company: Company) -> None:
    """One event, one record, one tag, however many jobs follow."""
    jobs = revisions(company, 2)
    for job in jobs:
        company.archive(job)
    company.let_days_pass(DAYS)
    for _ in range(3):
        another_job(company)
    assert len(company.emitted("Export Superseded")) == len(company.records()) == 1


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_in_whatever_order_revisions_arrive_the_newest_alone_is_kept(
    company: Company, order: tuple[int, ...]
) -> None:
    """An older one that arrives late is superseded at once, by the one that is current then."""
    jobs = revisions(company, 3)
    for number in order:
        company.archive(jobs[number])
    company.let_days_pass(DAYS)
    another_job(company)
    assert tagged(company, jobs) == [True, True, False]
    assert {item["job_id"] for item in company.items("window").values()} >= {jobs[2].job_id}


@pytest.mark.parametrize(
    "other",
    [
        Order(report_type="property"),
        Order(output_format="jsonl"),
        Order(start_date="2025-01-02"),
        Order(end_date="2025-01-30"),
        Order(property_ids=(99001416,)),
    ],
    ids=["type", "format", "start", "end", "properties"],
)
def test_exports_that_differ_in_their_window_do_not_supersede_each_other(
    company: Company, other: Order
) -> None:
    """Type, format, both days and the properties must be equal."""
    content = b'{"unit": "101"}\n' if other.output_format == "jsonl" else ROWS
    jobs = [company.vendor.add_job(ROWS), company.vendor.add_job(content, order=other)]
    for job in jobs:
        company.archive(job)
    assert company.items("superseded") == {}


def test_what_the_vendor_does_not_describe_stands_alone(company: Company) -> None:
    """Nothing is superseded on a guess."""
    company.vendor.switch_job_details(404)
    for job in revisions(company, 2):
        assert company.deliver_job(job) == []
    assert company.items("window") == company.items("superseded") == {} or all(
        "unknown" not in item["entry"] for item in company.items("window").values()
    )


def test_by_default_nothing_of_all_this_is_done(company: Company) -> None:
    """No item, no index, no tag: the requests are those of a stack that knows nothing of it."""
    company.set_environment(KEEP_SUPERSEDED_DAYS="0")
    for job in revisions(company, 2):
        company.archive(job)
    assert company.items("window") == company.items("superseded") == {}
    assert company.calls("Query", "GetObjectTagging", "PutObjectTagging") == []


def test_tags_of_others_stay(company: Company) -> None:
    """A write replaces all tags of an object: what somebody else has set goes along."""
    jobs = revisions(company, 2)
    for job in jobs:
        company.archive(job)
    put_tags(company, jobs[0], team="rent")
    company.let_days_pass(DAYS)
    another_job(company)
    assert tags(company, jobs[0]) == {"team": "rent", **TAG}


def test_an_object_with_as_many_tags_as_s3_takes_is_kept(company: Company) -> None:
    """Nothing of others' is thrown away for room; the log says why it stays."""
    jobs = revisions(company, 2)
    for job in jobs:
        company.archive(job)
    put_tags(company, jobs[0], **{f"tag{n}": "x" for n in range(10)})
    company.let_days_pass(DAYS)
    another_job(company)
    assert tagged(company, jobs) == [False, False]
    assert company.records() == {}
    (line,) = [it for it in company.log_lines() if it["message"] == "superseded_is_kept"]
    assert "as many tags" in line["why"]


CRASHES: dict[str, Callable[[Company], Any]] = {
    "reading tags": lambda company: s3_call("GET", company.bucket, "tagging"),
    "record": lambda _: at_record,
    "tag": lambda company: s3_call("PUT", company.bucket, "tagging"),
}


@pytest.mark.parametrize("too_late", [False, True], ids=["not done", "done, answer lost"])
@pytest.mark.parametrize("at", CRASHES)
def test_what_breaks_while_tagging_fails_no_job_and_is_done_later(
    company: Company, at: str, *, too_late: bool
) -> None:
    """Each step is repeated without harm: one record, the tag, and the event at least once."""
    jobs = revisions(company, 2)
    for job in jobs:
        company.archive(job)
    company.let_days_pass(DAYS)
    refused = Refusal.s3(403 if not too_late else 500, "AccessDenied", too_late=too_late)
    company.aws_script.answer_next(CRASHES[at](company), refused, times=9)
    another_job(company)
    assert {outcome for outcome, _ in company.outcomes()} == {"archived"}
    company.aws_script.clear()
    company.let_days_pass(1)  # a day later

    another_job(company)

    assert tagged(company, jobs) == [True, False]
    assert len(company.records()) == 1
    assert {told["job"]["job_id"] for told in company.emitted("Export Superseded")} == {
        jobs[0].job_id
    }
    assert "due" not in company.items("superseded")[jobs[0].job_id]


def test_an_event_that_was_refused_is_told_later(company: Company) -> None:
    """Though tag and record are there, and by then perhaps the object gone."""
    jobs = revisions(company, 2)
    for job in jobs:
        company.archive(job)
    company.let_days_pass(DAYS)
    third = add_another(company)
    refused = Refusal.json(400, b'{"__type": "InternalException"}')
    company.aws_script.answer_next(operation("PutEvents"), refused, times=9, skip=1)
    assert company.deliver_job(third) == []
    assert company.emitted("Export Superseded") == []
    assert tagged(company, jobs) == [True, False]
    company.aws_script.clear()
    company.people.client("s3").delete_object(Bucket=company.bucket, Key=default_key(jobs[0]))
    company.let_days_pass(1)

    another_job(company)

    (told,) = company.emitted("Export Superseded")
    assert told["job"]["job_id"] == jobs[0].job_id


@pytest.mark.parametrize("skip", range(6))
def test_a_run_that_dies_between_its_writes_of_the_table_loses_no_revision(
    company: Company, skip: int
) -> None:
    """Whatever update of the table is refused: the job comes back, and in the end all is known."""
    old, new = jobs = revisions(company, 2)
    company.archive(old)
    refused = Refusal.json(400, b'{"__type": "com.amazon#ValidationException"}')
    company.aws_script.answer_next(operation("UpdateItem"), refused, skip=skip)
    company.deliver_job(new)
    company.aws_script.clear()
    company.forget_turn()
    assert company.deliver_job(new, receive_count=2) == []
    assert company.outcomes()[-1][0] in {"archived", "already_archived"}
    company.let_days_pass(DAYS)
    another_job(company)
    assert tagged(company, jobs) == [True, False]


def test_while_the_newer_one_is_not_in_the_bucket_the_older_one_stays(company: Company) -> None:
    """Somebody deleted it: what is left of the window is not given away as well."""
    old, new = jobs = revisions(company, 2)
    for job in jobs:
        company.archive(job)
    company.people.client("s3").delete_object(Bucket=company.bucket, Key=default_key(new))
    company.let_days_pass(DAYS)
    another_job(company)
    assert tags(company, old) == {}
    assert company.records() == {}

    assert company.deliver({"job_id": new.job_id, "recheck": True}) == []
    company.let_days_pass(1)
    another_job(company)
    assert tagged(company, jobs) == [True, False]


@pytest.mark.parametrize("odd", [b"", b"unit,rent\n"], ids=["empty", "header only"])
def test_what_is_odd_supersedes_nothing_for_good(company: Company, odd: bytes) -> None:
    """An empty revision is current for queries; the one with rows is kept until a better comes."""
    old, new, newest = revisions(company, 3)
    company.vendor.complete_job(new.job_id, odd)
    company.archive(old)
    company.archive(new)
    company.let_days_pass(DAYS)
    another_job(company)
    assert tags(company, old) == {}
    company.archive(newest)
    company.let_days_pass(DAYS)
    another_job(company)
    assert tagged(company, [old, new, newest]) == [True, True, False]


def test_the_current_job_archived_again_is_still_current(company: Company) -> None:
    """Its key is one and the same: no version of it is tagged."""
    old, new = revisions(company, 2)
    company.archive(old)
    company.archive(new)
    company.people.client("s3").delete_object(Bucket=company.bucket, Key=default_key(new))
    assert company.deliver({"job_id": new.job_id, "recheck": True}) == []
    company.let_days_pass(DAYS)
    another_job(company)
    assert tagged(company, [old, new]) == [True, False]
    (window,) = [i for i in company.items("window").values() if i["job_id"] == new.job_id]
    assert json.loads(window["entry"])["version_id"] == company.head(default_key(new))["VersionId"]


def test_a_superseded_job_archived_again_is_kept_for_its_days_anew(company: Company) -> None:
    """A person wanted it back; its new object counts from now, and has a record of its own."""
    old, new = revisions(company, 2)
    company.archive(old)
    company.archive(new)
    company.let_days_pass(DAYS)
    another_job(company)
    company.people.client("s3").delete_object(Bucket=company.bucket, Key=default_key(old))
    assert company.deliver({"job_id": old.job_id, "recheck": True}) == []
    another_job(company)
    assert tags(company, old) == {}
    company.let_days_pass(DAYS)
    another_job(company)
    assert tagged(company, [old, new]) == [True, False]
    assert len(company.records()) == 2


def test_another_object_at_a_superseded_key_is_left_alone(company: Company) -> None:
    """The tag is for the version of the receipt, and nobody knows what this is."""
    old, new = revisions(company, 2)
    company.archive(old)
    company.archive(new)
    company.people.client("s3").put_object(
        Bucket=company.bucket, Key=default_key(old), Body=b"somebody's"
    )
    company.let_days_pass(DAYS)
    another_job(company)
    for version in company.versions(default_key(old)):
        told = company.people.client("s3").get_object_tagging(
            Bucket=company.bucket, Key=default_key(old), VersionId=version["VersionId"]
        )
        assert told["TagSet"] == []


def test_without_the_windows_item_nothing_is_tagged(company: Company) -> None:
    """A table that lost it proves nothing; the days that are written down do not help."""
    jobs = revisions(company, 2)
    for job in jobs:
        company.archive(job)
    company.let_days_pass(DAYS)
    for window in company.items("window"):
        company.people.client("dynamodb").delete_item(
            TableName=company.table, Key={"id": {"S": f"window#{window}"}}
        )
    another_job(company)
    assert tagged(company, jobs) == [False, False]


def test_a_recheck_makes_known_what_was_archived_before_the_parameter_was_set(
    company: Company,
) -> None:
    """Without one a revision of before is known to nobody, and stays."""
    old, new = jobs = revisions(company, 2)
    company.set_environment(KEEP_SUPERSEDED_DAYS="0")
    company.archive(old)
    company.set_environment(KEEP_SUPERSEDED_DAYS=str(DAYS))
    company.archive(new)
    assert company.items("superseded") == {}
    assert company.deliver({"job_id": old.job_id, "recheck": True}) == []
    company.let_days_pass(DAYS)
    another_job(company)
    assert tagged(company, jobs) == [True, False]


def test_below_a_prefix_records_lie_below_it(company: Company) -> None:
    """Where the bucket is shared, the role may write there alone."""
    company.set_environment(KEY_PREFIX="exports/", KEEP_SUPERSEDED_DAYS=str(DAYS))
    assert company.deliver_job(*revisions(company, 2)) == []
    company.let_days_pass(DAYS)
    assert company.deliver_job(add_another(company)) == []
    assert [key.split("/year=")[0] for key in company.records()] == ["exports/catalogue-superseded"]


def test_another_object_at_a_records_place_keeps_the_export(company: Company) -> None:
    """What is not recorded is not tagged."""
    jobs = revisions(company, 2)
    for job in jobs:
        company.archive(job)
    company.let_days_pass(DAYS)
    company.aws_script.answer_next(at_record, Refusal.s3(412, "PreconditionFailed"), times=9)
    another_job(company)
    assert tagged(company, jobs) == [False, False]
    assert company.emitted("Export Superseded") == []
