"""The catalogue as a table of Athena, and which revision of each export is current: → DDL. Pure.

    exports              the entries below catalogue/, line by line (archiver/catalogue.py)
    exports_revisions    each archived export once, and whether it is current
    exports_superseded   the paths that hold no current export

`exports` has no partitions: Athena reads all that lies below a location (User Guide, "Understand
CloudTrail logs and Athena tables": a LOCATION at the highest level of the hierarchy reads all below
it), so that a report type, a format or a year of which nobody knew yet is there without a word, as
no list of projected values has it. The queries of both views run in DuckDB, too: docs/lake.sql has
them word for word.
"""

from __future__ import annotations

from archiver.catalogue import FOLDER

__all__ = ["EXPORT_COLUMNS", "create_exports", "create_revisions", "create_superseded"]

# A receipt's fields as an entry names them, in Hive's types. Times are text: those of one column
# are written alike and in UTC, so that they compare as they stand, to the microsecond.
EXPORT_COLUMNS = {
    "schema_version": "string",
    "job_id": "string",
    "report_type": "string",
    "output_format": "string",
    "start_date": "string",
    "end_date": "string",
    "bucket": "string",
    "object_key": "string",
    "version_id": "string",
    "size_bytes": "bigint",
    "etag": "string",
    "checksum_crc64nvme": "string",
    "source_etag": "string",
    "copy_method": "string",
    "verified_by": "string",
    "archived_at": "string",
    "duration_seconds": "double",
    "etags_agree": "boolean",
    "completed_at": "string",
    "order_name": "string",
    "order_window": "string",
    "order_cycle": "string",
    "created_at": "string",
    "property_set": "string",
    "quality_warning": "string",
}
_PATH = "'s3://' || \"bucket\" || '/' || \"object_key\""


def create_exports(bucket: str, database: str, key_prefix: str) -> str:
    """Return `CREATE EXTERNAL TABLE` for the entries of the catalogue."""
    columns = ",\n".join(f"  `{name}` {kind}" for name, kind in EXPORT_COLUMNS.items())
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{database}`.`exports` (\n{columns}\n)\n"
        "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'\n"
        "STORED AS TEXTFILE\n"
        f"LOCATION 's3://{bucket}/{key_prefix}{FOLDER}';\n"
    )


def create_revisions(database: str) -> str:
    """Return the view of each archived export, once, with `is_current`.

    An entry may lie twice. Of a job that was archived again the last archiving counts. Of jobs with
    equal type, format, window and properties the one that was created last is current; where
    something of these is not told, a job is by itself.
    """
    columns = "".join(f'  "{name}",\n' for name in EXPORT_COLUMNS)
    return (
        f'CREATE OR REPLACE VIEW "{database}"."exports_revisions" AS SELECT\n{columns}'  # noqa: S608 - our own names
        '  "archiving" = 1 AND "revision" = 1 AS "is_current"\n'
        "FROM (\n"
        "  SELECT *, row_number() OVER (\n"
        '    PARTITION BY "archiving", "report_type", "output_format", "start_date", "end_date",\n'
        '      "property_set", CASE WHEN "property_set" IS NOT NULL AND \'unknown\' NOT IN\n'
        '      ("report_type", "output_format", "start_date", "end_date") THEN \'\' '
        'ELSE "job_id" END\n'
        '    ORDER BY "created_at" DESC NULLS LAST, "job_id" DESC\n'
        '  ) AS "revision"\n'
        "  FROM (\n"
        "    SELECT *, row_number() OVER (\n"
        '      PARTITION BY "job_id" ORDER BY "archived_at" DESC, "object_key" DESC, "etag" DESC\n'
        '    ) AS "archiving"\n'
        "    FROM (\n"
        "      SELECT *, row_number() OVER (\n"
        '        PARTITION BY "job_id", "object_key", "checksum_crc64nvme", "etag"\n'
        '        ORDER BY "archived_at" DESC\n'
        '      ) AS "copy"\n'
        f'      FROM "{database}"."exports"\n'
        '    ) AS "copies"\n'
        '    WHERE "copy" = 1\n'
        '  ) AS "archivings"\n'
        ') AS "revisions";\n'
    )


def create_superseded(database: str) -> str:
    """Return the view of the paths at which only superseded exports lie."""
    return (
        f'CREATE OR REPLACE VIEW "{database}"."exports_superseded" AS SELECT\n'
        f'  {_PATH} AS "path"\n'
        f'FROM "{database}"."exports_revisions"\n'
        f"GROUP BY {_PATH}\n"
        'HAVING NOT bool_or("is_current");\n'
    )
