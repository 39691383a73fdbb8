"""The archive's tables for Athena: right places, cheap partitions, nothing invented, all of it SQL.

Statements are parsed by sqlglot, in Athena's dialect; a statement that it only passes through
(exp.Command) counts as not parsed.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from archiver.catalogue import FOLDER, entry_line
from cli.app import main
from cli.athena import sample_tables, write_ddl
from cli.athena_catalogue import EXPORT_COLUMNS, create_exports
from cli.athena_columns import find_exports, parse_columns, read_columns
from cli.athena_ddl import (
    FORMATS,
    REPORT_TYPES,
    Column,
    Lake,
    LayoutError,
    Partitions,
    add_partition,
    create_current_view,
    create_database,
    create_table,
    create_typed_view,
)
from tests.unit.test_catalogue import RECEIPT

DOCS = Path(__file__).resolve().parents[2] / "docs"
LAKE = Lake("example-archive")
COLUMNS = [Column("date", "date"), Column("rent", "decimal(8,2)")]


def parse(sql: str) -> list[exp.Expr]:
    """Parse statements one by one, as Athena would; fails for what the parser does not understand.

    DDL quotes names in one way and queries in another, so each is a text of its own.
    """
    statements = [text for text in sql.split(";\n") if text.strip()]
    parsed = [sqlglot.parse_one(text, dialect="athena") for text in statements]
    assert not [command for item in parsed for command in item.find_all(exp.Command)]
    return parsed


def properties_of(sql: str) -> dict[str, str]:
    """Return a table's TBLPROPERTIES and SERDEPROPERTIES."""
    (statement,) = parse(sql)
    return {
        item.this.name: item.args["value"].name
        for item in statement.find_all(exp.Property)
        if item.args.get("value") is not None
    }


def location_of(sql: str) -> str:
    """Return a table's LOCATION."""
    (statement,) = parse(sql)
    location = statement.find(exp.LocationProperty)
    assert location is not None
    return str(location.this.name)


def partitions_of(sql: str) -> list[tuple[str, str]]:
    """Return a table's partition columns and their types."""
    (statement,) = parse(sql)
    partitioned = statement.find(exp.PartitionedByProperty)
    if partitioned is None:
        return []
    return [(item.name, item.args["kind"].sql("hive")) for item in partitioned.this.expressions]


# --- a table for each report type and format ---


@pytest.mark.parametrize("partitions", ["registered", "injected"])
@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("report_type", REPORT_TYPES)
def test_each_table_reads_one_folder_and_has_both_dates_as_partitions(
    report_type: str, output_format: str, partitions: Partitions
) -> None:
    """Its location is its type's and format's folder and no other's."""
    sql = create_table(LAKE, report_type, output_format, COLUMNS, partitions)
    assert location_of(sql) == (
        f"s3://example-archive/report_type={report_type}/format={output_format}/"
    )
    assert partitions_of(sql) == [("start_date", "STRING"), ("end_date", "STRING")]
    assert f"`apartmentiq`.`{report_type}_{output_format}`" in sql


@pytest.mark.parametrize("output_format", FORMATS)
def test_registered_partitions_project_nothing(output_format: str) -> None:
    """The catalogue says what exists: no table of ours has a projection that nobody asked for."""
    sql = create_table(LAKE, "units", output_format, COLUMNS)
    assert not [name for name in properties_of(sql) if "projection" in name]


@pytest.mark.parametrize("output_format", FORMATS)
def test_injected_partitions_are_never_enumerated(output_format: str) -> None:
    """No range of dates: a start x end projection would be millions of partitions."""
    sql = create_table(LAKE, "units", output_format, COLUMNS, "injected")
    told = properties_of(sql)
    assert told["projection.enabled"] == "true"
    assert told["projection.start_date.type"] == told["projection.end_date.type"] == "injected"
    assert told["storage.location.template"] == (
        f"s3://example-archive/report_type=units/format={output_format}/"
        "start_date=${start_date}/end_date=${end_date}/"
    )
    assert not [name for name in told if name.endswith((".range", ".values", ".interval"))]


