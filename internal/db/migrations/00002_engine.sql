-- +goose Up
-- One row per execution: the truth about it. Times are microseconds since 1970 UTC; JSON
-- is TEXT. version is the compare-and-swap counter of every commit; last_record is the
-- audit record id of the last commit, by which an unanswered COMMIT is settled.
CREATE TABLE executions (
  execution_id TEXT PRIMARY KEY,
  hook_id      TEXT NOT NULL,
  hook_version TEXT NOT NULL,
  revision     INTEGER NOT NULL,
  state_schema INTEGER NOT NULL,
  status       TEXT NOT NULL,
  version      BIGINT NOT NULL,
  input        TEXT NOT NULL,
  output       TEXT,
  error        TEXT,
  findings     TEXT NOT NULL,
  steps        TEXT NOT NULL,
  children     TEXT NOT NULL,
  state        TEXT NOT NULL,
  cursor       TEXT NOT NULL,
  principal    TEXT NOT NULL,
  requested_by TEXT NOT NULL,
  parent       TEXT NOT NULL,
  model_id     TEXT NOT NULL,
  project      TEXT NOT NULL,
  classification TEXT NOT NULL DEFAULT '',
  idem_key     TEXT NOT NULL UNIQUE,
  body_hash    TEXT NOT NULL,
  last_record  TEXT NOT NULL,
  topic        TEXT NOT NULL,
  wake_at      BIGINT,
  running_us   BIGINT NOT NULL,
  created_at   BIGINT NOT NULL,
  updated_at   BIGINT NOT NULL,
  finished_at  BIGINT
);
-- What is left to do is a small part of what was ever done.
CREATE INDEX executions_wake ON executions (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX executions_open ON executions (execution_id) WHERE finished_at IS NULL;
CREATE INDEX executions_created ON executions (created_at, execution_id);
CREATE INDEX executions_hook ON executions (hook_id, created_at);
CREATE INDEX executions_model ON executions (model_id, created_at) WHERE model_id <> '';

-- Nodes that share this database. seen is by the database server's clock.
CREATE TABLE nodes (
  node    TEXT PRIMARY KEY,
  slot    INTEGER NOT NULL UNIQUE,
  started BIGINT NOT NULL,
  seen    BIGINT NOT NULL
);

-- Recurring work. next_at is the nominal time of the next run, which also names it, so
-- that two nodes or a restart cannot run it twice.
CREATE TABLE schedules (
  name     TEXT PRIMARY KEY,
  cron     TEXT NOT NULL,
  zone     TEXT NOT NULL,
  hook_id  TEXT NOT NULL,
  input    TEXT NOT NULL,
  principal TEXT NOT NULL,
  enabled  INTEGER NOT NULL,
  next_at  BIGINT NOT NULL,
  last_at  BIGINT,
  last_execution TEXT NOT NULL,
  last_error TEXT NOT NULL
);

-- +goose Down
DROP TABLE schedules;
DROP TABLE nodes;
DROP TABLE executions;
