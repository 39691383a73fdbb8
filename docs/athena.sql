-- Written by `archiver athena-ddl --samples --bucket example-archive`; a test holds it to that.
-- The columns are those of the sample exports of local/: take your own with --from (docs/athena.md).

CREATE DATABASE IF NOT EXISTS `apartmentiq`;

CREATE EXTERNAL TABLE IF NOT EXISTS `apartmentiq`.`exports` (
  `schema_version` string,
  `job_id` string,
  `report_type` string,
  `output_format` string,
  `start_date` string,
  `end_date` string,
  `bucket` string,
  `object_key` string,
  `version_id` string,
  `size_bytes` bigint,
  `etag` string,
  `checksum_crc64nvme` string,
  `source_etag` string,
  `copy_method` string,
  `verified_by` string,
  `archived_at` string,
  `duration_seconds` double,
  `etags_agree` boolean,
  `completed_at` string,
  `order_name` string,
  `order_window` string,
  `order_cycle` string,
  `created_at` string,
  `property_set` string,
  `quality_warning` string
)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
STORED AS TEXTFILE
LOCATION 's3://example-archive/catalogue/';

CREATE OR REPLACE VIEW "apartmentiq"."exports_revisions" AS SELECT
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
      FROM "apartmentiq"."exports"
    ) AS "copies"
    WHERE "copy" = 1
  ) AS "archivings"
) AS "revisions";

CREATE OR REPLACE VIEW "apartmentiq"."exports_superseded" AS SELECT
  's3://' || "bucket" || '/' || "object_key" AS "path"
FROM "apartmentiq"."exports_revisions"
GROUP BY 's3://' || "bucket" || '/' || "object_key"
HAVING NOT bool_or("is_current");

CREATE EXTERNAL TABLE IF NOT EXISTS `apartmentiq`.`floorplans_csv` (
  `date` string,
  `property_id` string,
  `floorplan` string,
  `market_rent` string
)
PARTITIONED BY (`start_date` string, `end_date` string)
ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
WITH SERDEPROPERTIES ('separatorChar' = ',', 'quoteChar' = '"', 'escapeChar' = '\\')
STORED AS TEXTFILE
LOCATION 's3://example-archive/report_type=floorplans/format=csv/'
TBLPROPERTIES (
  'skip.header.line.count' = '1'
);

CREATE OR REPLACE VIEW "apartmentiq"."floorplans_csv_typed" AS SELECT
  CAST(NULLIF("date", '') AS date) AS "date",
  CAST(NULLIF("property_id", '') AS bigint) AS "property_id",
  NULLIF("floorplan", '') AS "floorplan",
  CAST(NULLIF("market_rent", '') AS decimal(8,2)) AS "market_rent",
  "start_date",
  "end_date"
FROM "apartmentiq"."floorplans_csv";

CREATE OR REPLACE VIEW "apartmentiq"."floorplans_csv_current" AS SELECT
  CAST(NULLIF("date", '') AS date) AS "date",
  CAST(NULLIF("property_id", '') AS bigint) AS "property_id",
  NULLIF("floorplan", '') AS "floorplan",
  CAST(NULLIF("market_rent", '') AS decimal(8,2)) AS "market_rent",
  "start_date",
  "end_date"
FROM "apartmentiq"."floorplans_csv"
LEFT JOIN (SELECT "path" AS "_superseded" FROM "apartmentiq"."exports_superseded") AS "_paths"
ON "$path" = "_superseded"
WHERE "_superseded" IS NULL;

