-- +goose Up
-- Objects are files in the object store; a row says that something refers to one. The
-- file is always there, synced, before its row. digest is "SHA256:<64 hex>".
CREATE TABLE objects (
  digest     TEXT PRIMARY KEY,
  size       BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);

-- One row per thing that keeps an object alive. An object without one is removed by the
-- daily sweep once it is seven days old. retain_until (0 for none) and hold are floors:
-- they are only ever raised.
CREATE TABLE object_refs (
  digest         TEXT NOT NULL REFERENCES objects (digest),
  owner          TEXT NOT NULL,
  kind           TEXT NOT NULL,
  retain_until   BIGINT NOT NULL,
  hold           INTEGER NOT NULL,
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  PRIMARY KEY (digest, owner, kind)
);
CREATE INDEX object_refs_owner ON object_refs (owner);

-- +goose Down
DROP TABLE object_refs;
DROP TABLE objects;
