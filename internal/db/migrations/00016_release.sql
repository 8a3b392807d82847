-- +goose Up
-- Leave to bring a baseline into production. status is DRAFT (its scope may change),
-- REQUESTED (the scope is fixed and decided upon), AUTHORISED, REJECTED or REVOKED; that it
-- has expired is a matter of the clock. scope is the canonical text that approvals are given
-- to, '' for a draft, and scope_digest its digest. The approvals are rows of decisions.
CREATE TABLE release_authorizations (
  authorization_id TEXT PRIMARY KEY,
  model_id         TEXT NOT NULL,
  version          TEXT NOT NULL,
  n                BIGINT NOT NULL, -- counts those of a version, from 1
  baseline_id      TEXT NOT NULL,
  root_digest      TEXT NOT NULL,
  safety_level     TEXT NOT NULL,
  prr_id           TEXT NOT NULL,   -- review on which it rests
  status           TEXT NOT NULL,
  platforms        TEXT NOT NULL,   -- JSON list
  strategies       TEXT NOT NULL,   -- JSON list
  not_before       BIGINT NOT NULL, -- 0: from the moment it is authorised
  not_after        BIGINT NOT NULL, -- 0: not stated yet
  rationale        TEXT NOT NULL,
  scope            TEXT NOT NULL,
  scope_digest     TEXT NOT NULL,
  opened_at        BIGINT NOT NULL,
  opened_by        TEXT NOT NULL,
  execution_id     TEXT NOT NULL,   -- of the review that opened it, '' for a person
  requested_at     BIGINT NOT NULL, -- 0 for a draft
  requested_by     TEXT NOT NULL,
  requesters       TEXT NOT NULL,   -- JSON list: everyone who shaped or asked for it, or could have in their stead
  policy_digest    TEXT NOT NULL,   -- of the decision policy in force when it was requested
  ended_at         BIGINT NOT NULL, -- when it was authorised or rejected; 0 before
  record_id        TEXT NOT NULL,   -- audit record of that outcome
  revoked_at       BIGINT NOT NULL,
  revoked_by       TEXT NOT NULL,
  revoke_reason    TEXT NOT NULL,
  project          TEXT NOT NULL,
  classification   TEXT NOT NULL,
  updated_at       BIGINT NOT NULL,
  revision         BIGINT NOT NULL
);
CREATE UNIQUE INDEX release_authorizations_version ON release_authorizations (model_id, version, n);
CREATE INDEX release_authorizations_opened ON release_authorizations (opened_at, authorization_id);

-- +goose Down
DROP TABLE release_authorizations;
