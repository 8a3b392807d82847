-- +goose Up
-- A change to a model after it was frozen. number counts a model's changes and is part of
-- the id that CAOS gives. involved is a JSON list of everybody who ever wrote or owned it:
-- none of them may decide about it or close it.
CREATE TABLE changes (
  change_id            TEXT PRIMARY KEY,
  number               BIGINT NOT NULL,
  model_id             TEXT NOT NULL,
  title                TEXT NOT NULL,
  description          TEXT NOT NULL,
  class                TEXT NOT NULL, -- Critical, Major, Minor, Enhancement
  status               TEXT NOT NULL, -- OPEN, APPROVED, REJECTED, CLOSED
  baselines            TEXT NOT NULL, -- JSON list of ids
  impact               TEXT NOT NULL,
  safety_impact        TEXT NOT NULL,
  certification_impact TEXT NOT NULL,
  owner                TEXT NOT NULL,
  involved             TEXT NOT NULL,
  evidence             TEXT NOT NULL, -- JSON list of ids
  statement            TEXT NOT NULL, -- of the decision, then of the closure
  project              TEXT NOT NULL,
  classification       TEXT NOT NULL,
  created_at           BIGINT NOT NULL,
  created_by           TEXT NOT NULL,
  updated_at           BIGINT NOT NULL,
  decided_at           BIGINT NOT NULL, -- 0 for not yet
  decided_by           TEXT NOT NULL,
  closed_at            BIGINT NOT NULL, -- 0 for not yet
  closed_by            TEXT NOT NULL,
  revision             BIGINT NOT NULL
);
CREATE INDEX changes_created ON changes (created_at, change_id);
CREATE INDEX changes_model ON changes (model_id, number);

-- A problem found in a model. involved as above.
CREATE TABLE problem_reports (
  problem_id       TEXT PRIMARY KEY,
  number           BIGINT NOT NULL,
  model_id         TEXT NOT NULL,
  title            TEXT NOT NULL,
  description      TEXT NOT NULL,
  severity         TEXT NOT NULL, -- CRITICAL, HIGH, MEDIUM, LOW
  status           TEXT NOT NULL, -- OPEN, IN_PROGRESS, CLOSED
  baselines        TEXT NOT NULL, -- JSON list of ids
  impact           TEXT NOT NULL,
  owner            TEXT NOT NULL,
  involved         TEXT NOT NULL,
  closure_evidence TEXT NOT NULL, -- JSON list of ids
  resolution       TEXT NOT NULL,
  project          TEXT NOT NULL,
  classification   TEXT NOT NULL,
  created_at       BIGINT NOT NULL,
  created_by       TEXT NOT NULL,
  updated_at       BIGINT NOT NULL,
  closed_at        BIGINT NOT NULL, -- 0 for not yet
  closed_by        TEXT NOT NULL,
  revision         BIGINT NOT NULL
);
CREATE INDEX problem_reports_created ON problem_reports (created_at, problem_id);
CREATE INDEX problem_reports_model ON problem_reports (model_id, number);

-- A traceability link. link_id is made from project, ends and relation, which never change.
-- status, verified_on (YYYY-MM-DD or '') and verified_by are as stated by whoever keeps the
-- matrix. source is the statement that the link comes from, '' if a person made it.
CREATE TABLE links (
  link_id        TEXT PRIMARY KEY,
  source_id      TEXT NOT NULL,
  source_type    TEXT NOT NULL,
  target_id      TEXT NOT NULL,
  target_type    TEXT NOT NULL,
  relation       TEXT NOT NULL, -- DRVF, REFN, IMPL, VALD, DEPO, PRNT, REFS, SUPR
  rationale      TEXT NOT NULL,
  status         TEXT NOT NULL,
  verified_on    TEXT NOT NULL,
  verified_by    TEXT NOT NULL,
  source         TEXT NOT NULL,
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  created_by     TEXT NOT NULL,
  updated_at     BIGINT NOT NULL,
  updated_by     TEXT NOT NULL,
  revision       BIGINT NOT NULL
);
CREATE INDEX links_created ON links (created_at, link_id);
CREATE INDEX links_source ON links (source_id);
CREATE INDEX links_target ON links (target_id);

-- What is planned and known about bringing a version into production. sections is a JSON
-- object: what an import stated about the version and no other table has a place for yet.
CREATE TABLE industrialisations (
  model_id           TEXT NOT NULL,
  version            TEXT NOT NULL,
  phase              TEXT NOT NULL, -- PLANNING, PREPARATION, VALIDATION, PRODUCTION
  target_platforms   TEXT NOT NULL, -- JSON list
  release_target     TEXT NOT NULL,
  production_ready   INTEGER NOT NULL, -- 1 only by CAOS's own review, never by an import
  checklist_template TEXT NOT NULL,
  sections           TEXT NOT NULL,
  project            TEXT NOT NULL,
  classification     TEXT NOT NULL,
  opened_at          BIGINT NOT NULL,
  opened_by          TEXT NOT NULL,
  updated_at         BIGINT NOT NULL,
  execution_id       TEXT NOT NULL, -- freeze that opened it, '' if an import did
  revision           BIGINT NOT NULL,
  PRIMARY KEY (model_id, version)
);
CREATE INDEX industrialisations_opened ON industrialisations (opened_at, model_id);

-- What an imported file stated, entry by entry, in its own words. entry names it within the
-- file whatever its place there. A row ends when a later state of the file says something
-- else (superseded_by) or nothing any more (superseded_by is ''); it is never removed. place
-- is a digest of project, source_name, section and entry: one column, because a planner
-- that has no statistics yet takes the first columns of an index for selective.
CREATE TABLE statements (
  statement_id   TEXT PRIMARY KEY,
  source_name    TEXT NOT NULL,
  source_digest  TEXT NOT NULL, -- of the file in which it was first found
  section        TEXT NOT NULL,
  entry          TEXT NOT NULL,
  place          TEXT NOT NULL,
  pointer        TEXT NOT NULL, -- its place in that file
  subject        TEXT NOT NULL, -- id of what it is about, '' for the file itself
  kind           TEXT NOT NULL,
  body           TEXT NOT NULL, -- JSON
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  imported_at    BIGINT NOT NULL,
  imported_by    TEXT NOT NULL,
  ended_at       BIGINT NOT NULL, -- 0 while it stands
  superseded_by  TEXT NOT NULL
);
CREATE INDEX statements_imported ON statements (imported_at, statement_id);
CREATE INDEX statements_subject ON statements (subject, kind);
CREATE INDEX statements_file ON statements (project, source_name, statement_id);
CREATE UNIQUE INDEX statements_standing ON statements (place) WHERE ended_at = 0;

-- +goose Down
DROP TABLE statements;
DROP TABLE industrialisations;
DROP TABLE links;
DROP TABLE problem_reports;
DROP TABLE changes;
