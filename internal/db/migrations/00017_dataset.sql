-- +goose Up
-- Pipelines as a whole: a row each, with what counts of the latest version. It is what lists
-- show and what need-to-know is decided by.
CREATE TABLE pipelines (
  pipeline_id    TEXT PRIMARY KEY,
  latest         TEXT NOT NULL,   -- version
  title          TEXT NOT NULL,
  owner          TEXT NOT NULL,   -- user id
  project        TEXT NOT NULL,   -- never changed
  classification TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  registered_at  BIGINT NOT NULL, -- of the latest version
  retired_at     BIGINT NOT NULL, -- 0: in use
  retired_by     TEXT NOT NULL,
  retired_reason TEXT NOT NULL
);
CREATE INDEX pipelines_registered ON pipelines (registered_at, pipeline_id);

-- Versions of pipelines, which never change. The digest is of the definition's canonical
-- JSON: comments of the text are not in it. Versions are numbered as they came, which is
-- their order: a lower one is refused.
CREATE TABLE pipeline_versions (
  pipeline_id    TEXT NOT NULL REFERENCES pipelines (pipeline_id),
  version        TEXT NOT NULL,    -- X.Y
  number         BIGINT NOT NULL,  -- from 1
  definition     TEXT NOT NULL,    -- JSON
  source_text    TEXT NOT NULL,    -- as somebody wrote it
  digest         TEXT NOT NULL,    -- SHA256:…
  registered_at  BIGINT NOT NULL,
  registered_by  TEXT NOT NULL,
  PRIMARY KEY (pipeline_id, version)
);
CREATE UNIQUE INDEX pipeline_versions_number ON pipeline_versions (pipeline_id, number);

-- Whose turn it is: executions of a pipeline that run or wait to, in the order in which they
-- came. A row goes when its execution leaves or is found to be over.
CREATE TABLE pipeline_turns (
  execution_id TEXT PRIMARY KEY,
  pipeline_id  TEXT NOT NULL,
  place        BIGINT NOT NULL -- counts up within the pipeline
);
CREATE UNIQUE INDEX pipeline_turns_place ON pipeline_turns (pipeline_id, place);

-- Runs of pipelines, for history: what the execution's output says, and what it was about.
CREATE TABLE pipeline_runs (
  execution_id   TEXT PRIMARY KEY,
  pipeline_id    TEXT NOT NULL,
  version        TEXT NOT NULL,
  run_mode       TEXT NOT NULL,             -- SCHEDULED, ON_DEMAND, EVENT_DRIVEN
  span           TEXT NOT NULL,             -- interval, '' for none
  status         TEXT NOT NULL,             -- RUNNING, SUCCESS, PARTIAL, FAILED, CANCELLED
  records        BIGINT NOT NULL,
  score          DOUBLE PRECISION,          -- NULL: nothing was checked
  seconds        DOUBLE PRECISION NOT NULL,
  outputs        TEXT NOT NULL,             -- JSON list of URIs
  issues         TEXT NOT NULL,             -- JSON list of sentences
  contracts      TEXT NOT NULL,             -- JSON list: which version of which contract checked what
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  started_at     BIGINT NOT NULL,
  ended_at       BIGINT NOT NULL            -- 0: not yet
);
CREATE INDEX pipeline_runs_started ON pipeline_runs (started_at, execution_id);
CREATE INDEX pipeline_runs_pipeline ON pipeline_runs (pipeline_id, started_at, execution_id);

