"""orders.yaml and its CSV files are read as they are written, and what is wrong is found again."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from archiver.orders.plan import PlanRefused, read_plan
from cli.app import main
from cli.failure import Failure
from cli.orders_file import read_orders_file, refused

PROJECT = Path(__file__).resolve().parents[3]
PLAN = """\
orders:
  - name: monthly-units
    report_type: units
    output_format: parquet
    properties: [99001416, 99001470]
    every: month
    from: 2023-01-01
    ready: {time: 11:00, zone: America/Chicago, days_after: 1}
    restate: 2
limits: {open_jobs: 5, jobs_per_day: 200}
"""


def told(folder: Path, text: str | bytes, *others: str) -> str:
    """Return what `archiver orders check` would complain of; nothing for a plan that can be."""
    path = folder / "orders.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for number, other in enumerate(others):
        (folder / f"properties{number or ''}.csv").write_text(other, encoding="utf-8")
    try:
        read = read_orders_file(path)
    except Failure as failure:
        return str(failure)
    try:
        read_plan(read.document)
    except PlanRefused as refusal:
        return str(refused(read, [*read.problems, *refusal.problems]))
    return str(refused(read, read.problems)) if read.problems else ""


def changed(old: str, new: str) -> str:
    """Return the plan with a piece of it in another form."""
    assert old in PLAN
    return PLAN.replace(old, new)


@pytest.mark.parametrize(
    "text",
    [
        PLAN,
        changed("11:00", '"11:00"'),
        changed("2023-01-01", "'2023-01-01'"),
        changed("[99001416, 99001470]", "\n      - 99001416\n      - 99001470"),
        PLAN.replace("\n", "\r\n"),
        "\ufeff" + PLAN,
        "---\n" + PLAN + "...\n",
        PLAN + "# more is to come\n",
    ],
)
def test_what_people_write_without_quotes_is_what_they_mean(tmp_path: Path, text: str) -> None:
    """A date is no timestamp, and eleven o'clock is not 660 seconds, as YAML 1.1 has it."""
    assert told(tmp_path, text) == ""


