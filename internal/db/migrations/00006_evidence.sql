-- +goose Up
-- A certification package: a plan of requirement and objective ids, and the evidence for
-- them. status is OPEN or CLOSED. findings is JSON, written when the package is closed.
CREATE TABLE packages (
  package_id     TEXT PRIMARY KEY,
  model_id       TEXT NOT NULL,
  title          TEXT NOT NULL,
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  status         TEXT NOT NULL,
  plan_version   INTEGER NOT NULL,
  findings       TEXT NOT NULL,
  statement      TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  created_by     TEXT NOT NULL,
  updated_at     BIGINT NOT NULL,
  closed_at      BIGINT,
  closed_by      TEXT
);
CREATE INDEX packages_model ON packages (model_id);
CREATE INDEX packages_created ON packages (created_at, package_id);

-- Every version of a plan, as it was set. ids are JSON lists.
CREATE TABLE package_plans (
  package_id   TEXT NOT NULL REFERENCES packages (package_id),
  version      INTEGER NOT NULL,
  requirements TEXT NOT NULL,
  objectives   TEXT NOT NULL,
  source       TEXT NOT NULL,
  created_at   BIGINT NOT NULL,
  created_by   TEXT NOT NULL,
  PRIMARY KEY (package_id, version)
);

-- The ids of the present plan. kind is R (requirement) or O (objective); covering counts
-- the items that cover the id.
CREATE TABLE package_planned (
  package_id TEXT NOT NULL REFERENCES packages (package_id),
  kind       TEXT NOT NULL,
  id         TEXT NOT NULL,
  covering   BIGINT NOT NULL,
  PRIMARY KEY (package_id, kind, id)
);

-- An evidence item. metadata and summary are JSON; envelope is the signed DSSE envelope,
-- byte for byte; record_id is the audit record that says it was collected.
CREATE TABLE evidence (
  evidence_id    TEXT PRIMARY KEY,
  package_id     TEXT NOT NULL REFERENCES packages (package_id),
  model_id       TEXT NOT NULL,
  type           TEXT NOT NULL,
  category       TEXT NOT NULL,
  format         TEXT NOT NULL,
  verdict        TEXT NOT NULL,
  digest         TEXT NOT NULL,
  size           BIGINT NOT NULL,
  artifact_uri   TEXT NOT NULL,
  metadata       TEXT NOT NULL,
  summary        TEXT NOT NULL,
  envelope       TEXT NOT NULL,
  envelope_hash  TEXT NOT NULL,
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  execution_id   TEXT NOT NULL,
  collected_at   BIGINT NOT NULL,
  collected_by   TEXT NOT NULL,
  record_id      TEXT NOT NULL,
  record_hash    TEXT NOT NULL
);
CREATE INDEX evidence_collected ON evidence (collected_at, evidence_id);
CREATE INDEX evidence_package ON evidence (package_id, collected_at, evidence_id);
CREATE INDEX evidence_model ON evidence (model_id, collected_at);
CREATE INDEX evidence_digest ON evidence (digest);

-- Which ids an item was collected for. covering is 1 unless the item failed for that id;
-- planned says whether the id is in the present plan.
CREATE TABLE evidence_covers (
  package_id  TEXT NOT NULL,
  kind        TEXT NOT NULL,
  id          TEXT NOT NULL,
  evidence_id TEXT NOT NULL REFERENCES evidence (evidence_id),
  covering    INTEGER NOT NULL,
  planned     INTEGER NOT NULL,
  PRIMARY KEY (package_id, kind, id, evidence_id)
);

-- Audit records that belong into a package though they do not name it, such as a freeze
-- decision. decision is the decision's own file, '' if there is none.
CREATE TABLE package_records (
  package_id TEXT NOT NULL REFERENCES packages (package_id),
  record_id  TEXT NOT NULL,
  decision   TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (package_id, record_id)
);

-- The dashboard: counts of a package, kept by the transactions that change it.
CREATE TABLE package_counts (
  package_id TEXT PRIMARY KEY REFERENCES packages (package_id),
  items      BIGINT NOT NULL,
  passed     BIGINT NOT NULL,
  failed     BIGINT NOT NULL,
  recorded   BIGINT NOT NULL,
  planned    BIGINT NOT NULL,
  covered    BIGINT NOT NULL,
  outside    BIGINT NOT NULL
);

-- +goose Down
DROP TABLE package_counts;
DROP TABLE package_records;
DROP TABLE evidence_covers;
DROP TABLE evidence;
DROP TABLE package_planned;
DROP TABLE package_plans;
DROP TABLE packages;
