-- +goose Up
-- What a contract on a chain called in its own place when it was registered, as a proxy does.
ALTER TABLE chain_contracts ADD COLUMN implementations TEXT NOT NULL DEFAULT '[]'; -- JSON list: address, how it is named, hash of its code

-- +goose Down
ALTER TABLE chain_contracts DROP COLUMN implementations;