def test_a_csv_table_is_text_and_its_view_has_the_types() -> None:
    """The SerDe that knows quotes takes an empty field for no number; the view makes it NULL."""
    (table,) = parse(create_table(LAKE, "units", "csv", COLUMNS))
    kinds = {column.name: column.args["kind"].sql("hive") for column in table.this.expressions}
    assert kinds == {"date": "STRING", "rent": "STRING"}
    assert properties_of(create_table(LAKE, "units", "csv", COLUMNS)) == {
        "separatorChar": ",",
        "quoteChar": '"',
        "escapeChar": "\\",
        "skip.header.line.count": "1",
    }
    view = create_typed_view(LAKE, "units", [*COLUMNS, Column("note", "string")])
    (parsed,) = parse(view)
    names = [column.alias_or_name for column in parsed.expression.expressions]
    assert names == ["date", "rent", "note", "start_date", "end_date"]
    assert "CAST(NULLIF(\"rent\", '') AS decimal(8,2))" in view
    assert '"apartmentiq"."units_csv_typed"' in view


@pytest.mark.parametrize("output_format", ["jsonl", "parquet"])
def test_other_tables_have_the_types_themselves(output_format: str) -> None:
    """Nested ones included."""
    columns = [*COLUMNS, Column("fees", "array<struct<name:string,amount:double>>")]
    (table,) = parse(create_table(LAKE, "units", output_format, columns))
    kinds = [column.args["kind"].sql("hive") for column in table.this.expressions]
    assert kinds == ["DATE", "DECIMAL(8, 2)", "ARRAY<STRUCT<name: STRING, amount: DOUBLE>>"]


def test_a_json_name_that_athena_cannot_say_is_mapped() -> None:
    """Capitals do not matter to Athena; spaces do."""
    columns = [Column("Property ID", "bigint"), Column("Rent", "double")]
    sql = create_table(LAKE, "units", "jsonl", columns)
    assert properties_of(sql) == {"mapping.property_id": "property id"}


def test_a_partition_is_registered_by_a_statement_that_may_be_repeated() -> None:
    """What the state machine of docs/events.md says, word for word but for its blanks."""
    sql = add_partition(LAKE, "units", "csv", start_date="2026-10-01", end_date="unknown")
    assert sql == (
        "ALTER TABLE units_csv ADD IF NOT EXISTS "
        "PARTITION (start_date = '2026-10-01', end_date = 'unknown')"
    )
    (parsed,) = parse(sql)
    assert parsed.find(exp.AddPartition) is not None


# --- the catalogue ---


def test_the_table_of_exports_has_the_columns_of_an_entry() -> None:
    """By their names and in their order, each of the type that it has in JSON, and no partition."""
    words = {str: "string", int: "bigint", float: "double", bool: "boolean", type(None): "string"}
    entry = json.loads(entry_line(RECEIPT))
    assert {name: words[type(value)] for name, value in entry.items()} == EXPORT_COLUMNS
    sql = create_exports("b", "apartmentiq", "x/")
    (table,) = parse(sql)
    kinds = {column.name: column.args["kind"].sql("hive") for column in table.this.expressions}
    assert kinds == {name: kind.upper() for name, kind in EXPORT_COLUMNS.items()}
    assert location_of(sql) == f"s3://b/x/{FOLDER}"
    assert partitions_of(sql) == []


