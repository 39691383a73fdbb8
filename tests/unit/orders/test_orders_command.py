"""`archiver orders` puts a plan in force as it was shown, once, and keeps those before it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
import yaml
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto import mock_aws

from archiver.aws.order_items import OrderItems
from archiver.orders import head as heads
from archiver.orders.desk import OrderDesk
from archiver.orders.head import Head
from archiver.orders.ledger import Entry
from archiver.orders.plan import read_plan
from archiver.orders.spans import Spans
from cli import orders
from cli.app import main
from cli.failure import Failure
from cli.report.coverage import compact, count_states
from cli.report.reading import read_orders
from tests.security.iam import listed

PROJECT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
STACK = "archiver"
MONTHLY = """\
  - name: monthly-units
    report_type: units
    output_format: parquet
    properties: [1, 2]
    every: month
    from: 2026-01-01
    restate: 1
"""
DAILY = """\
  - name: daily
    report_type: property
    output_format: csv
    properties: [7]
    every: day
    from: 2026-11-01
"""


class Body(io.BytesIO):
    """A response's body, as botocore takes it of urllib3."""

    def stream(self, **_: object) -> Iterator[bytes]:
        """Yield it."""
        yield self.read()


class Table:
    """What a test sees of the stack's table, and the function that writes into it."""

    def __init__(self) -> None:
        self.now = NOW
        self._client = boto3.client("dynamodb")
        self.items = OrderItems(self._client, "archive", lambda _seconds: None)

    def dump(self) -> list[dict[str, object]]:
        """Return every item."""
        found: list[dict[str, object]] = [
            dict(i) for i in self._client.scan(TableName="archive")["Items"]
        ]
        return sorted(found, key=str)

    def head(self) -> Head:
        """Return the head."""
        return self.items.head()

    def invoke(self, request: Any, **_: object) -> Any:  # noqa: ANN401 - botocore's own types
        """Answer as Lambda does with what order_exports answers to people, at `now`."""
        desk = OrderDesk(self.items, lambda: self.now, lambda: uuid4().hex)
        answer = json.dumps(desk.answer(json.loads(request.body))).encode()
        return AWSResponse(request.url, 200, HTTPHeaders(), Body(answer))


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Table]:
    """Deploy what `archiver orders` asks of a stack: a table, and outputs."""
    outputs = getattr(request, "param", {"OrderExportsFunctionName": {"Value": "orders"}})
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    template = {
        "Resources": {
            "Table": {
                "Type": "AWS::DynamoDB::Table",
                "Properties": {
                    "TableName": "archive",
                    "BillingMode": "PAY_PER_REQUEST",
                    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                },
            },
        },
        "Outputs": {
            "ArchiveTableName": {"Value": "archive"},
            **outputs,
        },
    }
    with mock_aws():
        boto3.setup_default_session()
        assert boto3.DEFAULT_SESSION is not None
        found = Table()
        boto3.DEFAULT_SESSION.events.register("before-send.lambda.Invoke", found.invoke)
        boto3.client("cloudformation").create_stack(
            StackName=STACK, TemplateBody=json.dumps(template)
        )
        yield found
    boto3.DEFAULT_SESSION = None


class Terminal:
    """A person who is told and asked; answers `answer` to everything."""

    def __init__(self, answer: str = "y") -> None:
        self.answer = answer
        self.lines: list[str] = []
        self.questions: list[str] = []

    def tell(self, line: str) -> None:
        """Hear."""
        self.lines.append(line)

    def ask(self, question: str) -> str:
        """Answer."""
        self.questions.append(question)
        return self.answer

    @property
    def said(self) -> str:
        """Return what was told."""
        return "\n".join(self.lines)


def written(folder: Path, *listed: str, limits: str = "{}") -> Path:
    """Write an orders.yaml."""
    path = folder / "orders.yaml"
    path.write_text("orders:\n" + "".join(listed) + f"limits: {limits}\n", encoding="utf-8")
    return path


def apply(path: Path, *, answer: str = "y", now: datetime = NOW, yes: bool = False) -> Terminal:
    """Apply a file as a person who gives this answer."""
    person = Terminal(answer)
    code = orders.apply(STACK, path, yes=yes, tell=person.tell, ask=person.ask, now=now)
    assert code == (0 if yes or answer == "y" else 1)
    return person


