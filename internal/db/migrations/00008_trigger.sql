-- +goose Up
-- Triggers: what makes a hook run without a person asking for it. The columns from fired on
-- are history; revision counts changes of the definition alone.
CREATE TABLE triggers (
  name           TEXT PRIMARY KEY,
  kind           TEXT NOT NULL, -- EVENT, CRON, WEBHOOK
  description    TEXT NOT NULL,
  hook_id        TEXT NOT NULL,
  input          TEXT NOT NULL, -- JSON template of the hook's input
  event_type     TEXT NOT NULL, -- pattern; EVENT only
  conditions     TEXT NOT NULL, -- JSON object: field → the value that it must have
  cron           TEXT NOT NULL, -- five fields; CRON only
  zone           TEXT NOT NULL, -- IANA name
  runs_as        TEXT NOT NULL, -- service account
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  secret         {{bytes}},     -- sealed; WEBHOOK only
  enabled        INTEGER NOT NULL,
  enabled_by     TEXT NOT NULL, -- the person who answers for what it does
  enabled_at     BIGINT NOT NULL,
  stopped        TEXT NOT NULL, -- why CAOS itself switched it off, '' if it did not
  revision       BIGINT NOT NULL,
  created_at     BIGINT NOT NULL,
  created_by     TEXT NOT NULL,
  updated_at     BIGINT NOT NULL,
  updated_by     TEXT NOT NULL,
  next_at        BIGINT NOT NULL, -- next nominal time; 0 if not CRON
  nominal_at     BIGINT NOT NULL, -- the last nominal time that fired; 0 for none
  window_at      BIGINT NOT NULL, -- begin of the minute in which window_count firings were counted
  window_count   BIGINT NOT NULL,
  fired          BIGINT NOT NULL,
  submitted      BIGINT NOT NULL,
  refused        BIGINT NOT NULL,
  last_fired_at  BIGINT NOT NULL,
  last_execution TEXT NOT NULL,
  last_error     TEXT NOT NULL,
  last_error_at  BIGINT NOT NULL
);
CREATE INDEX triggers_enabled ON triggers (kind, next_at) WHERE enabled = 1;

-- One row each time that a trigger fires. It is written by the transaction that finds the
-- cause (and moves the subscriber's cursor, or the schedule) and holds all that the
-- submission needs, so that a repetition is the same submission whatever was changed since.
CREATE TABLE trigger_firings (
  trigger_name TEXT NOT NULL,
  occurrence   TEXT NOT NULL, -- event id, nominal time, webhook id
  hook_id      TEXT NOT NULL,
  input        TEXT NOT NULL, -- '' once it was submitted
  digest       TEXT NOT NULL, -- SHA-256 of a webhook's body, '' for other kinds
  runs_as      TEXT NOT NULL,
  enabled_by   TEXT NOT NULL,
  project      TEXT NOT NULL,
  depth        INTEGER NOT NULL, -- 1: no trigger caused what it fired for
  state        TEXT NOT NULL, -- PENDING, SUBMITTED, REFUSED, DROPPED
  attempt      INTEGER NOT NULL,
  next_at      BIGINT NOT NULL, -- not tried before
  execution_id TEXT NOT NULL,
  error        TEXT NOT NULL,
  created_at   BIGINT NOT NULL,
  ended_at     BIGINT NOT NULL,
  PRIMARY KEY (trigger_name, occurrence)
);
CREATE INDEX trigger_firings_due ON trigger_firings (next_at) WHERE state = 'PENDING';
CREATE INDEX trigger_firings_execution ON trigger_firings (execution_id) WHERE execution_id <> '';
CREATE INDEX trigger_firings_ended ON trigger_firings (ended_at) WHERE state <> 'PENDING';