def test_the_same_rule_stands_in_the_file_for_duckdb() -> None:
    """Which revision is current is one query; only where a file lies is told otherwise."""
    ours = [parse(text)[0] for text in write_ddl(LAKE, [], "registered").split(";\n")[2:4]]
    for statement in ours:
        for table in statement.find_all(exp.Table):
            table.set("db", None)
    theirs = sqlglot.parse((DOCS / "lake.sql").read_text(encoding="utf-8"), dialect="duckdb")
    views = {
        each.find(exp.Table).name: each  # type: ignore[union-attr]  # a view has a name
        for each in theirs
        if each is not None and each.args.get("kind") == "VIEW"
    }
    revisions, superseded = ours
    assert views["exports_revisions"].expression == revisions.expression
    path = superseded.expression.expressions[0].this.sql("duckdb")
    assert path == "'s3://' || \"bucket\" || '/' || \"object_key\""
    text = superseded.expression.sql("duckdb").replace(path, "file").replace('"path"', "name")
    file = views["exports_superseded"].expression.expressions[0].this.sql("duckdb")
    other = views["exports_superseded"].expression.sql("duckdb").replace(file, "file")
    other = other.replace('GROUP BY "filename"', "GROUP BY file").replace('"filename"', "name")
    assert text == other
    (exports,) = [each for each in theirs if each and "READ_JSON" in each.sql("duckdb").upper()]
    told = {
        item.this.name: item.expression.name
        for item in exports.find_all(exp.PropertyEQ)
        if item.this.name in EXPORT_COLUMNS
    }
    duckdbs = {"string": "VARCHAR"}
    assert told == {n: duckdbs.get(kind, kind.upper()) for n, kind in EXPORT_COLUMNS.items()}


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_current_view_has_the_columns_of_its_table_and_joins_by_the_path(
    output_format: str,
) -> None:
    """Those of the typed view where the format is CSV; no row is added by the join."""
    view = create_current_view(LAKE, "units", output_format, COLUMNS)
    (parsed,) = parse(view)
    names = [column.alias_or_name for column in parsed.expression.expressions]
    assert names == ["date", "rent", "start_date", "end_date"]
    assert ('CAST(NULLIF("rent"' in view) == (output_format == "csv")
    assert 'ON "$path" = "_superseded"\nWHERE "_superseded" IS NULL' in view
    assert f'"apartmentiq"."units_{output_format}_current"' in view


# --- other key templates ---


def test_prefix_and_other_names_of_folders_are_followed() -> None:
    """The table is where the stack puts the objects, whatever the folders are called."""
    lake = Lake(
        "b", key_prefix="x/", key_template="{report_type}/{extension}/d={start_date}/{job_id}"
    )
    sql = create_table(lake, "units", "csv", COLUMNS)
    assert location_of(sql) == "s3://b/x/units/csv/"
    assert partitions_of(sql) == [("d", "STRING")]


def test_folders_without_names_are_injected_only() -> None:
    """Hive would look for name=value; the storage template knows better."""
    template = "{start_date}_{end_date}/{report_type}/{output_format}/{job_id}.{extension}"
    lake = Lake("b", key_template=template)
    with pytest.raises(LayoutError, match="use injected"):
        create_table(lake, "units", "csv", COLUMNS)
    sql = create_table(lake, "units", "csv", COLUMNS, "injected")
    assert location_of(sql) == "s3://b/"
    assert properties_of(sql)["storage.location.template"] == (
        "s3://b/${start_date}_${end_date}/units/csv/"
    )


def test_injected_partitions_are_named_as_their_folders() -> None:
    """`from={start_date}` is the column `from`."""
    template = "{report_type}/{output_format}/first={start_date}/{job_id}"
    sql = create_table(Lake("b", key_template=template), "units", "csv", COLUMNS, "injected")
    told = properties_of(sql)
    assert told["projection.first.type"] == "injected"
    assert told["storage.location.template"] == "s3://b/units/csv/first=${first}/"


def test_a_table_may_have_no_partitions() -> None:
    """A template without dates in its folders is one folder a table."""
    lake = Lake("b", key_template="{report_type}/{output_format}/{job_id}.{extension}")
    for partitions in ("registered", "injected"):
        sql = create_table(lake, "units", "parquet", COLUMNS, partitions)
        assert partitions_of(sql) == []
        assert properties_of(sql) == {}


