-- The audit log: records, the index of their resources, the hash tree and its head.
--
-- A position is the generation of the log times 2^40 plus the index of the leaf: one
-- number that orders all records of all generations. It has 64 bits on both databases,
-- and on SQLite it has to be the row id, which only the exact words INTEGER PRIMARY KEY
-- make it. The two share no word for that, so the lines with /* /* below are read by
-- SQLite as what stands before the dashes and by PostgreSQL, whose comments nest, as what
-- stands behind them.

-- +goose Up
CREATE TABLE audit_records (
    seq /* /* */ INTEGER -- */ BIGINT
        PRIMARY KEY,
    id             TEXT    NOT NULL UNIQUE,
    time_us        BIGINT  NOT NULL, -- microseconds since 1970 UTC
    type           TEXT    NOT NULL,
    actor          TEXT    NOT NULL,
    recorded_by    TEXT    NOT NULL,
    execution      TEXT    NOT NULL,
    project        TEXT    NOT NULL,
    classification TEXT    NOT NULL,
    leaf           TEXT    NOT NULL, -- canonical JSON, hashed as it stands
    record         TEXT    NOT NULL, -- canonical JSON, hashed as it stands
    salt           {{bytes}} NOT NULL -- 32 bytes
);
CREATE INDEX audit_records_time ON audit_records (time_us, seq);
CREATE INDEX audit_records_type ON audit_records (type, time_us, seq);
CREATE INDEX audit_records_actor ON audit_records (actor, time_us, seq);
CREATE INDEX audit_records_execution ON audit_records (execution, time_us, seq) WHERE execution <> '';
CREATE INDEX audit_records_project ON audit_records (project, time_us, seq) WHERE project <> '';

CREATE TABLE audit_resources (
    resource TEXT   NOT NULL,
    time_us  BIGINT NOT NULL,
    seq      BIGINT NOT NULL,
    PRIMARY KEY (resource, time_us, seq)
) /* /* */ WITHOUT ROWID -- */
;

-- How many records there are by day since 1970 (UTC), type and project.
CREATE TABLE audit_counts (
    day     BIGINT NOT NULL,
    type    TEXT   NOT NULL,
    project TEXT   NOT NULL,
    n       BIGINT NOT NULL,
    PRIMARY KEY (day, type, project)
);

-- Tiles of 256 hashes (C2SP tlog-tiles); the last of each level may be shorter.
CREATE TABLE log_tiles (
    generation BIGINT NOT NULL,
    level      BIGINT NOT NULL,
    tile_index BIGINT NOT NULL,
    hashes     {{bytes}} NOT NULL,
    PRIMARY KEY (generation, level, tile_index)
);

-- The one row that every audited transaction locks.
CREATE TABLE log_head (
    one        BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    generation BIGINT NOT NULL,
    origin     TEXT   NOT NULL,
    size       BIGINT NOT NULL,
    root       {{bytes}} NOT NULL,
    last_time  BIGINT NOT NULL -- latest moment given to a record, microseconds since 1970 UTC
);

-- Logs that a recovery closed.
CREATE TABLE log_closed (
    generation  BIGINT NOT NULL PRIMARY KEY,
    origin      TEXT   NOT NULL,
    size        BIGINT NOT NULL,
    root        {{bytes}} NOT NULL,
    agreed_size BIGINT NOT NULL, -- the largest published checkpoint that the log still agreed with
    agreed_note TEXT   NOT NULL  -- that checkpoint, '' if there was none
);

-- +goose Down
DROP TABLE log_closed;
DROP TABLE log_head;
DROP TABLE log_tiles;
DROP TABLE audit_counts;
DROP TABLE audit_resources;
DROP TABLE audit_records;