def test_a_plan_comes_into_force_when_it_is_agreed_to(table: Table, tmp_path: Path) -> None:
    """With the number of jobs and days in the question; before, nothing is written."""
    path = written(tmp_path, MONTHLY, DAILY)
    person = apply(path, answer="n")
    assert person.questions == ["Order 34 jobs in 1 day, then 1.1 a day? [y/N]: "]
    assert table.dump() == []
    apply(path)
    head = table.head()
    assert head.plan == 1
    in_force = table.items.plan(head)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    for order in document["orders"]:
        order["from"] = str(order["from"])
    assert in_force == read_plan(document).applied(None, NOW)


def test_to_plan_changes_nothing(
    table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It tells jobs, days and the first dates, and leaves the table as it is."""
    path = written(tmp_path, MONTHLY)
    assert main(["orders", "plan", str(path), "--stack", STACK, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["changes"] is True
    assert told["jobs"] == told["orders"][0]["history"] >= 10
    assert main(["orders", "plan", str(path), "--stack", STACK]) == 0
    assert "monthly-units begins with 20" in capsys.readouterr().out
    assert table.dump() == []


def test_the_same_plan_again_changes_nothing(table: Table, tmp_path: Path) -> None:
    """Also a week later, when other windows are due."""
    apply(written(tmp_path, MONTHLY, DAILY))
    before = table.dump()
    person = apply(written(tmp_path, MONTHLY, DAILY), now=NOW + timedelta(days=7))
    assert person.questions == []
    assert "nothing to change" in person.said
    assert table.dump() == before


def test_what_is_taken_away_is_said_before(table: Table, tmp_path: Path) -> None:
    """An order, properties of one, its oldest windows; and what of that is on its way."""
    apply(written(tmp_path, MONTHLY, DAILY))
    daily = table.items.plan(table.head()).orders[1].chunks[0]
    entry = Entry("of-a-test", 0, 1, daily.fingerprint, NOW)
    table.items.save(table.items.ledgers([daily.id])[daily.id].intend(739_000, entry), "token")
    less = MONTHLY.replace("[1, 2]", "[2, 3]").replace("2026-01-01", "2026-04-01")
    person = apply(written(tmp_path, less, limits="{jobs_per_day: 50}"), answer="n")
    assert person.lines[:9] == [
        "~ monthly-units: from 2026-01-01 -> 2026-04-01",
        "~ monthly-units: 1 property more (3)",
        "~ limits: jobs_per_day 200 -> 50",
        "taken away (what is archived stays; nothing is cancelled):",
        "- monthly-units: a part: units as parquet, every month, of 1 property (1)",
        "- monthly-units: the oldest 3 windows",
        "- daily: all of it: property as csv, every day, of 1 property (7)",
        "- daily: 1 window on the way: what the vendor has is archived, and not counted any more",
        "jobs               due    again  history  for good",
    ]
    assert table.head().plan == 1


@pytest.mark.usefixtures("table")
def test_what_goes_on_elsewhere_is_not_taken_away(tmp_path: Path) -> None:
    """A renamed order keeps its chunks; smaller jobs order all anew, and that is said."""
    apply(written(tmp_path, MONTHLY))
    person = apply(written(tmp_path, MONTHLY.replace("monthly-units", "units")), answer="n")
    assert "~ monthly-units: goes on as units" in person.lines
    assert "taken away" not in person.said
    person = apply(written(tmp_path, MONTHLY, limits="{properties_per_job: 1}"), answer="n")
    assert (
        "~ monthly-units: 2 properties in other chunks: every window of them is ordered anew"
        in person.lines
    )
    assert "taken away" not in person.said


def test_earlier_versions_are_kept(
    table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each can be shown as the orders.yaml that puts it in force again."""
    apply(written(tmp_path, MONTHLY))
    apply(written(tmp_path, MONTHLY, DAILY), now=NOW + timedelta(days=1))
    apply(written(tmp_path, DAILY), now=NOW + timedelta(days=2))
    assert table.head().plan == 3
    assert main(["orders", "show", "--stack", STACK, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["version"] for each in told["versions"]] == [3, 2, 1]
    assert told["versions"][2]["written_at"] == NOW.isoformat()
    assert (told["paused"], told["version"]) == (False, 3)
    assert main(["orders", "show", "--stack", STACK, "--version", "2", "--yaml"]) == 0
    again = tmp_path / "again.yaml"
    again.write_text(capsys.readouterr().out, encoding="utf-8")
    apply(again, now=NOW + timedelta(days=3))
    shown = table.items.plan(table.head())
    assert [order.name for order in shown.orders] == ["monthly-units", "daily"]
    assert main(["orders", "show", "--stack", STACK, "--version", "9"]) == 2
    assert "give one of 4, 3, 2, 1" in capsys.readouterr().err


def test_of_two_who_apply_at_once_one_is_told(table: Table, tmp_path: Path) -> None:
    """Nothing of the other's plan is lost: it is in force, and the later one looks again."""
    path = written(tmp_path, MONTHLY)
    person = Terminal()

    def somebody_else_is_faster(_question: str) -> str:
        apply(written(tmp_path, DAILY))
        return "y"

    with pytest.raises(Failure, match="Version 1 was applied meanwhile") as failed:
        orders.apply(STACK, path, yes=False, tell=person.tell, ask=somebody_else_is_faster, now=NOW)
    assert failed.value.code == 1
    assert [order.name for order in table.items.plan(table.head()).orders] == ["daily"]


def test_where_nobody_can_be_asked_yes_must_be_said(table: Table, tmp_path: Path) -> None:
    """A pipeline agrees in its command."""
    path = written(tmp_path, MONTHLY)
    assert main(["orders", "apply", str(path), "--stack", STACK]) == 2
    assert table.dump() == []
    assert main(["orders", "apply", str(path), "--stack", STACK, "--yes"]) == 0
    assert table.head().plan == 1


@pytest.mark.parametrize("table", [{}], indirect=True)
def test_a_stack_without_a_schedule_is_told_how_to_get_one(table: Table, tmp_path: Path) -> None:
    """Nothing is ordered, scheduled or billed before somebody wants it."""
    with pytest.raises(Failure, match="--set 'OrderSchedule=rate"):
        apply(written(tmp_path, MONTHLY))
    assert table.dump() == []


@pytest.mark.parametrize("command", ["show", "pause", "resume"])
def test_without_a_plan_there_is_nothing_to_pause(
    table: Table, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is written."""
    assert main(["orders", command, "--stack", STACK]) == 1
    assert "has no plan of orders: write one (docs/orders.md)" in capsys.readouterr().err
    assert table.dump() == []


def test_pause_and_resume(table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pause keeps a run from its next request; resuming, the vendor is asked again at once."""
    apply(written(tmp_path, MONTHLY))
    assert main(["orders", "pause", "--stack", STACK]) == 0
    assert table.head().is_paused
    assert main(["orders", "show", "--stack", STACK]) == 0
    assert "ordering  paused" in capsys.readouterr().out
    person = apply(written(tmp_path, MONTHLY, DAILY))
    assert "Ordering is paused: archiver orders resume --stack archiver" in person.lines
    run = heads.take(table.head(), "a-run", NOW, 60)
    assert table.items.move(run, "taking")
    refusal = heads.close(1, NOW + timedelta(hours=1), "quota_exceeded", "429, said the vendor.")
    assert table.items.move(refusal, "closing")
    assert main(["orders", "show", "--stack", STACK]) == 0
    assert "takes no orders (quota_exceeded): 429, said the vendor." in capsys.readouterr().out
    assert main(["orders", "resume", "--stack", STACK]) == 0
    assert (table.head().is_paused, table.head().closed_until) == (False, 0)


def test_resuming_one_order_tries_again_what_was_stopped_or_given_up(
    table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of that order alone, and a pause of the whole stays."""
    apply(written(tmp_path, MONTHLY, DAILY))
    chunks = {order.name: chunk for order, chunk in table.items.plan(table.head()).chunks()}
    known = table.items.ledgers([chunk.id for chunk in chunks.values()])
    for name, chunk in chunks.items():
        halted = replace(known[chunk.id], stopped=f"400, of {name}.", failed={24_321: 5})
        table.items.save(halted, "token")
    table.items.move(heads.pause(), "pausing")
    assert main(["orders", "show", "--stack", STACK]) == 0
    assert "stopped   daily: 400, of daily." in capsys.readouterr().out
    assert main(["orders", "resume", "--stack", STACK, "--order", "daily"]) == 0
    now = table.items.ledgers([chunk.id for chunk in chunks.values()])
    assert not now[chunks["daily"].id].stopped
    assert now[chunks["daily"].id].used == {24_321: 5}
    assert now[chunks["monthly-units"].id].stopped
    assert table.head().is_paused
    assert main(["orders", "resume", "--stack", STACK, "--order", "weekly"]) == 2
    assert "give one of monthly-units, daily" in capsys.readouterr().err


def test_coverage_is_no_until_all_is_archived(
    table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its exit code; the archived jobs are read from the table to its end."""
    today = table.now = datetime.now(UTC)
    begins = (today - timedelta(days=5)).date()
    apply(written(tmp_path, DAILY.replace("2026-11-01", f"{begins}")), now=today)
    assert main(["coverage", "--stack", STACK]) == 1
    assert "not archived; none is late" in capsys.readouterr().out
    ((order, chunk),) = table.items.plan(table.head()).chunks()
    done = Spans.between(order.first, order.last(today) + 1)
    table.items.save(replace(table.items.ledgers([chunk.id])[chunk.id], done=done), "token")
    jobs = [
        {"order_name": "daily", "window": f"{begins}", "cycle": f"{begins}"},
        {"start_date": f"{begins}", "end_date": f"{begins}"},
    ]
    for number, fields in enumerate(jobs):
        told = {"id": f"job#{number}", "job_id": f"{number}", "state": "archived"}
        told |= {"report_type": "property", "output_format": "csv"} | fields
        boto3.client("dynamodb").put_item(
            TableName="archive", Item={name: {"S": value} for name, value in told.items()}
        )
    assert main(["coverage", "--stack", STACK, "--order", "daily", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["orders"][0]["windows"][0]["jobs"][0]["job_id"] == "0"
    assert [each["job_id"] for each in found["orders"][0]["by_hand"]] == ["1"]
    assert main(["coverage", "--stack", STACK, "--quick"]) == 0
    assert "every window that is complete is archived" in capsys.readouterr().out
    assert main(["coverage", "--stack", STACK, "--order", "weekly"]) == 2


def test_the_report_shows_what_is_ordered(table: Table, tmp_path: Path) -> None:
    """The windows of the plan in force, once there is one; nothing has to be handed to it."""
    notes: list[str] = []
    assert read_orders(STACK, notes, NOW) is None
    apply(written(tmp_path, MONTHLY))
    found = read_orders(STACK, notes, NOW)
    assert found is not None
    (order,) = compact(found)["orders"]
    assert (order["name"], order["every"], len(order["windows"])) == ("monthly-units", "month", 11)
    assert count_states(found) == {
        "archived": 0,
        "on_its_way": 0,
        "failed": 0,
        "missing": 10,
        "not_due": 1,
    }
    assert not notes
    assert table.head().plan == 1


@pytest.mark.parametrize("table", [{}], indirect=True)
def test_the_report_of_a_stack_that_orders_nothing_shows_no_windows(table: Table) -> None:
    """And asks the table for none."""
    assert read_orders(STACK, [], NOW) is None
    assert table.dump() == []


def test_who_plans_needs_these_permissions_and_no_more(table: Table, tmp_path: Path) -> None:
    """Every call of the commands is in docs/iam/orders.json, and nothing else is."""
    made: set[str] = set()

    def note(model: Any, **_: object) -> None:  # noqa: ANN401 - botocore's own
        service = model.service_model.signing_name
        made.add(f"{service}:{'InvokeFunction' if service == 'lambda' else model.name}")

    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register("provide-client-params.*.*", note)
    path = str(written(tmp_path, MONTHLY, DAILY))
    for command in (
        ["orders", "plan", path],
        ["orders", "apply", path, "--yes"],
        ["orders", "show"],
        ["orders", "pause"],
        ["orders", "resume"],
        ["coverage"],
    ):
        assert main([*command, "--stack", STACK]) in {0, 1}
    assert table.head().plan == 1
    text = (PROJECT / "docs" / "iam" / "orders.json").read_text(encoding="utf-8")
    statements = json.loads(text)["Statement"]
    allowed = {action for each in statements for action in listed(each["Action"])}
    assert made == allowed