@pytest.mark.parametrize(
    "template", ["{job_id}.{extension}", "{report_type}/{job_id}.{extension}", "x/{job_id}"]
)
def test_a_template_that_mixes_types_or_formats_is_refused(template: str) -> None:
    """Athena reads whole folders and would take a Parquet file for a CSV."""
    with pytest.raises(LayoutError, match="folders of their own"):
        create_table(Lake("b", key_template=template), "units", "csv", COLUMNS)


# --- what is refused ---


@pytest.mark.parametrize(
    ("columns", "output_format", "said"),
    [
        ([], "csv", "at least one column"),
        ([Column("end_date", "date")], "parquet", "two columns 'end_date'"),
        ([Column("a b", "int"), Column("A-B", "int")], "csv", "two columns 'a_b'"),
        ([Column("market rent", "int")], "parquet", "cannot say 'market rent'"),
        ([Column("日付", "date")], "jsonl", "no name in Athena"),
        ([Column("1st", "date")], "jsonl", "no name in Athena"),
        ([Column("fees", "array<int>")], "csv", "cannot be of the type"),
        ([Column("x", "int")], "xlsx", "no reader"),
    ],
)
def test_what_athena_cannot_read_is_said_in_a_sentence(
    columns: list[Column], output_format: str, said: str
) -> None:
    """Not found out by the first query."""
    with pytest.raises(LayoutError, match=said):
        create_table(LAKE, "units", output_format, columns)


@pytest.mark.parametrize("name", ["Units", "units; DROP", "", "u`nits", "7units"])
def test_names_from_outside_cannot_break_out(name: str) -> None:
    """Report types and databases become identifiers, and only plain ones do."""
    with pytest.raises(LayoutError, match="no name in Athena"):
        create_table(LAKE, name, "csv", COLUMNS)
    with pytest.raises(LayoutError, match="no name in Athena"):
        create_database(Lake("b", database=name))


def test_a_partitions_value_cannot_break_out() -> None:
    """Nor a value with a quote, nor a partition that is not there."""
    with pytest.raises(LayoutError, match="quote"):
        add_partition(LAKE, "units", "csv", start_date="'", end_date="x")
    with pytest.raises(LayoutError, match="start_date"):
        add_partition(LAKE, "units", "csv", start_date="2026-10-01")


# --- columns ---


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1::DECIMAL(8,2)", "decimal(8,2)"),
        ("1::UTINYINT", "int"),
        ("1::UBIGINT", "decimal(20,0)"),
        ("1::FLOAT", "float"),
        ("[1::BIGINT]", "array<bigint>"),
        ("{'a': 1, 'b': ['x']}", "struct<a:int,b:array<string>>"),
        ("MAP {'a': 1.5::DOUBLE}", "map<string,double>"),
        ("DATE '2025-01-01'", "date"),
        ("TIMESTAMP '2025-01-01 10:00:00'", "timestamp"),
        ("true", "boolean"),
        ("'x'", "string"),
        ("'x'::BLOB", "binary"),
    ],
)
def test_columns_of_a_parquet_file_get_athenas_types(
    tmp_path: Path, expression: str, expected: str
) -> None:
    """Each as Hive writes it, and parsed by Athena's own rules."""
    path = tmp_path / "x.parquet"
    duckdb.execute(f"COPY (SELECT {expression} AS x) TO '{path}'")
    (column,) = read_columns(path, "parquet")
    assert column == Column("x", expected)
    parse(create_table(LAKE, "units", "parquet", [column]))


def test_a_type_without_a_word_in_athena_is_refused_by_name(tmp_path: Path) -> None:
    """And what to do instead is said."""
    path = tmp_path / "x.parquet"
    duckdb.execute(f"COPY (SELECT TIME '10:00:00' AS opens) TO '{path}'")
    with pytest.raises(LayoutError, match=r"TIME \(opens\); give the columns yourself"):
        read_columns(path, "parquet")


