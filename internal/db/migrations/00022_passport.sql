-- +goose Up
-- Where a passport's bit is in a status list, so that it can be revoked: list 0 means none,
-- as passports from before there were lists have it. The place is drawn when the identifier
-- is claimed, because the signed credential names it.
ALTER TABLE passport_claims ADD COLUMN status_list BIGINT NOT NULL DEFAULT 0;
ALTER TABLE passport_claims ADD COLUMN status_index BIGINT NOT NULL DEFAULT 0;

ALTER TABLE passports ADD COLUMN status_list BIGINT NOT NULL DEFAULT 0;
ALTER TABLE passports ADD COLUMN status_index BIGINT NOT NULL DEFAULT 0;
-- The second audit record of a passport, in which there is nothing that not everybody may
-- know; '' until it was made.
ALTER TABLE passports ADD COLUMN public_record_id TEXT NOT NULL DEFAULT '';
-- Of the confirmed transaction, beside chain_tx_id: the chain in decimal, and the block.
ALTER TABLE passports ADD COLUMN chain_id TEXT NOT NULL DEFAULT '';
ALTER TABLE passports ADD COLUMN chain_block BIGINT NOT NULL DEFAULT 0;
ALTER TABLE passports ADD COLUMN revoked_at BIGINT; -- NULL: it counts
ALTER TABLE passports ADD COLUMN revoked_by TEXT NOT NULL DEFAULT '';
ALTER TABLE passports ADD COLUMN revoke_reason TEXT NOT NULL DEFAULT '';
CREATE INDEX passports_revoked ON passports (status_list, revoked_at);
CREATE INDEX passports_private ON passports (public_record_id, passport_id);

-- The lists. taken counts the places that were drawn, of which none is given twice: not even
-- that of a passport that was never made, because its credential may have been signed.
-- changed_at is when a bit was set last, or when the list was begun.
CREATE TABLE passport_status_lists (
  list       BIGINT PRIMARY KEY,
  taken      BIGINT NOT NULL,
  changed_at BIGINT NOT NULL
);
CREATE TABLE passport_status_places (
  list        BIGINT NOT NULL REFERENCES passport_status_lists (list),
  place       BIGINT NOT NULL,
  passport_id TEXT NOT NULL,
  PRIMARY KEY (list, place)
);

-- What became of a passport on IPFS. state is WAITING, PINNED or REFUSED; a passport without
-- a row was not tried yet.
CREATE TABLE passport_pins (
  passport_id TEXT PRIMARY KEY REFERENCES passports (passport_id),
  state       TEXT NOT NULL,
  attempts    BIGINT NOT NULL,
  error       TEXT NOT NULL,
  tried_at    BIGINT NOT NULL,
  next_at     BIGINT NOT NULL, -- not tried again before; 0 when there is nothing left to do
  pinned_at   BIGINT NOT NULL  -- 0 until the node answered with the same bytes
);
CREATE INDEX passport_pins_due ON passport_pins (state, next_at, passport_id);

-- +goose Down
DROP TABLE passport_pins;
DROP TABLE passport_status_places;
DROP TABLE passport_status_lists;
DROP INDEX passports_private;
DROP INDEX passports_revoked;
ALTER TABLE passports DROP COLUMN revoke_reason;
ALTER TABLE passports DROP COLUMN revoked_by;
ALTER TABLE passports DROP COLUMN revoked_at;
ALTER TABLE passports DROP COLUMN chain_block;
ALTER TABLE passports DROP COLUMN chain_id;
ALTER TABLE passports DROP COLUMN public_record_id;
ALTER TABLE passports DROP COLUMN status_index;
ALTER TABLE passports DROP COLUMN status_list;
ALTER TABLE passport_claims DROP COLUMN status_index;
ALTER TABLE passport_claims DROP COLUMN status_list;
