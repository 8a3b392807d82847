-- +goose Up
-- Identity. Times are microseconds since 1970 UTC. These tables belong to package auth;
-- every change of them (but last_used_at and the counters in totp) raises epoch in the
-- same transaction, which is how caches on every node know that they are out of date.

-- One row. sealed_at is set when the first administrator was made, and never again.
-- policy is the digest of the policies in force when the installation last started.
CREATE TABLE auth_state (
  id        INTEGER PRIMARY KEY CHECK (id = 1),
  epoch     BIGINT NOT NULL,
  sealed_at BIGINT,
  policy    TEXT NOT NULL
);
INSERT INTO auth_state (id, epoch, policy) VALUES (1, 0, '');

-- The only table with names and addresses of people; everything else has user_id.
-- scoped: 1 = sees the projects in user_scopes alone, 0 = every project.
CREATE TABLE users (
  user_id    TEXT PRIMARY KEY,
  kind       TEXT NOT NULL CHECK (kind IN ('person', 'service')),
  name       TEXT NOT NULL,
  mail       TEXT NOT NULL,
  enabled    INTEGER NOT NULL,
  scoped     INTEGER NOT NULL,
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  changed_at BIGINT NOT NULL
);

CREATE TABLE user_roles (
  user_id    TEXT NOT NULL,
  role       TEXT NOT NULL,
  granted_at BIGINT NOT NULL,
  granted_by TEXT NOT NULL,
  PRIMARY KEY (user_id, role)
);
CREATE INDEX user_roles_role ON user_roles (role, user_id);

-- kind 'project': a project it may see; 'clearance': a classification above Internal.
CREATE TABLE user_scopes (
  user_id    TEXT NOT NULL,
  kind       TEXT NOT NULL CHECK (kind IN ('project', 'clearance')),
  value      TEXT NOT NULL,
  granted_at BIGINT NOT NULL,
  granted_by TEXT NOT NULL,
  PRIMARY KEY (user_id, kind, value)
);

-- API tokens. hash is SHA-256 of the whole token, of which nothing else is kept.
-- roles: comma-separated subset of the user's roles, '' for all; project: '' for all.
CREATE TABLE tokens (
  token_id     TEXT PRIMARY KEY,
  user_id      TEXT NOT NULL,
  hash         {{bytes}} NOT NULL,
  label        TEXT NOT NULL,
  roles        TEXT NOT NULL,
  project      TEXT NOT NULL,
  created_at   BIGINT NOT NULL,
  created_by   TEXT NOT NULL,
  expires_at   BIGINT NOT NULL,
  revoked_at   BIGINT,
  revoked_by   TEXT,
  last_used_at BIGINT
);
CREATE INDEX tokens_user ON tokens (user_id, created_at);

-- Second factors. secret and pending are encrypted; pending is a secret whose holder has
-- not yet shown a code. last_step is the last 30-second step that a code was used of:
-- only a later one counts. failures and retry_at slow down guessing.
CREATE TABLE totp (
  user_id    TEXT PRIMARY KEY,
  secret     {{bytes}},
  pending    {{bytes}},
  last_step  BIGINT NOT NULL,
  failures   INTEGER NOT NULL,
  retry_at   BIGINT NOT NULL,
  changed_at BIGINT NOT NULL
);

-- Personal SSH keys. status: 'enrolled' (possession shown), 'active' (countersigned by a
-- second person), 'revoked', 'compromised'. A key counts from active_record on and until
-- ended_record, or until compromised_since if that is set. parties: comma-separated ids of
-- those who had a hand in the enrolment and may not countersign it.
CREATE TABLE personal_keys (
  key_id            TEXT PRIMARY KEY,
  user_id           TEXT NOT NULL,
  public_key        TEXT NOT NULL,
  fingerprint       TEXT NOT NULL UNIQUE,
  status            TEXT NOT NULL CHECK (status IN ('enrolled', 'active', 'revoked', 'compromised')),
  statement         TEXT NOT NULL,
  signature         TEXT NOT NULL,
  parties           TEXT NOT NULL,
  enrolled_at       BIGINT NOT NULL,
  enrol_record      TEXT NOT NULL,
  countersigned_by  TEXT,
  active_at         BIGINT,
  active_record     TEXT,
  ended_at          BIGINT,
  ended_by          TEXT,
  ended_record      TEXT,
  compromised_since BIGINT
);
CREATE INDEX personal_keys_user ON personal_keys (user_id, enrolled_at);
