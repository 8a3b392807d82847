-- +goose Up
-- Who sent which bytes lately: knowing a digest is not having the bytes, but having sent
-- them is. One row per object and account, written by the upload, removed by the daily
-- sweep when it is seven days old. Not audited: it gives nobody anything that they did not
-- have.
CREATE TABLE uploads (
  digest  TEXT NOT NULL,
  user_id TEXT NOT NULL,
  sent_at BIGINT NOT NULL,
  PRIMARY KEY (digest, user_id)
);
CREATE INDEX uploads_sent_at ON uploads (sent_at);

-- +goose Down
DROP TABLE uploads;