def test_an_empty_export_names_no_columns(tmp_path: Path) -> None:
    """Nothing is made up for it."""
    path = tmp_path / "x.csv"
    path.touch()
    with pytest.raises(LayoutError, match="is empty"):
        read_columns(path, "csv")


def test_columns_can_be_written_by_hand() -> None:
    """Types with commas and brackets included; nonsense is refused."""
    assert parse_columns("date date, Rent decimal(8,2),fees array<struct<a:int,b:string>>") == [
        Column("date", "date"),
        Column("Rent", "decimal(8,2)"),
        Column("fees", "array<struct<a:int,b:string>>"),
    ]
    with pytest.raises(LayoutError, match="'rent' is not a name and a type"):
        parse_columns("date date, rent")


def test_all_exports_of_a_kind_are_read(tmp_path: Path) -> None:
    """A type holds every value of every file; empty files name nothing, others do not matter."""
    for day, content in (
        ("2025-01-01", b"unit_id,since,due\n1,2025-01-01T10:00:00,\n"),
        ("2025-02-01", b""),
        ("2025-03-01", b"unit_id,since,due\n12B,2025-01-01 10:00:00.5,03/04/2025\n"),
        ("2025-04-01", b"unit_id,since,due\n"),
    ):
        path = tmp_path / f"exports/report_type=units/format=csv/start_date={day}/x.csv"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    (tmp_path / "README").write_text("not an export")
    entry = tmp_path / "exports/catalogue/report_type=units/format=csv/year=2026/x.y.json"
    entry.parent.mkdir(parents=True)
    entry.write_text('{"the catalogue\'s": 1}')
    ((report_type, output_format, paths),) = find_exports(tmp_path)
    assert (report_type, output_format, len(paths)) == ("units", "csv", 4)
    assert read_columns(paths, "csv") == [
        Column("unit_id", "string"),
        Column("since", "timestamp"),
        Column("due", "string"),
    ]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("007", "string"),
        ("1E1", "string"),
        ("03/04/2025", "string"),
        ("10-1-1", "string"),
        ("2025-02-30", "string"),
        ("2025-02-28", "date"),
        ("2025-02-28T10:00:00Z", "string"),
        ("2025-02-28T10:00:00.123456", "string"),
        ("2025-02-28T10:00:00.123", "timestamp"),
        ("12345678901234567890", "string"),
        ("123456789012345678", "bigint"),
        ("1000.5", "double"),
        ("0.12345678901234567890", "string"),
        ("true", "boolean"),
        ("TRUE", "string"),
    ],
)
def test_a_text_has_a_type_only_where_athena_loses_nothing_of_it(
    tmp_path: Path, cell: str, expected: str
) -> None:
    """Dates that are not ISO, long numbers and microseconds stay text."""
    path = tmp_path / "x.csv"
    path.write_text(f"x\n{cell}\n")
    assert read_columns(path, "csv") == [Column("x", expected)]


@pytest.mark.parametrize("output_format", FORMATS)
def test_files_that_one_table_cannot_read_are_named(tmp_path: Path, output_format: str) -> None:
    """CSV is read by position, and a column has one type; the larger file does not win."""
    paths = [tmp_path / f"{n}.{output_format}" for n in range(2)]
    contents = {"csv": ("a,b\n1,2\n", "b,a\n1,2\n"), "jsonl": ('{"a": 1}\n', '{"a": 1\n')}
    for path, type_ in zip(paths, ("BIGINT", "VARCHAR"), strict=True):
        if output_format == "parquet":
            duckdb.execute(f"COPY (SELECT 1::{type_} AS a) TO '{path}'")
        else:
            path.write_text(contents[output_format][paths.index(path)])
    with pytest.raises(LayoutError, match=str(paths[1])):
        read_columns(paths, output_format)


