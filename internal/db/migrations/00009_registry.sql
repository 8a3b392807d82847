-- +goose Up
-- Models: what the versions of one model have in common.
CREATE TABLE models (
  model_id       TEXT PRIMARY KEY,
  name           TEXT NOT NULL,
  family         TEXT NOT NULL,
  safety_level   TEXT NOT NULL, -- DAL-A … DAL-E, '' while it is not assessed
  regime         TEXT NOT NULL, -- the rules it is certified under, such as EASA_CS-25
  owner          TEXT NOT NULL, -- user id
  former_owners  TEXT NOT NULL, -- JSON array of user ids: separation of duties looks back
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  description    TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  created_by     TEXT NOT NULL,
  updated_at     BIGINT NOT NULL,
  revision       BIGINT NOT NULL
);
CREATE INDEX models_created ON models (created_at, model_id);
CREATE INDEX models_project ON models (project, created_at);

-- Versions of models. project and classification are copies of the model's.
CREATE TABLE model_versions (
  model_id             TEXT NOT NULL REFERENCES models (model_id),
  version              TEXT NOT NULL,
  seq                  BIGINT NOT NULL, -- the model's versions counted from 1, which is also their order
  state                TEXT NOT NULL,   -- REGISTERED, FROZEN, PRODUCTION_READY, RELEASED, RETIRED
  framework            TEXT NOT NULL,
  description          TEXT NOT NULL,
  supersedes           TEXT NOT NULL,
  compatible_with      TEXT NOT NULL,   -- JSON array
  safety_impact        TEXT NOT NULL,
  certification_impact TEXT NOT NULL,
  freezing             TEXT NOT NULL,   -- execution that has it claimed, '' for none; only of REGISTERED ones
  freeze_id            TEXT NOT NULL,   -- '' until it is frozen, as the next two
  baseline_id          TEXT NOT NULL,
  frozen_at            BIGINT NOT NULL, -- 0
  created_at           BIGINT NOT NULL,
  created_by           TEXT NOT NULL,
  updated_at           BIGINT NOT NULL,
  revision             BIGINT NOT NULL, -- counts changes, those of artifacts and conversions included
  project              TEXT NOT NULL,
  classification       TEXT NOT NULL,
  PRIMARY KEY (model_id, version)
);
CREATE UNIQUE INDEX model_versions_order ON model_versions (model_id, seq);

-- The files of a version; their bytes are objects.
CREATE TABLE model_artifacts (
  model_id    TEXT NOT NULL,
  version     TEXT NOT NULL,
  name        TEXT NOT NULL, -- relative path with slashes
  role        TEXT NOT NULL,
  digest      TEXT NOT NULL,
  size        BIGINT NOT NULL,
  media_type  TEXT NOT NULL,
  format      TEXT NOT NULL,
  source      TEXT NOT NULL,
  description TEXT NOT NULL,
  scan        TEXT NOT NULL, -- JSON of the report about the file
  added_at    BIGINT NOT NULL,
  added_by    TEXT NOT NULL,
  PRIMARY KEY (model_id, version, name),
  FOREIGN KEY (model_id, version) REFERENCES model_versions (model_id, version)
);
CREATE INDEX model_artifacts_digest ON model_artifacts (digest);

-- How one artifact of a version was made from another.
CREATE TABLE model_conversions (
  model_id     TEXT NOT NULL,
  version      TEXT NOT NULL,
  from_name    TEXT NOT NULL,
  to_name      TEXT NOT NULL,
  from_digest  TEXT NOT NULL,
  to_digest    TEXT NOT NULL,
  tool         TEXT NOT NULL,
  tool_version TEXT NOT NULL,
  parameters   TEXT NOT NULL, -- JSON object
  equivalence  TEXT NOT NULL, -- id of a document or evidence item, ''
  recorded_at  BIGINT NOT NULL,
  recorded_by  TEXT NOT NULL,
  PRIMARY KEY (model_id, version, from_name, to_name),
  FOREIGN KEY (model_id, version) REFERENCES model_versions (model_id, version)
);

