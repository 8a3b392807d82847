-- +goose Up
-- Events. An event is written in the transaction of what it tells about; seq is its place
-- in the one order that all subscribers see. Every emitter takes its number from
-- event_head, whose row lock makes numbers become visible in their order: a reader that
-- sees seq n will never again meet a new event below n.
CREATE TABLE event_head (
  id  INTEGER PRIMARY KEY,
  seq BIGINT NOT NULL
);
INSERT INTO event_head (id, seq) VALUES (1, 0);

CREATE TABLE events (
  seq            BIGINT PRIMARY KEY,
  event_id       TEXT NOT NULL UNIQUE,
  type           TEXT NOT NULL,
  subject        TEXT NOT NULL,
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  time           BIGINT NOT NULL,
  envelope       TEXT NOT NULL -- CloudEvents 1.0, structured JSON, without the sequence
);
CREATE INDEX events_subject ON events (subject, seq);
CREATE INDEX events_time ON events (time);

-- One row per durable subscriber. Everything up to cursor_seq has been delivered to it or
-- parked. lease_node may deliver until lease_until (microseconds by the database server's
-- clock); fence grows with every change of hands and is compared in every write, so that a
-- node that was frozen cannot move the cursor when it wakes.
CREATE TABLE event_subscribers (
  name        TEXT PRIMARY KEY,
  pattern     TEXT NOT NULL,
  cursor_seq  BIGINT NOT NULL,
  attempt     INTEGER NOT NULL, -- failed attempts at the event after cursor_seq
  retry_at    BIGINT NOT NULL,  -- server's clock; 0 when nothing failed
  last_error  TEXT NOT NULL,
  lease_node  TEXT NOT NULL,
  lease_until BIGINT NOT NULL,
  fence       BIGINT NOT NULL,
  seen_at     BIGINT NOT NULL
);

-- Events that a subscriber could not take. They keep their text: retention does not wait
-- for them.
CREATE TABLE event_parked (
  subscriber TEXT NOT NULL,
  seq        BIGINT NOT NULL,
  event_id   TEXT NOT NULL,
  envelope   TEXT NOT NULL,
  attempts   INTEGER NOT NULL,
  last_error TEXT NOT NULL,
  parked_at  BIGINT NOT NULL,
  PRIMARY KEY (subscriber, seq)
);

-- Alerts: one store for data, monitoring and integrity. The nine columns from alert_id to
-- recommended_actions are the fields of section 7.1 of the specification.
CREATE TABLE alerts (
  alert_id            TEXT PRIMARY KEY,
  alert_type          TEXT NOT NULL,
  severity            TEXT NOT NULL,
  model_id            TEXT NOT NULL,
  metric_name         TEXT NOT NULL,
  current_value       DOUBLE PRECISION,
  threshold_value     DOUBLE PRECISION,
  alert_message       TEXT NOT NULL,
  recommended_actions TEXT NOT NULL, -- JSON array of strings
  severity_rank       INTEGER NOT NULL, -- LOW 1 … CRITICAL 4
  subject             TEXT NOT NULL,
  source              TEXT NOT NULL,
  project             TEXT NOT NULL,
  classification      TEXT NOT NULL,
  state               TEXT NOT NULL, -- OPEN, ACKNOWLEDGED, CLOSED
  count               BIGINT NOT NULL,
  raised_at           BIGINT NOT NULL,
  last_seen_at        BIGINT NOT NULL,
  acknowledged_at     BIGINT,
  acknowledged_by     TEXT NOT NULL,
  closed_at           BIGINT,
  closed_by           TEXT NOT NULL,
  note                TEXT NOT NULL,
  version             BIGINT NOT NULL
);
-- The same thing raised again while it is not closed is the same alert.
CREATE UNIQUE INDEX alerts_open ON alerts (source, subject, metric_name) WHERE state <> 'CLOSED';
CREATE INDEX alerts_raised ON alerts (raised_at, alert_id);
CREATE INDEX alerts_model ON alerts (model_id, raised_at);

-- Notices: what a person is told, readable until retention, and the outbox that carries it
-- elsewhere.
CREATE TABLE notices (
  notice_id      TEXT PRIMARY KEY,
  subject        TEXT NOT NULL,
  body           TEXT NOT NULL,
  link           TEXT NOT NULL,
  source         TEXT NOT NULL,
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  created_at     BIGINT NOT NULL
);
CREATE INDEX notices_created ON notices (created_at);

CREATE TABLE notice_recipients (
  person     TEXT NOT NULL,
  notice_id  TEXT NOT NULL,
  created_at BIGINT NOT NULL, -- the notice's, for paging through one person's notices
  read_at    BIGINT,
  PRIMARY KEY (person, notice_id)
);
CREATE INDEX notice_recipients_page ON notice_recipients (person, created_at, notice_id);
CREATE INDEX notice_recipients_notice ON notice_recipients (notice_id);

CREATE TABLE notice_outbox (
  notice_id   TEXT NOT NULL,
  person      TEXT NOT NULL,
  sink        TEXT NOT NULL,
  state       TEXT NOT NULL, -- PENDING, SENT, PARKED
  attempt     INTEGER NOT NULL,
  next_at     BIGINT NOT NULL, -- server's clock: not tried before
  lease_until BIGINT NOT NULL, -- server's clock: taken by a node until then
  lease       TEXT NOT NULL,   -- the taking that counts
  last_error  TEXT NOT NULL,
  changed_at  BIGINT NOT NULL,
  PRIMARY KEY (notice_id, person, sink)
);
-- What is still to be sent is a small part of what ever was.
CREATE INDEX notice_outbox_due ON notice_outbox (next_at) WHERE state = 'PENDING';
