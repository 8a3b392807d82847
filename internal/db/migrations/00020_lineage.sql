-- +goose Up
-- What data was made from, and what was made from it. A node is a version of data, a run, a
-- validation, a version of a model or a baseline; its key is kind:id. Nodes and edges are
-- never removed: they are what an auditor asks for years later.
CREATE TABLE lineage_nodes (
  node           TEXT PRIMARY KEY,
  kind           TEXT NOT NULL,   -- dataset-version, external-version, execution, validation, model-version or baseline
  id             TEXT NOT NULL,
  family         TEXT NOT NULL,   -- the id before its @: what it is a version of
  label          TEXT NOT NULL,
  uri            TEXT NOT NULL,   -- '' for what is no data
  digest         TEXT NOT NULL,   -- of the content, '' for none
  row_count      BIGINT NOT NULL, -- -1: nobody counted
  byte_count     BIGINT NOT NULL, -- -1: nobody counted
  status         TEXT NOT NULL,
  at             BIGINT NOT NULL, -- when it came to be; 0 if nobody said
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  sensitivity    BIGINT NOT NULL  -- place of the classification in its order, so that it only rises
);
CREATE INDEX lineage_nodes_id ON lineage_nodes (id);
CREATE INDEX lineage_nodes_family ON lineage_nodes (family, at);
CREATE INDEX lineage_nodes_uri ON lineage_nodes (uri, at);

-- An edge leads the way that data flows.
CREATE TABLE lineage_edges (
  from_node    TEXT NOT NULL,
  to_node      TEXT NOT NULL,
  kind         TEXT NOT NULL,   -- READ, WROTE, VALIDATED, TRAINED_ON, VALIDATED_ON or FROZEN_AS
  execution_id TEXT NOT NULL,   -- '' if a person linked the two
  at           BIGINT NOT NULL,
  linked_by    TEXT NOT NULL,
  PRIMARY KEY (from_node, to_node, kind)
);
CREATE INDEX lineage_edges_to ON lineage_edges (to_node, from_node);

-- Digests by which bytes met elsewhere are recognised as a version of data: of its content
-- as a whole and of each of its files.
CREATE TABLE lineage_digests (
  digest TEXT NOT NULL,
  node   TEXT NOT NULL,
  PRIMARY KEY (digest, node)
);

-- OpenLineage events, written with what they tell of. One of each kind for an execution.
-- Executions' own retention does not reach them: sent or not, they are small.
CREATE TABLE openlineage_events (
  event_id       TEXT PRIMARY KEY,
  seq            BIGINT NOT NULL, -- order of sending
  execution_id   TEXT NOT NULL,
  run_id         TEXT NOT NULL,   -- UUID
  event_type     TEXT NOT NULL,   -- START, COMPLETE, FAIL or ABORT
  event_time     BIGINT NOT NULL,
  event          TEXT NOT NULL,   -- JSON
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  tried_at       BIGINT NOT NULL, -- 0: never; one that was tried goes before later ones
  sent_at        BIGINT NOT NULL, -- 0: not yet
  refused_at     BIGINT NOT NULL, -- 0: the receiver never said that it cannot take it
  refusal        TEXT NOT NULL
);
CREATE UNIQUE INDEX openlineage_events_run ON openlineage_events (execution_id, event_type);
CREATE UNIQUE INDEX openlineage_events_seq ON openlineage_events (seq);
CREATE INDEX openlineage_events_unsent ON openlineage_events (seq) WHERE sent_at = 0 AND refused_at = 0;

-- +goose Down
DROP TABLE openlineage_events;
DROP TABLE lineage_digests;
DROP TABLE lineage_edges;
DROP TABLE lineage_nodes;
