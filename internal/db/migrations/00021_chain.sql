-- +goose Up
-- Contracts on a chain that may be called. One is active at an address.
CREATE TABLE chain_contracts (
  contract_id    TEXT PRIMARY KEY,
  address        TEXT NOT NULL,   -- EIP-55
  chain_id       BIGINT NOT NULL,
  name           TEXT NOT NULL,
  abi            TEXT NOT NULL,   -- JSON
  abi_digest     TEXT NOT NULL,   -- SHA256:… of abi
  code_hash      TEXT NOT NULL,   -- keccak256 of the code when it was registered, 0x…
  functions      TEXT NOT NULL,   -- JSON list: what may be called, by whom, with which account
  status         TEXT NOT NULL,   -- ACTIVE, RETIRED
  version        BIGINT NOT NULL,
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  registered_by  TEXT NOT NULL,
  registered_at  BIGINT NOT NULL,
  changed_at     BIGINT NOT NULL,
  retired_at     BIGINT NOT NULL, -- 0: in use
  retired_by     TEXT NOT NULL,
  retired_reason TEXT NOT NULL
);
CREATE UNIQUE INDEX chain_contracts_active ON chain_contracts (chain_id, address) WHERE status = 'ACTIVE';
CREATE INDEX chain_contracts_address ON chain_contracts (address, registered_at);
CREATE INDEX chain_contracts_registered ON chain_contracts (registered_at, contract_id);

