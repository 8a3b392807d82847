-- +goose Up
-- Checklist templates. A version never changes; a new one supersedes those before.
CREATE TABLE checklist_templates (
  template_id    TEXT NOT NULL,
  version        TEXT NOT NULL,
  seq            BIGINT NOT NULL, -- the template's versions counted from 1: the highest is the one in use
  title          TEXT NOT NULL,
  digest         TEXT NOT NULL,   -- of the canonical JSON
  body           TEXT NOT NULL,   -- JSON of the template
  project        TEXT NOT NULL,   -- '' for one that every project may use
  classification TEXT NOT NULL,
  registered_at  BIGINT NOT NULL,
  registered_by  TEXT NOT NULL,   -- user id; caos for the shipped one
  PRIMARY KEY (template_id, version)
);
CREATE UNIQUE INDEX checklist_templates_order ON checklist_templates (template_id, seq);
CREATE INDEX checklist_templates_registered ON checklist_templates (registered_at, template_id);

-- A template's questions asked about one baseline. Project and classification are copies of
-- the model's.
CREATE TABLE checklists (
  checklist_id     TEXT PRIMARY KEY,
  template_id      TEXT NOT NULL,
  template_version TEXT NOT NULL,
  template_digest  TEXT NOT NULL,
  title            TEXT NOT NULL,
  model_id         TEXT NOT NULL,
  version          TEXT NOT NULL,
  baseline_id      TEXT NOT NULL,
  root_digest      TEXT NOT NULL,
  safety_level     TEXT NOT NULL,
  project          TEXT NOT NULL,
  classification   TEXT NOT NULL,
  opened_at        BIGINT NOT NULL,
  opened_by        TEXT NOT NULL,
  execution_id     TEXT NOT NULL,   -- '' if a person opened it
  completed_at     BIGINT NOT NULL  -- 0 while a critical item is open
);
CREATE UNIQUE INDEX checklists_of ON checklists (template_id, baseline_id);
CREATE INDEX checklists_opened ON checklists (opened_at, checklist_id);
CREATE INDEX checklists_model ON checklists (model_id, version);
CREATE INDEX checklists_baseline ON checklists (baseline_id);

-- The items of a checklist, with the template's words as they were when it was opened.
CREATE TABLE checklist_items (
  checklist_id  TEXT NOT NULL REFERENCES checklists (checklist_id),
  item_id       TEXT NOT NULL,
  seq           BIGINT NOT NULL, -- place in the template, from 1
  group_id      TEXT NOT NULL,
  group_title   TEXT NOT NULL,
  title         TEXT NOT NULL,
  question      TEXT NOT NULL,
  criticality   TEXT NOT NULL,   -- CRITICAL, MINOR
  owner_role    TEXT NOT NULL,
  evidence_hint TEXT NOT NULL,
  fact          TEXT NOT NULL,
  status        TEXT NOT NULL,   -- PLANNED, IN_PROGRESS, COMPLETE, NOT_APPLICABLE
  owner         TEXT NOT NULL,   -- user id, '' for nobody yet
  involved      TEXT NOT NULL,   -- JSON array of user ids: who ever owned it
  due_on        TEXT NOT NULL,   -- 2026-11-30, '' for none
  note          TEXT NOT NULL,
  evidence      TEXT NOT NULL,   -- JSON array of ids
  decision_id   TEXT NOT NULL,   -- '' without a signed statement
  completed_by  TEXT NOT NULL,
  completed_at  BIGINT NOT NULL, -- 0
  imported      TEXT NOT NULL,   -- what a file stated
  updated_at    BIGINT NOT NULL,
  revision      BIGINT NOT NULL,
  PRIMARY KEY (checklist_id, item_id)
);
CREATE INDEX checklist_items_due ON checklist_items (due_on, checklist_id) WHERE status IN ('PLANNED', 'IN_PROGRESS') AND due_on <> '';

-- How rows read after each change: checklist items, risks, plans, reviews, conditions,
-- release authorisations. Written beside the change, never changed or removed: what a
-- decision looked at must be seen as long as the decision stands.
CREATE TABLE row_history (
  noun     TEXT NOT NULL,
  id       TEXT NOT NULL,
  revision BIGINT NOT NULL,
  scope    TEXT NOT NULL, -- baseline id, or model id of what belongs to no version
  at       BIGINT NOT NULL,
  body     TEXT NOT NULL, -- JSON of the row
  PRIMARY KEY (noun, id, revision)
);
CREATE INDEX row_history_scope ON row_history (noun, scope, id, revision);

-- Reminders that were sent, by the occasion. Whoever inserts the row sends it, in the same
-- transaction. Rows are removed when they are older than any occasion that is asked about.
CREATE TABLE reminders (
  key     TEXT PRIMARY KEY,
  sent_at BIGINT NOT NULL
);
CREATE INDEX reminders_sent ON reminders (sent_at);

-- +goose Down
DROP TABLE reminders;
DROP TABLE row_history;
DROP TABLE checklist_items;
DROP TABLE checklists;
DROP TABLE checklist_templates;