CREATE EXTERNAL TABLE IF NOT EXISTS `apartmentiq`.`floorplans_jsonl` (
  `date` date,
  `property_id` bigint,
  `floorplan` string,
  `market_rent` decimal(8,2)
)
PARTITIONED BY (`start_date` string, `end_date` string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
STORED AS TEXTFILE
LOCATION 's3://example-archive/report_type=floorplans/format=jsonl/';

CREATE OR REPLACE VIEW "apartmentiq"."floorplans_jsonl_current" AS SELECT
  "date",
  "property_id",
  "floorplan",
  "market_rent",
  "start_date",
  "end_date"
FROM "apartmentiq"."floorplans_jsonl"
LEFT JOIN (SELECT "path" AS "_superseded" FROM "apartmentiq"."exports_superseded") AS "_paths"
ON "$path" = "_superseded"
WHERE "_superseded" IS NULL;

CREATE EXTERNAL TABLE IF NOT EXISTS `apartmentiq`.`floorplans_parquet` (
  `date` date,
  `property_id` bigint,
  `floorplan` string,
  `market_rent` decimal(8,2)
)
PARTITIONED BY (`start_date` string, `end_date` string)
STORED AS PARQUET
LOCATION 's3://example-archive/report_type=floorplans/format=parquet/';

CREATE OR REPLACE VIEW "apartmentiq"."floorplans_parquet_current" AS SELECT
  "date",
  "property_id",
  "floorplan",
  "market_rent",
  "start_date",
  "end_date"
FROM "apartmentiq"."floorplans_parquet"
LEFT JOIN (SELECT "path" AS "_superseded" FROM "apartmentiq"."exports_superseded") AS "_paths"
ON "$path" = "_superseded"
WHERE "_superseded" IS NULL;

CREATE EXTERNAL TABLE IF NOT EXISTS `apartmentiq`.`property_csv` (
  `date` string,
  `property_id` string,
  `name` string,
  `occupancy_percent` string
)
PARTITIONED BY (`start_date` string, `end_date` string)
ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
WITH SERDEPROPERTIES ('separatorChar' = ',', 'quoteChar' = '"', 'escapeChar' = '\\')
STORED AS TEXTFILE
LOCATION 's3://example-archive/report_type=property/format=csv/'
TBLPROPERTIES (
  'skip.header.line.count' = '1'
);

CREATE OR REPLACE VIEW "apartmentiq"."property_csv_typed" AS SELECT
  CAST(NULLIF("date", '') AS date) AS "date",
  CAST(NULLIF("property_id", '') AS bigint) AS "property_id",
  NULLIF("name", '') AS "name",
  CAST(NULLIF("occupancy_percent", '') AS double) AS "occupancy_percent",
  "start_date",
  "end_date"
FROM "apartmentiq"."property_csv";

CREATE OR REPLACE VIEW "apartmentiq"."property_csv_current" AS SELECT
  CAST(NULLIF("date", '') AS date) AS "date",
  CAST(NULLIF("property_id", '') AS bigint) AS "property_id",
  NULLIF("name", '') AS "name",
  CAST(NULLIF("occupancy_percent", '') AS double) AS "occupancy_percent",
  "start_date",
  "end_date"
FROM "apartmentiq"."property_csv"
LEFT JOIN (SELECT "path" AS "_superseded" FROM "apartmentiq"."exports_superseded") AS "_paths"
ON "$path" = "_superseded"
WHERE "_superseded" IS NULL;

CREATE EXTERNAL TABLE IF NOT EXISTS `apartmentiq`.`property_jsonl` (
  `date` date,
  `property_id` bigint,
  `name` string,
  `occupancy_percent` double
)
PARTITIONED BY (`start_date` string, `end_date` string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
STORED AS TEXTFILE
LOCATION 's3://example-archive/report_type=property/format=jsonl/';

CREATE OR REPLACE VIEW "apartmentiq"."property_jsonl_current" AS SELECT
  "date",
  "property_id",
  "name",
  "occupancy_percent",
  "start_date",
  "end_date"
FROM "apartmentiq"."property_jsonl"
LEFT JOIN (SELECT "path" AS "_superseded" FROM "apartmentiq"."exports_superseded") AS "_paths"
ON "$path" = "_superseded"
WHERE "_superseded" IS NULL;

CREATE EXTERNAL TABLE IF NOT EXISTS `apartmentiq`.`property_parquet` (
  `date` date,
  `property_id` bigint,
  `name` string,
  `occupancy_percent` double
)
PARTITIONED BY (`start_date` string, `end_date` string)
STORED AS PARQUET
LOCATION 's3://example-archive/report_type=property/format=parquet/';

CREATE OR REPLACE VIEW "apartmentiq"."property_parquet_current" AS SELECT
  "date",
  "property_id",
  "name",
  "occupancy_percent",
  "start_date",
  "end_date"
FROM "apartmentiq"."property_parquet"
LEFT JOIN (SELECT "path" AS "_superseded" FROM "apartmentiq"."exports_superseded") AS "_paths"
ON "$path" = "_superseded"
WHERE "_superseded" IS NULL;

CREATE EXTERNAL TABLE IF NOT EXISTS `apartmentiq`.`units_csv` (
  `date` string,
  `property_id` string,
  `unit_id` string,
  `floorplan` string,
  `beds` string,
  `sqft` string,
  `market_rent` string
)
PARTITIONED BY (`start_date` string, `end_date` string)
ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
WITH SERDEPROPERTIES ('separatorChar' = ',', 'quoteChar' = '"', 'escapeChar' = '\\')
STORED AS TEXTFILE
LOCATION 's3://example-archive/report_type=units/format=csv/'
TBLPROPERTIES (
  'skip.header.line.count' = '1'
);

CREATE OR REPLACE VIEW "apartmentiq"."units_csv_typed" AS SELECT
  CAST(NULLIF("date", '') AS date) AS "date",
  CAST(NULLIF("property_id", '') AS bigint) AS "property_id",
  CAST(NULLIF("unit_id", '') AS bigint) AS "unit_id",
  NULLIF("floorplan", '') AS "floorplan",
  CAST(NULLIF("beds", '') AS bigint) AS "beds",
  CAST(NULLIF("sqft", '') AS bigint) AS "sqft",
  CAST(NULLIF("market_rent", '') AS double) AS "market_rent",
  "start_date",
  "end_date"
FROM "apartmentiq"."units_csv";

CREATE OR REPLACE VIEW "apartmentiq"."units_csv_current" AS SELECT
  CAST(NULLIF("date", '') AS date) AS "date",
  CAST(NULLIF("property_id", '') AS bigint) AS "property_id",
  CAST(NULLIF("unit_id", '') AS bigint) AS "unit_id",
  NULLIF("floorplan", '') AS "floorplan",
  CAST(NULLIF("beds", '') AS bigint) AS "beds",
  CAST(NULLIF("sqft", '') AS bigint) AS "sqft",
  CAST(NULLIF("market_rent", '') AS double) AS "market_rent",
  "start_date",
  "end_date"
FROM "apartmentiq"."units_csv"
LEFT JOIN (SELECT "path" AS "_superseded" FROM "apartmentiq"."exports_superseded") AS "_paths"
ON "$path" = "_superseded"
WHERE "_superseded" IS NULL;

CREATE EXTERNAL TABLE IF NOT EXISTS `apartmentiq`.`units_jsonl` (
  `date` date,
  `property_id` bigint,
  `unit_id` bigint,
  `floorplan` string,
  `beds` bigint,
  `sqft` bigint,
  `market_rent` double
)
PARTITIONED BY (`start_date` string, `end_date` string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
STORED AS TEXTFILE
LOCATION 's3://example-archive/report_type=units/format=jsonl/';

CREATE OR REPLACE VIEW "apartmentiq"."units_jsonl_current" AS SELECT
  "date",
  "property_id",
  "unit_id",
  "floorplan",
  "beds",
  "sqft",
  "market_rent",
  "start_date",
  "end_date"
FROM "apartmentiq"."units_jsonl"
LEFT JOIN (SELECT "path" AS "_superseded" FROM "apartmentiq"."exports_superseded") AS "_paths"
ON "$path" = "_superseded"
WHERE "_superseded" IS NULL;

CREATE EXTERNAL TABLE IF NOT EXISTS `apartmentiq`.`units_parquet` (
  `date` date,
  `property_id` bigint,
  `unit_id` bigint,
  `floorplan` string,
  `beds` bigint,
  `sqft` bigint,
  `market_rent` double
)
PARTITIONED BY (`start_date` string, `end_date` string)
STORED AS PARQUET
LOCATION 's3://example-archive/report_type=units/format=parquet/';

CREATE OR REPLACE VIEW "apartmentiq"."units_parquet_current" AS SELECT
  "date",
  "property_id",
  "unit_id",
  "floorplan",
  "beds",
  "sqft",
  "market_rent",
  "start_date",
  "end_date"
FROM "apartmentiq"."units_parquet"
LEFT JOIN (SELECT "path" AS "_superseded" FROM "apartmentiq"."exports_superseded") AS "_paths"
ON "$path" = "_superseded"
WHERE "_superseded" IS NULL;
