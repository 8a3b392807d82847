-- +goose Up
-- Who has an identifier of a passport: taken when an execution begins to make it, so that
-- two at once get two, and given back if the execution fails. n counts the events of one
-- kind of a version, from 1.
CREATE TABLE passport_claims (
  passport_id  TEXT PRIMARY KEY,
  model_id     TEXT NOT NULL,
  version      TEXT NOT NULL,
  event        TEXT NOT NULL,
  n            BIGINT NOT NULL,
  claimed_by   TEXT NOT NULL, -- an execution, or whoever made the passport without one
  claimed_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX passport_claims_event ON passport_claims (model_id, version, event, n);

-- A digital product passport: a signed credential that anyone may know, and an annex that
-- not everyone may. Both are objects; digest and annex_digest name them. event is FREEZE,
-- DEPLOYMENT, CERTIFICATION, ROLLBACK or RETIREMENT. chain_tx_id is NULL until a transaction
-- on a chain is confirmed; chain_reason says why there is none.
CREATE TABLE passports (
  passport_id    TEXT PRIMARY KEY REFERENCES passport_claims (passport_id),
  model_id       TEXT NOT NULL,
  version        TEXT NOT NULL,
  event          TEXT NOT NULL,
  n              BIGINT NOT NULL,
  cid            TEXT NOT NULL,
  digest         TEXT NOT NULL,
  size           BIGINT NOT NULL,
  annex_digest   TEXT NOT NULL,
  annex_size     BIGINT NOT NULL,
  baseline_id    TEXT NOT NULL,
  root_digest    TEXT NOT NULL,
  key_id         TEXT NOT NULL,
  issuer         TEXT NOT NULL, -- did:key of that key
  issued_at      BIGINT NOT NULL,
  issued_by      TEXT NOT NULL,
  execution_id   TEXT NOT NULL, -- '' if no execution made it
  record_id      TEXT NOT NULL, -- audit record that states the digests
  chain_tx_id    TEXT,
  chain_reason   TEXT NOT NULL,
  project        TEXT NOT NULL,
  classification TEXT NOT NULL
);
CREATE INDEX passports_issued ON passports (issued_at, passport_id);
CREATE INDEX passports_model ON passports (model_id, issued_at, passport_id);
CREATE UNIQUE INDEX passports_cid ON passports (cid);

-- The index: the latest passport of a model's version for each event, and how many there are.
CREATE TABLE passport_index (
  model_id    TEXT NOT NULL,
  version     TEXT NOT NULL,
  event       TEXT NOT NULL,
  passport_id TEXT NOT NULL REFERENCES passports (passport_id),
  issued_at   BIGINT NOT NULL,
  passports   BIGINT NOT NULL,
  PRIMARY KEY (model_id, version, event)
);
CREATE INDEX passport_index_event ON passport_index (event, issued_at);

-- What happened to a passport after it was signed. kind is ISSUED (subject is the passport
-- itself) or EVIDENCE (subject is an item of evidence).
CREATE TABLE passport_history (
  passport_id  TEXT NOT NULL REFERENCES passports (passport_id),
  kind         TEXT NOT NULL,
  subject      TEXT NOT NULL,
  happened_at  BIGINT NOT NULL,
  actor        TEXT NOT NULL,
  execution_id TEXT NOT NULL,
  PRIMARY KEY (passport_id, kind, subject)
);
CREATE INDEX passport_history_time ON passport_history (passport_id, happened_at, subject);

-- +goose Down
DROP TABLE passport_history;
DROP TABLE passport_index;
DROP TABLE passports;
DROP TABLE passport_claims;
