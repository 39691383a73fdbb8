"""Orders on the deployed template: what order_exports and the people who plan may do, and do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.app import main
from local.apartmentiq import VendorStandIn
from local.cloud import STACK_NAME, LocalCloud
from tests.security.calls import NOT_CALLED_BY_CODE, requests_of, unused_allowances
from tests.security.iam import ALLOWED, NOT_ALLOWED, Request, decide
from tests.security.people import PERSON, noted, policy
from tests.security.watch import watched

ORDERS = "OrderExportsFunction"
LAST_MONTH = datetime.now(UTC).replace(day=1).date()
PLAN = f"""\
orders:
  - name: units
    report_type: units
    output_format: csv
    properties: [1, 2]
    every: month
    from: {LAST_MONTH.year - 1}-{LAST_MONTH.month:02}-01
    ready: {{time: "00:00", zone: UTC, days_after: 0}}
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Deploy template.yaml with a schedule of orders; at its end no role has refused a call."""
    folder: Path = tmp_path_factory.mktemp("local")
    schedule = {"OrderSchedule": "rate(1 day)"}
    with (
        LocalCloud(state_folder=folder, maximum_runtimes=1, parameters=schedule) as cloud,
        watched(cloud),
    ):
        yield cloud


def test_who_plans_and_what_orders_need_what_they_are_allowed_and_no_more(
    people: LocalCloud, vendor: VendorStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands run under docs/iam/orders.json; the function uses all that its role allows."""
    written = tmp_path / "orders.yaml"
    written.write_text(PLAN, encoding="utf-8")
    with noted(people) as calls:
        for command in (
            ["orders", "plan", str(written)],
            ["orders", "apply", str(written), "--yes"],
            ["orders", "show"],
            ["orders", "pause"],
            ["orders", "resume"],
            ["coverage"],
        ):
            assert main([*command, "--stack", STACK_NAME]) in {0, 1}, capsys.readouterr()
    statements = policy(people, "orders")
    made = calls.made.values()
    assert [request for request in made if decide(statements, request) != ALLOWED] == []
    assert [s for s in statements if not any(decide([s], r) == ALLOWED for r in made)] == []
    table = next(r.resource for r in made if r.action.startswith("dynamodb:"))
    write = Request("dynamodb:UpdateItem", table, {"aws:PrincipalArn": PERSON})
    assert decide(statements, write) == NOT_ALLOWED

    vendor.callbacks.lose = 1.0  # so that it finds the job in the list, and queues it itself
    vendor.complete_orders_after(0.0)
    first = people.invoke({}, ORDERS).payload
    assert first["ordered"] == 1, first
    assert people.invoke({}, ORDERS).succeeded
    people.wait_until_quiet()
    vendor.orders.refuse(["the property 1 is not yours"])
    third = people.invoke({}, ORDERS).payload
    assert third["stopped"] == 1, third
    assert unused_allowances(people, ORDERS) == set()
    assert not {each.action for each in requests_of(people, ORDERS)} & NOT_CALLED_BY_CODE.keys()