-- Documents by version. A row changes when somebody decides about it and when the next
-- version supersedes it, and in nothing else.
CREATE TABLE documents (
  document_id    TEXT NOT NULL,
  version        TEXT NOT NULL,
  seq            BIGINT NOT NULL, -- the document's versions counted from 1
  kind           TEXT NOT NULL,
  title          TEXT NOT NULL,
  status         TEXT NOT NULL,   -- REGISTERED, APPROVED, REJECTED, SUPERSEDED
  stated         TEXT NOT NULL,   -- what the document itself says of its outcome
  model_id       TEXT NOT NULL,   -- '' if it is about no one model
  model_version  TEXT NOT NULL,   -- '' if it is about no one version
  digest         TEXT NOT NULL,   -- of its bytes, which are an object
  size           BIGINT NOT NULL,
  media_type     TEXT NOT NULL,
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  registered_at  BIGINT NOT NULL,
  registered_by  TEXT NOT NULL,
  recorded_by    TEXT NOT NULL,   -- who authenticated
  decided_at     BIGINT NOT NULL, -- 0
  decided_by     TEXT NOT NULL,
  decision       TEXT NOT NULL,   -- APPROVED, REJECTED, '' before; stays when it is superseded
  statement      TEXT NOT NULL,   -- of who decided
  PRIMARY KEY (document_id, version)
);
CREATE UNIQUE INDEX documents_order ON documents (document_id, seq);
CREATE UNIQUE INDEX documents_latest ON documents (document_id) WHERE status <> 'SUPERSEDED';
CREATE INDEX documents_model ON documents (model_id, model_version, kind);
CREATE INDEX documents_registered ON documents (registered_at);

-- What was read out of a document, beside it because it can be long.
CREATE TABLE document_contents (
  document_id TEXT NOT NULL,
  version     TEXT NOT NULL,
  results     {{bytes}} NOT NULL, -- gzip of the canonical JSON of the whole document, empty if it was not read
  facts       TEXT NOT NULL,      -- the counts and lists that gates look at
  PRIMARY KEY (document_id, version),
  FOREIGN KEY (document_id, version) REFERENCES documents (document_id, version)
);

-- Frozen versions. checked_at, check_status and problems are what the last check of the
-- bytes found; nothing else of a row ever changes but the classification.
CREATE TABLE baselines (
  baseline_id          TEXT PRIMARY KEY,
  model_id             TEXT NOT NULL,
  version              TEXT NOT NULL,
  freeze_id            TEXT NOT NULL UNIQUE,
  execution_id         TEXT NOT NULL,
  root_digest          TEXT NOT NULL,
  statement_digest     TEXT NOT NULL,
  bundle_digest        TEXT NOT NULL,
  key_id               TEXT NOT NULL,
  files                TEXT NOT NULL,   -- JSON array of path, role, digest, size
  file_count           BIGINT NOT NULL,
  bytes                BIGINT NOT NULL,
  frozen_at            BIGINT NOT NULL,
  frozen_by            TEXT NOT NULL,
  vv_report_id         TEXT NOT NULL,
  vv_report_version    TEXT NOT NULL,
  supersedes           TEXT NOT NULL,
  compatible_with      TEXT NOT NULL,   -- JSON array
  safety_impact        TEXT NOT NULL,
  certification_impact TEXT NOT NULL,
  project              TEXT NOT NULL,
  classification       TEXT NOT NULL,
  checked_at           BIGINT NOT NULL, -- 0 before the first check
  check_status         TEXT NOT NULL,   -- '', INTACT, DAMAGED
  problems             TEXT NOT NULL,   -- JSON array
  UNIQUE (model_id, version),
  FOREIGN KEY (model_id, version) REFERENCES model_versions (model_id, version)
);
CREATE INDEX baselines_frozen ON baselines (frozen_at, baseline_id);

-- +goose Down
DROP TABLE baselines;
DROP TABLE document_contents;
DROP TABLE documents;
DROP TABLE model_conversions;
DROP TABLE model_artifacts;
DROP TABLE model_versions;
DROP TABLE models;
