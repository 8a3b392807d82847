-- +goose Up
-- What people decided, with its proof: votes, approvals, acceptances, closed conditions,
-- signed statements. A row never changes.
CREATE TABLE decisions (
  decision_id    TEXT PRIMARY KEY,
  act            TEXT NOT NULL, -- what can be decided once: what without its outcome and role
  what           TEXT NOT NULL, -- act and object, as in the statement
  subject        TEXT NOT NULL,
  digest         TEXT NOT NULL, -- of the exact thing decided on
  meaning        TEXT NOT NULL,
  outcome        TEXT NOT NULL,
  person         TEXT NOT NULL,
  role           TEXT NOT NULL, -- in which it was decided, '' for none in particular
  roles          TEXT NOT NULL, -- JSON array: those of the account at that moment
  parties        TEXT NOT NULL, -- JSON array of user ids: who could have decided in the person's stead
  proof          TEXT NOT NULL, -- sshsig, server
  key_id         TEXT NOT NULL, -- '' for server
  statement      TEXT NOT NULL,
  signature      TEXT NOT NULL, -- '' for server
  record_id      TEXT NOT NULL, -- audit record that has the statement's digest
  policy_digest  TEXT NOT NULL,
  model_id       TEXT NOT NULL, -- '' if it is about no one model
  decided_at     BIGINT NOT NULL,
  project        TEXT NOT NULL,
  classification TEXT NOT NULL
);
CREATE UNIQUE INDEX decisions_once ON decisions (act, digest, person);
CREATE INDEX decisions_subject ON decisions (subject, decided_at);
CREATE INDEX decisions_model ON decisions (model_id, decided_at);
CREATE INDEX decisions_at ON decisions (decided_at, decision_id);

-- Production readiness reviews. Project and classification are copies of the model's.
CREATE TABLE reviews (
  prr_id         TEXT PRIMARY KEY,
  n              BIGINT NOT NULL, -- the version's reviews counted from 1
  execution_id   TEXT NOT NULL,
  model_id       TEXT NOT NULL,
  version        TEXT NOT NULL,
  baseline_id    TEXT NOT NULL,
  root_digest    TEXT NOT NULL,
  safety_level   TEXT NOT NULL,
  checklist_id   TEXT NOT NULL,
  members        TEXT NOT NULL,   -- JSON array of user ids
  prr_date       TEXT NOT NULL,   -- 2026-11-30
  closes_at      BIGINT NOT NULL, -- votes count until then
  status         TEXT NOT NULL,   -- PREPARING, VOTING, CONDITIONAL, DECIDED, FAILED, CANCELLED
  best           TEXT NOT NULL,   -- best outcome that the findings allow, '' while it is prepared
  report_id      TEXT NOT NULL,   -- '' while it is prepared, as the next four
  report_version TEXT NOT NULL,
  report_digest  TEXT NOT NULL,   -- what votes name
  pdf_digest     TEXT NOT NULL,
  facts_digest   TEXT NOT NULL,
  editions       TEXT NOT NULL,   -- JSON array: every edition of the report
  requested_by   TEXT NOT NULL,
  recorded_by    TEXT NOT NULL,
  enabled_by     TEXT NOT NULL,   -- who switched a trigger on that asked, ''
  decision       TEXT NOT NULL,   -- '' until there is one; APPROVED once all conditions are closed
  board_decision TEXT NOT NULL,   -- what the board decided
  policy_digest  TEXT NOT NULL,
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  opened_at      BIGINT NOT NULL,
  decided_at     BIGINT NOT NULL, -- 0
  updated_at     BIGINT NOT NULL,
  revision       BIGINT NOT NULL
);
CREATE UNIQUE INDEX reviews_number ON reviews (model_id, version, n);
CREATE UNIQUE INDEX reviews_open ON reviews (baseline_id) WHERE status IN ('PREPARING', 'VOTING', 'CONDITIONAL');
CREATE INDEX reviews_opened ON reviews (opened_at, prr_id);
CREATE INDEX reviews_voting ON reviews (closes_at) WHERE status = 'VOTING';

-- One vote of one person on one review. What was signed is the decision.
CREATE TABLE review_votes (
  prr_id      TEXT NOT NULL REFERENCES reviews (prr_id),
  person      TEXT NOT NULL,
  seq         BIGINT NOT NULL, -- the review's votes counted from 1
  decision_id TEXT NOT NULL REFERENCES decisions (decision_id),
  outcome     TEXT NOT NULL, -- APPROVED, CONDITIONAL, REJECTED
  comment     TEXT NOT NULL,
  conditions  TEXT NOT NULL, -- JSON array of text, owner, due_on
  PRIMARY KEY (prr_id, person)
);

-- What a conditional decision demands.
CREATE TABLE review_conditions (
  condition_id   TEXT PRIMARY KEY,
  prr_id         TEXT NOT NULL REFERENCES reviews (prr_id),
  n              BIGINT NOT NULL, -- the review's conditions counted from 1
  text           TEXT NOT NULL,
  owner          TEXT NOT NULL,   -- user id
  due_on         TEXT NOT NULL,   -- 2026-11-30
  asked_by       TEXT NOT NULL,   -- JSON array of user ids: who voted with it; none: a finding
  status         TEXT NOT NULL,   -- OPEN, CLOSED
  evidence       TEXT NOT NULL,   -- JSON array of ids
  note           TEXT NOT NULL,
  closed_by      TEXT NOT NULL,
  closed_at      BIGINT NOT NULL, -- 0
  decision_id    TEXT NOT NULL,   -- of who closed it
  model_id       TEXT NOT NULL,
  version        TEXT NOT NULL,
  baseline_id    TEXT NOT NULL,
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  opened_at      BIGINT NOT NULL,
  revision       BIGINT NOT NULL
);
CREATE UNIQUE INDEX review_conditions_of ON review_conditions (prr_id, n);
CREATE INDEX review_conditions_due ON review_conditions (due_on, condition_id) WHERE status = 'OPEN';

-- +goose Down
DROP TABLE review_conditions;
DROP TABLE review_votes;
DROP TABLE reviews;
DROP TABLE decisions;
