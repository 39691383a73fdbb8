-- Written by `archiver athena-ddl --samples --bucket example-archive`; a test holds it to that.
-- The columns are those of the sample exports of local/: take your own with --from (docs/athena.md).

CREATE DATABASE IF NOT EXISTS `apartmentiq`;

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

CREATE EXTERNAL TABLE IF NOT EXISTS `apartmentiq`.`floorplans_parquet` (
  `date` date,
  `property_id` bigint,
  `floorplan` string,
  `market_rent` decimal(8,2)
)
PARTITIONED BY (`start_date` string, `end_date` string)
STORED AS PARQUET
LOCATION 's3://example-archive/report_type=floorplans/format=parquet/';

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

CREATE EXTERNAL TABLE IF NOT EXISTS `apartmentiq`.`property_parquet` (
  `date` date,
  `property_id` bigint,
  `name` string,
  `occupancy_percent` double
)
PARTITIONED BY (`start_date` string, `end_date` string)
STORED AS PARQUET
LOCATION 's3://example-archive/report_type=property/format=parquet/';

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
