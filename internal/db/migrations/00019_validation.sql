-- +goose Up
-- What came of checking a version of a dataset against a version of a contract. Written
-- once, in the commit that also keeps the report's objects, and never changed.
CREATE TABLE validations (
  validation_id      TEXT PRIMARY KEY,
  execution_id       TEXT NOT NULL,    -- of the DATA.VALIDATE
  pipeline_execution TEXT NOT NULL,    -- that wrote the dataset
  pipeline_id        TEXT NOT NULL,
  dataset_id         TEXT NOT NULL,
  n                  BIGINT NOT NULL,  -- version of the dataset
  dataset_uri        TEXT NOT NULL,
  dataset_digest     TEXT NOT NULL,
  contract_id        TEXT NOT NULL,
  contract_version   TEXT NOT NULL,
  contract_digest    TEXT NOT NULL,
  contract_object    TEXT NOT NULL,
  engine             TEXT NOT NULL,    -- what counted
  status             TEXT NOT NULL,    -- PASS, WARNING or FAIL
  score              DOUBLE PRECISION, -- NULL: there was nothing to score
  dimensions         TEXT NOT NULL,    -- JSON object
  performed          BIGINT NOT NULL,  -- passed + failed
  passed             BIGINT NOT NULL,
  failed             BIGINT NOT NULL,
  anomalies          BIGINT NOT NULL,  -- distinct flagged values
  row_count          BIGINT NOT NULL,
  byte_count         BIGINT NOT NULL,
  seconds            DOUBLE PRECISION NOT NULL,
  checks             TEXT NOT NULL,    -- JSON lists, clipped and masked; the report's JSON has the statements as well
  samples            TEXT NOT NULL,
  profile            TEXT NOT NULL,
  findings           TEXT NOT NULL,
  report_html        TEXT NOT NULL,    -- digests of objects
  report_json        TEXT NOT NULL,
  previous           TEXT NOT NULL,    -- validation that it was compared with, '' for none
  changes            TEXT NOT NULL,    -- JSON, '' without a previous one
  alert_id           TEXT NOT NULL,
  project            TEXT NOT NULL,
  classification     TEXT NOT NULL,
  requested_by       TEXT NOT NULL,
  started_at         BIGINT NOT NULL,
  validated_at       BIGINT NOT NULL
);
CREATE UNIQUE INDEX validations_execution ON validations (execution_id);
CREATE INDEX validations_at ON validations (validated_at, validation_id);
CREATE INDEX validations_of ON validations (dataset_id, contract_id, validated_at, validation_id);
CREATE INDEX validations_pipeline ON validations (pipeline_execution);

-- The dashboard "data-quality", kept in the transaction of each validation: how each dataset
-- stands by each contract, and what each day brought. A count over validations gives the same.
CREATE TABLE quality_standing (
  dataset_id     TEXT NOT NULL,
  contract_id    TEXT NOT NULL,
  pipeline_id    TEXT NOT NULL,
  validations    BIGINT NOT NULL,
  passes         BIGINT NOT NULL,
  warnings       BIGINT NOT NULL,
  fails          BIGINT NOT NULL,
  validation_id  TEXT NOT NULL,    -- the latest; the columns below are its
  n              BIGINT NOT NULL,
  status         TEXT NOT NULL,
  score          DOUBLE PRECISION,
  failed         BIGINT NOT NULL,
  anomalies      BIGINT NOT NULL,
  validated_at   BIGINT NOT NULL,
  failing_since  BIGINT NOT NULL,  -- first of the FAILs in a row that end with it, 0 for none
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  PRIMARY KEY (dataset_id, contract_id)
);
CREATE INDEX quality_standing_at ON quality_standing (validated_at);
CREATE TABLE quality_days (
  day            BIGINT NOT NULL,  -- days since 1970-01-01, UTC
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  status         TEXT NOT NULL,
  validations    BIGINT NOT NULL,
  checks_failed  BIGINT NOT NULL,
  anomalies      BIGINT NOT NULL,
  PRIMARY KEY (day, project, classification, status)
);

-- +goose Down
DROP TABLE quality_days;
DROP TABLE quality_standing;
DROP TABLE validations;