-- Versions of data contracts, which never change. Their ids are document ids.
CREATE TABLE contracts (
  contract_id    TEXT NOT NULL,
  version        TEXT NOT NULL,
  number         BIGINT NOT NULL,  -- from 1, in their order
  latest         INTEGER NOT NULL, -- 1 for one version of each contract
  name           TEXT NOT NULL,
  status         TEXT NOT NULL,    -- the document's word
  objects        TEXT NOT NULL,    -- JSON list of names
  checks         BIGINT NOT NULL,
  digest         TEXT NOT NULL,    -- SHA256:…
  source_text    TEXT NOT NULL,
  project        TEXT NOT NULL,    -- '' for one that every project may use; the same in all versions
  classification TEXT NOT NULL,
  registered_at  BIGINT NOT NULL,
  registered_by  TEXT NOT NULL,
  PRIMARY KEY (contract_id, version)
);
CREATE UNIQUE INDEX contracts_number ON contracts (contract_id, number);
CREATE UNIQUE INDEX contracts_latest ON contracts (contract_id) WHERE latest = 1;
CREATE INDEX contracts_registered ON contracts (registered_at, contract_id) WHERE latest = 1;

-- Datasets: what a pipeline publishes under one target.
CREATE TABLE datasets (
  dataset_id     TEXT PRIMARY KEY, -- <pipeline>.<target>
  uri            TEXT NOT NULL,    -- of the latest version
  pipeline_id    TEXT NOT NULL,
  target         TEXT NOT NULL,
  latest         BIGINT NOT NULL,  -- number of the latest version
  digest         TEXT NOT NULL,    -- of the latest version
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,    -- never lowered
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL
);
CREATE INDEX datasets_updated ON datasets (updated_at, dataset_id);
CREATE INDEX datasets_pipeline ON datasets (pipeline_id, dataset_id);

-- Versions of datasets: a row for each publication, also of content that was there before.
CREATE TABLE dataset_versions (
  dataset_id     TEXT NOT NULL REFERENCES datasets (dataset_id),
  n              BIGINT NOT NULL,  -- from 1
  digest         TEXT NOT NULL,    -- SHA256:… over names and digests of the files
  row_count      BIGINT NOT NULL,
  bytes          BIGINT NOT NULL,
  table_columns  TEXT NOT NULL,    -- JSON list
  files          TEXT NOT NULL,    -- JSON list
  contract       TEXT NOT NULL,    -- id@version, '' for none
  pipeline_id    TEXT NOT NULL,
  target         TEXT NOT NULL,
  execution_id   TEXT NOT NULL,
  span           TEXT NOT NULL,    -- interval, '' for none
  uri            TEXT NOT NULL,
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  published_at   BIGINT NOT NULL,
  published_by   TEXT NOT NULL,
  PRIMARY KEY (dataset_id, n)
);
CREATE UNIQUE INDEX dataset_versions_execution ON dataset_versions (execution_id, dataset_id);
CREATE INDEX dataset_versions_digest ON dataset_versions (digest);
CREATE INDEX dataset_versions_uri ON dataset_versions (uri, published_at);

-- Digests of single files, so that a version is found by one of them. Versions of very many
-- files have none here.
CREATE TABLE dataset_files (
  dataset_id TEXT NOT NULL,
  n          BIGINT NOT NULL,
  digest     TEXT NOT NULL,
  PRIMARY KEY (digest, dataset_id, n)
);

-- Data that no pipeline here published, as runs found it: a row for each content of a URI,
-- for each project and classification that read it.
CREATE TABLE external_versions (
  external_id    TEXT NOT NULL,   -- ext:<12 hex digits of the URI's SHA-256>
  n              BIGINT NOT NULL, -- from 1
  uri            TEXT NOT NULL,
  digest         TEXT NOT NULL,
  row_count      BIGINT NOT NULL,
  bytes          BIGINT NOT NULL,
  table_columns  TEXT NOT NULL,   -- JSON list
  files          TEXT NOT NULL,   -- JSON list
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  first_seen_at  BIGINT NOT NULL,
  first_seen_by  TEXT NOT NULL,   -- execution
  PRIMARY KEY (external_id, n)
);
CREATE UNIQUE INDEX external_versions_content ON external_versions (external_id, digest, project, classification);

-- +goose Down
DROP TABLE external_versions;
DROP TABLE dataset_files;
DROP TABLE dataset_versions;
DROP TABLE datasets;
DROP TABLE contracts;
DROP TABLE pipeline_runs;
DROP TABLE pipeline_turns;
DROP TABLE pipeline_versions;
DROP TABLE pipelines;
