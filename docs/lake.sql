-- The catalogue in DuckDB: what docs/athena.sql says to Athena, over a copy of the bucket or the
-- bucket itself. A test holds the two together. Say first where keys begin:
--
--   SET VARIABLE archive = 'archive';      -- aws s3 sync s3://ARCHIVE archive/; or 's3://ARCHIVE'
--   SET VARIABLE key_prefix = '';          -- the stack's KeyPrefix
--   .read docs/lake.sql
--
-- (s3:// needs INSTALL httpfs; and CREATE SECRET (TYPE s3, PROVIDER credential_chain);)
-- Types are said, none is guessed.

CREATE OR REPLACE VIEW exports AS SELECT *
FROM read_json(
  -- The folder as it is called, though a sign in its name has a meaning in a pattern.
  regexp_replace(getvariable('archive'), '([*?[])', '[\1]', 'g') || '/'
    || regexp_replace(getvariable('key_prefix'), '([*?[])', '[\1]', 'g') || 'catalogue/**/*.json*',
  format = 'newline_delimited', auto_detect = false, hive_partitioning = false,
  columns = {
    schema_version: 'VARCHAR',
    job_id: 'VARCHAR',
    report_type: 'VARCHAR',
    output_format: 'VARCHAR',
    start_date: 'VARCHAR',
    end_date: 'VARCHAR',
    bucket: 'VARCHAR',
    object_key: 'VARCHAR',
    version_id: 'VARCHAR',
    size_bytes: 'BIGINT',
    etag: 'VARCHAR',
    checksum_crc64nvme: 'VARCHAR',
    source_etag: 'VARCHAR',
    copy_method: 'VARCHAR',
    verified_by: 'VARCHAR',
    archived_at: 'VARCHAR',
    duration_seconds: 'DOUBLE',
    etags_agree: 'BOOLEAN',
    completed_at: 'VARCHAR',
    order_name: 'VARCHAR',
    order_window: 'VARCHAR',
    order_cycle: 'VARCHAR',
    created_at: 'VARCHAR',
    property_set: 'VARCHAR',
    quality_warning: 'VARCHAR'
  }
);

CREATE OR REPLACE VIEW "exports_revisions" AS SELECT
  "schema_version",
  "job_id",
  "report_type",
  "output_format",
  "start_date",
  "end_date",
  "bucket",
  "object_key",
  "version_id",
  "size_bytes",
  "etag",
  "checksum_crc64nvme",
  "source_etag",
  "copy_method",
  "verified_by",
  "archived_at",
  "duration_seconds",
  "etags_agree",
  "completed_at",
  "order_name",
  "order_window",
  "order_cycle",
  "created_at",
  "property_set",
  "quality_warning",
  "archiving" = 1 AND "revision" = 1 AS "is_current"
FROM (
  SELECT *, row_number() OVER (
    PARTITION BY "archiving", "report_type", "output_format", "start_date", "end_date",
      "property_set", CASE WHEN "property_set" IS NOT NULL AND 'unknown' NOT IN
      ("report_type", "output_format", "start_date", "end_date") THEN '' ELSE "job_id" END
    ORDER BY "created_at" DESC NULLS LAST, "job_id" DESC
  ) AS "revision"
  FROM (
    SELECT *, row_number() OVER (
      PARTITION BY "job_id" ORDER BY "archived_at" DESC, "object_key" DESC, "etag" DESC
    ) AS "archiving"
    FROM (
      SELECT *, row_number() OVER (
        PARTITION BY "job_id", "object_key", "checksum_crc64nvme", "etag"
        ORDER BY "archived_at" DESC
      ) AS "copy"
      FROM "exports"
    ) AS "copies"
    WHERE "copy" = 1
  ) AS "archivings"
) AS "revisions";

-- The files at which only superseded exports lie; a file that no entry names is none of them.
CREATE OR REPLACE VIEW exports_superseded AS SELECT
  getvariable('archive') || '/' || "object_key" AS "filename"
FROM "exports_revisions"
GROUP BY "filename"
HAVING NOT bool_or("is_current");

-- The rows of a table that has a column `filename` (docs/athena.md), without those of superseded
-- exports: FROM current_rows('units_parquet');
CREATE OR REPLACE MACRO current_rows(name) AS TABLE
  FROM query_table(name) ANTI JOIN "exports_superseded" USING ("filename");
