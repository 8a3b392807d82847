-- +goose Up
-- Risks of models. number counts a model's risks and is part of the id that CAOS gives.
-- Scores and levels are computed by the scale when a row is written; the level that stands
-- is the residual one, or the initial one if none was assessed. Project and classification
-- are the model's. How a row read before is in row_history, noun 'risk', scope the model.
CREATE TABLE risks (
  risk_id             TEXT PRIMARY KEY,
  number              BIGINT NOT NULL,
  model_id            TEXT NOT NULL,
  version             TEXT NOT NULL,    -- '' for every version
  title               TEXT NOT NULL,
  description         TEXT NOT NULL,
  category            TEXT NOT NULL,
  likelihood          INTEGER NOT NULL, -- 1 to 5
  impact              INTEGER NOT NULL, -- 1 to 5
  residual_likelihood INTEGER NOT NULL, -- 0: not assessed
  residual_impact     INTEGER NOT NULL, -- 0: not assessed
  stands              INTEGER NOT NULL, -- the score that counts
  stands_level        TEXT NOT NULL,    -- Low, Medium, High, Critical
  mitigation          TEXT NOT NULL,
  owner               TEXT NOT NULL,    -- user id, '' while nobody owns it
  status              TEXT NOT NULL,    -- OPEN, MITIGATING, ACCEPTED, CLOSED
  review_on           TEXT NOT NULL,    -- 2026-11-30
  last_reviewed       BIGINT NOT NULL,  -- 0: never
  last_reviewed_by    TEXT NOT NULL,
  review_note         TEXT NOT NULL,
  accepted            TEXT NOT NULL,    -- JSON of the acceptance, '' unless ACCEPTED
  closure_evidence    TEXT NOT NULL,    -- JSON list of ids
  closure_reason      TEXT NOT NULL,
  closed_at           BIGINT NOT NULL,  -- 0 for not yet
  closed_by           TEXT NOT NULL,
  source              TEXT NOT NULL,    -- statement of an imported file, ''
  involved            TEXT NOT NULL,    -- JSON list: who ever wrote or owned it
  importers           TEXT NOT NULL,    -- JSON list: who brought it in from a file
  project             TEXT NOT NULL,
  classification      TEXT NOT NULL,
  created_at          BIGINT NOT NULL,
  created_by          TEXT NOT NULL,
  updated_at          BIGINT NOT NULL,
  revision            BIGINT NOT NULL,
  content_revision    BIGINT NOT NULL   -- counts changes of what an acceptance is about
);
CREATE INDEX risks_created ON risks (created_at, risk_id);
CREATE INDEX risks_model ON risks (model_id, number);
CREATE INDEX risks_review ON risks (review_on, risk_id) WHERE status <> 'CLOSED';

-- Certification plans: a catalogue of objectives applied to a model. The latest of a model
-- counts. The catalogue's digest is kept because a plan outlives the release that brought it.
CREATE TABLE certification_plans (
  plan_id           TEXT PRIMARY KEY,
  number            BIGINT NOT NULL,
  model_id          TEXT NOT NULL,
  title             TEXT NOT NULL,
  regime            TEXT NOT NULL,
  catalogue_id      TEXT NOT NULL,
  catalogue_version TEXT NOT NULL,
  catalogue_digest  TEXT NOT NULL,
  project           TEXT NOT NULL,
  classification    TEXT NOT NULL,
  created_at        BIGINT NOT NULL,
  created_by        TEXT NOT NULL,
  updated_at        BIGINT NOT NULL,
  revision          BIGINT NOT NULL   -- also counts changes of its objectives
);
CREATE UNIQUE INDEX certification_plans_model ON certification_plans (model_id, number);
CREATE INDEX certification_plans_created ON certification_plans (created_at, plan_id);

-- What a plan says about each objective, with the catalogue's words as they were. How a row
-- read before is in row_history, noun 'objective', scope the plan.
CREATE TABLE certification_objectives (
  plan_id         TEXT NOT NULL REFERENCES certification_plans (plan_id),
  objective_id    TEXT NOT NULL,
  seq             BIGINT NOT NULL,  -- place in the catalogue, from 1
  chapter         TEXT NOT NULL,
  title           TEXT NOT NULL,
  applicable      INTEGER NOT NULL, -- 0 or 1
  justification   TEXT NOT NULL,
  means           TEXT NOT NULL,
  owner           TEXT NOT NULL,    -- user id, '' for nobody yet
  status          TEXT NOT NULL,    -- OPEN, IN_PROGRESS, SHOWN
  requirement_ids TEXT NOT NULL,    -- JSON list
  evidence        TEXT NOT NULL,    -- JSON list of ids
  updated_at      BIGINT NOT NULL,
  updated_by      TEXT NOT NULL,
  revision        BIGINT NOT NULL,
  PRIMARY KEY (plan_id, objective_id)
);

-- +goose Down
DROP TABLE certification_objectives;
DROP TABLE certification_plans;
DROP TABLE risks;