def test_a_time_is_cast_as_athena_reads_it() -> None:
    """Trino's cast knows a blank between day and hour; the view asks for that, T or blank."""
    view = create_typed_view(LAKE, "units", [Column("since", "timestamp")])
    parse(view)
    (query,) = [text for text in view.split(" AS SELECT") if "FROM" in text]
    (asked,) = sqlglot.transpile("SELECT" + query.rstrip(";\n"), read="athena", write="duckdb")
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA apartmentiq")
        connection.execute(
            "CREATE TABLE apartmentiq.units_csv AS SELECT unnest(['2025-01-01T10:00:00.5', "
            "'2025-01-01 10:00:00.5', '']) AS since, '' AS start_date, '' AS end_date"
        )
        times = [row[0] for row in connection.execute(asked).fetchall()]
    assert times[0] == times[1] == datetime(2025, 1, 1, 10, 0, 0, 500_000)  # noqa: DTZ001 - no zone
    assert times[2] is None
    assert "REPLACE(NULLIF(\"since\", ''), 'T', ' ')" in view


# --- what is in docs/ ---


def test_the_documented_tables_are_what_the_tool_writes() -> None:
    """All nine with their views, those of the catalogue, and every statement is parsed."""
    text = (DOCS / "athena.sql").read_text(encoding="utf-8")
    comment, _, statements = text.partition("\n\n")
    assert all(line.startswith("-- ") for line in comment.splitlines())
    assert statements == write_ddl(LAKE, sample_tables(), "registered")
    made = [(item.args["kind"], item.find_all(exp.Table)) for item in parse(statements)]
    tables = [f"{kind}_{fmt}" for kind in REPORT_TYPES for fmt in FORMATS]
    assert sorted((kind, next(found).name) for kind, found in made) == sorted(
        [("DATABASE", "apartmentiq"), ("TABLE", "exports")]
        + [("VIEW", f"exports_{name}") for name in ("revisions", "superseded")]
        + [("TABLE", name) for name in tables]
        + [("VIEW", f"{name}_current") for name in tables]
        + [("VIEW", f"{kind}_csv_typed") for kind in REPORT_TYPES]
    )


# --- the command ---


def run_command(*arguments: str) -> int:
    """Run `archiver athena-ddl` in this process."""
    return main(["athena-ddl", "--bucket", "example-archive", *arguments])


def test_the_command_prints_a_table_for_each_kind_in_a_copy_of_the_archive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it prints is what the generator writes for the columns in the files."""
    path = tmp_path / "report_type=units/format=csv/start_date=2025-01-01/x.csv"
    path.parent.mkdir(parents=True)
    path.write_text("date,rent\n2025-01-01,1000.5\n")
    assert run_command("--from", str(tmp_path), "--partitions", "injected") == 0
    columns = [Column("date", "date"), Column("rent", "double")]
    said = capsys.readouterr().out
    assert said == write_ddl(LAKE, [("units", "csv", columns)], "injected")
    assert len(parse(said)) == 7
    one = ["--report-type", "units", "--format", "csv", "--partitions", "injected"]
    assert run_command("--from", str(path), *one) == 0
    assert capsys.readouterr().out == said
    assert run_command("--columns", "date date, rent double", *one) == 0
    assert capsys.readouterr().out == said


def test_the_command_says_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and a sentence, never a trace."""
    for arguments, said in (
        (["--from", str(tmp_path)], "has no report_type=…/format=…/ folders"),
        (["--from", str(tmp_path / "none.csv")], "say which table it is"),
        (["--columns", "date date"], "say which table it is"),
        (
            ["--from", str(tmp_path / "x"), "--report-type", "units", "--format", "csv"],
            "No such file",
        ),
    ):
        assert run_command(*arguments) == 2
        assert said in capsys.readouterr().err