-- Who acts for an account, or starts what is to be recorded: one node, until ends_at
-- (microseconds by the database server's clock). epoch grows with every change of hands and
-- is compared by every write that the lease allows.
CREATE TABLE chain_leases (
  name    TEXT PRIMARY KEY,
  node    TEXT NOT NULL,
  ends_at BIGINT NOT NULL,
  epoch   BIGINT NOT NULL
);

-- Accounts that send. next_nonce is changed by the commit that stores what was signed with
-- it, and only if it is still the one that the signing began with.
CREATE TABLE chain_accounts (
  chain_id   BIGINT NOT NULL,
  address    TEXT NOT NULL,   -- EIP-55
  name       TEXT NOT NULL,   -- in configuration
  next_nonce BIGINT NOT NULL,
  used       INTEGER NOT NULL, -- 1: we have signed for it
  PRIMARY KEY (chain_id, address)
);

-- Transactions. execution_id is '' for one that only fills a gap between nonces.
CREATE TABLE chain_transactions (
  transaction_id      TEXT PRIMARY KEY,
  execution_id        TEXT NOT NULL,
  contract_id         TEXT NOT NULL,
  chain_id            BIGINT NOT NULL,
  address             TEXT NOT NULL,    -- of the contract
  function            TEXT NOT NULL,    -- signature
  params              TEXT NOT NULL,    -- JSON
  data                TEXT NOT NULL,    -- 0x…
  account             TEXT NOT NULL,
  sender              TEXT NOT NULL,    -- address of account
  nonce               BIGINT,           -- NULL: none yet, or lost
  gas_limit           BIGINT NOT NULL,
  hash                TEXT NOT NULL,    -- of the attempt that was mined, else of the last
  attempts            BIGINT NOT NULL,
  status              TEXT NOT NULL,    -- PREPARED, SIGNED, SENT, MINED, CONFIRMED, FAILED
  reason              TEXT NOT NULL,
  live                INTEGER NOT NULL, -- 1: goes on; 2: final, and its block is watched; 0: over
  asked               INTEGER NOT NULL, -- minute (since 1970) until which whoever holds the account is to sign it; 0: not asked
  lost                INTEGER NOT NULL, -- how often its nonce was spent by something else
  overtaken_block     BIGINT NOT NULL,  -- the block at which its nonce was seen spent while none of it was mined; 0: it is not
  priced_block        BIGINT NOT NULL,  -- the newest block when the last attempt was signed
  priced_at           BIGINT NOT NULL,
  block_number        BIGINT,
  block_hash          TEXT NOT NULL,
  reverted            INTEGER NOT NULL,
  gas_used            BIGINT,
  effective_gas_price TEXT NOT NULL,    -- wei, decimal
  confirmations       BIGINT NOT NULL,
  receipt_digest      TEXT NOT NULL,
  subject_kind        TEXT NOT NULL,
  subject_id          TEXT NOT NULL,
  prepared_at         BIGINT NOT NULL,
  signed_at           BIGINT NOT NULL,
  sent_at             BIGINT NOT NULL,
  mined_at            BIGINT NOT NULL,
  confirmed_at        BIGINT NOT NULL,
  project             TEXT NOT NULL,
  classification      TEXT NOT NULL,
  requested_by        TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX chain_transactions_execution ON chain_transactions (execution_id) WHERE execution_id <> '';
-- Whatever the code believes: no nonce is given twice.
CREATE UNIQUE INDEX chain_transactions_nonce ON chain_transactions (chain_id, sender, nonce) WHERE nonce IS NOT NULL;
CREATE INDEX chain_transactions_live ON chain_transactions (live, sender) WHERE live > 0;
CREATE INDEX chain_transactions_prepared ON chain_transactions (prepared_at, transaction_id);
CREATE INDEX chain_transactions_contract ON chain_transactions (contract_id, prepared_at);
CREATE INDEX chain_transactions_subject ON chain_transactions (subject_kind, subject_id) WHERE subject_kind <> '';

-- What was signed for a transaction: one version after the other, each with its bytes, which
-- are here before they are anywhere else. They differ in fees; a later nonce is taken only
-- when the one before is dead.
CREATE TABLE chain_attempts (
  transaction_id TEXT NOT NULL REFERENCES chain_transactions (transaction_id),
  n              BIGINT NOT NULL,  -- from 1
  hash           TEXT NOT NULL,
  nonce          BIGINT NOT NULL,
  raw            TEXT NOT NULL,    -- 0x…
  max_fee        TEXT NOT NULL,    -- wei per gas, decimal
  tip            TEXT NOT NULL,    -- wei per gas, decimal
  cancels        INTEGER NOT NULL, -- 1: does nothing but spend the nonce
  dead           INTEGER NOT NULL, -- 1: its nonce is spent by something else, for good
  signed_at      BIGINT NOT NULL,
  sent_at        BIGINT NOT NULL,  -- 0: no endpoint has taken it
  error          TEXT NOT NULL,    -- what the network said when it was last sent
  PRIMARY KEY (transaction_id, n)
);
CREATE UNIQUE INDEX chain_attempts_hash ON chain_attempts (hash);

-- What of ours is to be recorded, once. stated_at is fixed when it is first wanted.
CREATE TABLE chain_subjects (
  kind           TEXT NOT NULL,   -- passport, audit, evidence, checkpoint
  id             TEXT NOT NULL,
  model_id       TEXT NOT NULL,
  version        TEXT NOT NULL,
  content_hash   TEXT NOT NULL,   -- SHA256:…
  stated_at      BIGINT NOT NULL, -- seconds since 1970: the moment that is recorded
  state          TEXT NOT NULL,   -- WANTED, STARTED, CONFIRMED, FAILED
  round          BIGINT NOT NULL, -- from 1
  tries          BIGINT NOT NULL, -- how often it was tried to be started in this round
  next_at        BIGINT NOT NULL, -- not tried before
  execution_id   TEXT NOT NULL,
  transaction_id TEXT NOT NULL,
  hash           TEXT NOT NULL,
  block_number   BIGINT,
  reason         TEXT NOT NULL,
  project        TEXT NOT NULL,
  classification TEXT NOT NULL,
  wanted_at      BIGINT NOT NULL,
  changed_at     BIGINT NOT NULL,
  PRIMARY KEY (kind, id)
);
CREATE INDEX chain_subjects_open ON chain_subjects (state, next_at) WHERE state IN ('WANTED', 'STARTED');
CREATE INDEX chain_subjects_execution ON chain_subjects (execution_id) WHERE execution_id <> '';
CREATE INDEX chain_subjects_wanted ON chain_subjects (wanted_at, id);

-- +goose Down
DROP TABLE chain_subjects;
DROP TABLE chain_attempts;
DROP TABLE chain_transactions;
DROP TABLE chain_accounts;
DROP TABLE chain_leases;
DROP TABLE chain_contracts;
