-- +goose Up
-- What the registry says of a hook version where it differs from the code: an owner, a
-- status, a retry policy (JSON) and a timeout, changed by somebody with a second factor.
CREATE TABLE hook_registrations (
  hook_id         TEXT NOT NULL,
  hook_version    TEXT NOT NULL,
  hook_status     TEXT NOT NULL,
  hook_owner      TEXT NOT NULL,
  retry_policy    TEXT NOT NULL,
  timeout_seconds INTEGER NOT NULL,
  revision        BIGINT NOT NULL,
  updated_at      BIGINT NOT NULL,
  updated_by      TEXT NOT NULL,
  PRIMARY KEY (hook_id, hook_version)
);

-- The audit dashboard: reports by project, day, action type and compliance, kept in the
-- transaction of the report and equal to a recount of the executions.
CREATE TABLE audit_dashboard (
  project     TEXT NOT NULL,
  day         TEXT NOT NULL,
  action_type TEXT NOT NULL,
  compliance  TEXT NOT NULL,
  reports     BIGINT NOT NULL,
  PRIMARY KEY (project, day, action_type, compliance)
);

-- +goose Down
DROP TABLE audit_dashboard;
DROP TABLE hook_registrations;
