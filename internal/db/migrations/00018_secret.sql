-- +goose Up
-- Values of the vault, sealed: AES-256-GCM under a keyset in the data folder's keys/, with
-- path and name as associated data, so that a value moved to another row does not open. An
-- administrator writes them; nothing gives them back but the program to itself.
CREATE TABLE secrets (
  path           TEXT NOT NULL, -- such as s3/lake
  name           TEXT NOT NULL, -- such as secret_key
  sealed         {{bytes}} NOT NULL,
  key_id         BIGINT NOT NULL, -- key of the keyset that it is sealed under
  revision       BIGINT NOT NULL, -- counts the values it has had since it was made
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  updated_at     BIGINT NOT NULL,
  updated_by     TEXT NOT NULL,
  PRIMARY KEY (path, name)
);
CREATE INDEX secrets_updated ON secrets (updated_at, path, name);

-- +goose Down
DROP TABLE secrets;