def test_the_manuals_plan_can_be(tmp_path: Path) -> None:
    """Whoever copies it from docs/orders.md begins with a good one."""
    manual = (PROJECT / "docs" / "orders.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL)
    assert told(tmp_path, textwrap.dedent("   " + block.lstrip())) == ""


def test_an_anchor_may_be_used_again(tmp_path: Path) -> None:
    """Two orders of the same properties in two formats write them once."""
    first = changed("[99001416, 99001470]", "&few [99001416, 99001470]").partition("limits")[0]
    second = first.partition("\n")[2].replace("monthly-units", "csv-units")
    second = second.replace("parquet", "csv").replace("&few [99001416, 99001470]", "*few")
    assert told(tmp_path, first + second) == ""


@pytest.mark.parametrize(
    ("text", "place", "remedy"),
    [
        (changed("every: month", "every: year"), "orders.yaml:6", "Take day, week, month."),
        (changed("every: month", "evry: month"), "orders.yaml:6", "Known are name, report_type"),
        (changed("2023-01-01", "2023-02-30"), "orders.yaml:7", "Write it as 2023-01-01."),
        (changed("2023-01-01", "on"), "orders.yaml:7", "Write it as 2023-01-01."),
        (changed("America/Chicago", "CST"), "orders.yaml:8", "IANA time zone database"),
        (changed("11:00", "25:00"), "orders.yaml:8", 'Write it as "11:00".'),
        (changed("99001470", "99001416"), "orders.yaml:5", "Take one out."),
        (changed("99001470", "0x1F"), "orders.yaml:5", "Ids are whole numbers."),
        (changed("99001470", "'99001470'"), "orders.yaml:5", "Ids are whole numbers."),
        (changed("restate: 2", "restate: 2\n    restate: 3"), "orders.yaml:10", "Take one out."),
        (changed("restate: 2", "? [a]\n    : 3"), "orders.yaml:9", "Names are text."),
        (changed("restate: 2", "restate: !!python/name:os.system x"), "orders.yaml:9", "the tag"),
        (changed("parquet", "!secret parquet"), "orders.yaml:4", "Take the tag away."),
        (changed("jobs_per_day: 200", "jobs_per_day: no"), "orders.yaml:10", "Give 1 to"),
        (changed("month\n", "\n"), "orders.yaml:6", "Take day, week, month."),
        (changed("    every: month\n", ""), "orders.yaml:2", "Add every."),
        ("orders: [", "orders.yaml:1", "this is not YAML"),
        ("orders:\n\t- a: b\n", "orders.yaml:2", "this is not YAML"),
        ("a: b\n---\nc: d\n", "orders.yaml:2", "this is not YAML"),
        ("- *nobody\n", "orders.yaml:1", "this is not YAML"),
        (b"orders: \xff\xfe\n", "orders.yaml", "is not text in UTF-8"),
        (b"orders: \x00\n", "orders.yaml", "this is not YAML"),
        ("", "orders.yaml", "It takes orders, limits, end_date."),
        ("just text", "orders.yaml:1", "It takes orders, limits, end_date."),
        ("&a [*a]", "orders.yaml:1", "Write it out."),
        ("orders: &a\n  x: *a\n", "orders.yaml:1", "Write it out."),
        ("[" * 5000, "orders.yaml:1", "nested too deeply"),
        ("{" * 5000, "orders.yaml:1", "nested too deeply"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_a_remedy(
    tmp_path: Path, text: str | bytes, place: str, remedy: str
) -> None:
    """Also what is meant to harm: tags that call, aliases that go round, depth without end."""
    said = told(tmp_path, text)
    assert f"{place}: " in said or f"{place} " in said
    assert remedy in said


def test_a_file_that_unfolds_without_end_is_refused(tmp_path: Path) -> None:
    """Ten lines whose aliases name a billion values: counted as they unfold, and left."""
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "too many values" in told(tmp_path, "\n".join(lines))


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    """A plan's long lists belong into CSV."""
    assert "list the properties in a CSV file" in told(tmp_path, b"#" * (4 * 2**20 + 1))


@pytest.mark.parametrize(
    "table",
    [
        "1\n2\n",
        "property_id\n1\n2\n",
        "Property\n1\n2",
        "name,Property_ID\nA,1\nB,2\n",
        '"id","name"\r\n"1","a, b"\r\n\r\n"2",""\r\n',
        "\ufeffid\n1\n2\n",
        " 1 \n 2 \n",
    ],
)
def test_properties_come_from_a_table(tmp_path: Path, table: str) -> None:
    """As a spreadsheet writes it: with a heading or without, one column or several."""
    path = tmp_path / "orders.yaml"
    path.write_text(changed("[99001416, 99001470]", "{file: properties.csv}"), encoding="utf-8")
    (tmp_path / "properties.csv").write_text(table, encoding="utf-8")
    assert read_orders_file(path).document["orders"][0]["properties"] == [1, 2]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("1\n2\n1\n", "properties.csv:3: orders[0].properties[2]: 1 stands there twice."),
        ("id\n1\nx2\n", "properties.csv:3: orders[0].properties[1]: is no property id."),
        ("id\n1\n2.0\n", "properties.csv:3: orders[0].properties[1]: is no property id."),
        ("id\n" + "9" * 5000 + "\n", "properties.csv:2: orders[0].properties[0]: is no property"),
        ("name,id\na,1\nb\n", "properties.csv:3: orders[0].properties[1]: is no property id."),
        ("a,b\n1,2\n", "has 2 columns and none is called property_id"),
        ("id\n", "orders.yaml:5: orders[0].properties: is no list of property ids."),
        ('id\n"' + "x" * 200_000, "is not CSV"),
    ],
)
def test_what_is_wrong_in_a_table_is_told_with_its_line(
    tmp_path: Path, table: str, said: str
) -> None:
    """The table's, not the plan's."""
    text = changed("[99001416, 99001470]", "{file: properties.csv}")
    assert said in told(tmp_path, text, table)


@pytest.mark.parametrize("name", ["gone.csv", ".", "/dev/zero", '"a\\0b"', "''"])
def test_a_table_that_cannot_be_read_is_told_where_it_is_named(tmp_path: Path, name: str) -> None:
    """And nothing hangs, or fills the memory."""
    said = told(tmp_path, changed("[99001416, 99001470]", f"{{file: {name}}}"))
    assert "orders.yaml:5: orders[0].properties.file: " in said
    assert "Name a CSV file of property ids." in said


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60).map(lambda text: PLAN[:40] + text + PLAN[40:]) | st.text())
@example("!!binary aGk=")
@example("<<: [1]")
@example("? !!map {a: b}\n: c")
def test_any_text_is_read_or_refused(tmp_path: Path, text: str) -> None:
    """No file makes a traceback: it is a plan, or there is a sentence."""
    told(tmp_path, text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.booleans() | st.integers(-(10**18), 10**18) | st.text() | st.none(),
        lambda inside: (
            st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3)
        ),
    )
)
def test_what_a_program_writes_as_yaml_is_read_as_it_was(tmp_path: Path, value: object) -> None:
    """Text stays text and numbers numbers, whatever a text looks like."""
    path = tmp_path / "orders.yaml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    read = read_orders_file(path)
    assert not read.problems
    assert read.document == value


def test_check_asks_nobody_and_prints_what_would_be_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exact dates, and the first window that goes out alone."""
    path = tmp_path / "orders.yaml"
    path.write_text(changed("2023-01-01", "2024-02-10") + "end_date: exclusive\n", encoding="utf-8")
    assert main(["orders", "check", str(path), "--dates"]) == 0
    said = capsys.readouterr().out
    assert "2024-02     start_date 2024-02-01  end_date 2024-03-01" in said


def test_check_refuses_what_no_day_has_room_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The steady demand, restatements included, told where the limit stands."""
    path = tmp_path / "orders.yaml"
    text = changed("every: month", "every: day").replace("jobs_per_day: 200", "jobs_per_day: 2")
    path.write_text(text, encoding="utf-8")
    assert main(["orders", "check", str(path)]) == 2
    said = capsys.readouterr().err
    assert "orders.yaml:10: limits.jobs_per_day: the orders take 3.0 jobs a day for good" in said
    assert "Raise jobs_per_day, order less often, or restate fewer windows." in said
