-- +goose Up
-- Which checkpoints of the audit log somebody outside was given. A row is written when the
-- destination has it, except for those of a chain, which wait for their transaction.
CREATE TABLE anchors (
  anchor_id      TEXT PRIMARY KEY, -- ANCHOR-<stamp>
  kind           TEXT NOT NULL,    -- one of the kinds of internal/verify
  destination    TEXT NOT NULL,    -- name of the witness, address of the server, s3://…, path, chain:<id>:<registry>
  origin         TEXT NOT NULL,    -- of the log
  size           BIGINT NOT NULL,  -- leaves of the tree
  root           TEXT NOT NULL,    -- base64, as checkpoints have it
  checkpoint     {{bytes}} NOT NULL, -- the signed note that was given; cosigned for a witness
  proof          {{bytes}} NOT NULL, -- DER of the time-stamp response; empty for the others
  place          TEXT NOT NULL,    -- of the object; '' for the others
  state          TEXT NOT NULL,    -- PENDING, CONFIRMED or FAILED
  error          TEXT NOT NULL,    -- why it FAILED
  at             BIGINT NOT NULL,  -- when the anchor was begun
  confirmed_at   BIGINT NOT NULL,  -- when this installation had it confirmed; 0: not yet
  proved_at      BIGINT NOT NULL,  -- the destination's own time, in its proof; 0 if it states none
  chain_id       TEXT NOT NULL,    -- decimal, '' but for a chain; so the next six
  address        TEXT NOT NULL,    -- of the registry
  execution_id   TEXT NOT NULL,    -- that has it recorded
  transaction_id TEXT NOT NULL,    -- TX-… of it
  tx_hash        TEXT NOT NULL,
  block          BIGINT NOT NULL,
  block_hash     TEXT NOT NULL,
  asked_by       TEXT NOT NULL,    -- who asked for it; caos by schedule
  project        TEXT NOT NULL,
  classification TEXT NOT NULL
);
CREATE UNIQUE INDEX anchors_of ON anchors (kind, destination, origin, size);
CREATE INDEX anchors_at ON anchors (at, anchor_id);
CREATE INDEX anchors_size ON anchors (origin, size);
CREATE INDEX anchors_pending ON anchors (kind, at) WHERE state = 'PENDING';

-- How it stands with each destination that is or was configured.
CREATE TABLE anchor_destinations (
  kind          TEXT NOT NULL,
  destination   TEXT NOT NULL,
  origin        TEXT NOT NULL,   -- of the log that the numbers are about
  state         TEXT NOT NULL,   -- OK, FAILING or DIVERGED
  size          BIGINT NOT NULL, -- newest that it has confirmed, 0 for none
  attempts      BIGINT NOT NULL, -- that failed since the last that did not
  error         TEXT NOT NULL,   -- of the last attempt
  failing_since BIGINT NOT NULL, -- 0: it does not fail
  alert_id      TEXT NOT NULL,   -- that was raised about it, '' for none
  tried_at      BIGINT NOT NULL,
  next_at       BIGINT NOT NULL, -- not before
  node          TEXT NOT NULL,   -- that is at it
  busy_until    BIGINT NOT NULL, -- up to when no other node begins
  PRIMARY KEY (kind, destination)
);

-- +goose Down
DROP TABLE anchor_destinations;
DROP TABLE anchors;
