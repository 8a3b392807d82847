package object

import (
	"context"
	"database/sql"
	"errors"

	"caos/internal/db"
)

// Sent notes in tx that an account has sent the bytes of an object, for Grace. Equal bytes
// are stored once, so that what somebody sends may be kept by others already, who are not
// theirs to know of: having sent the bytes is then what shows that they have them.
func (s *Store) Sent(tx *db.Tx, digest, account string) {
	tx.Exec(`INSERT INTO uploads (digest, user_id, sent_at) VALUES ($1, $2, $3)
		ON CONFLICT (digest, user_id) DO UPDATE SET sent_at = excluded.sent_at`, digest, account, s.now().UnixMicro())
}

// SentBy reports whether an account has sent the bytes of an object within Grace.
func (s *Store) SentBy(ctx context.Context, digest, account string) (bool, error) {
	var at int64
	err := s.db.QueryRow(ctx, `SELECT sent_at FROM uploads WHERE digest = $1 AND user_id = $2`, digest, account).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil && at > s.now().Add(-Grace).UnixMicro(), err
}

// forgetUploads removes what is older than Grace.
func (s *Store) forgetUploads(ctx context.Context) error {
	return s.db.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`DELETE FROM uploads WHERE sent_at < $1`, s.now().Add(-Grace).UnixMicro())
		return tx.Err()
	})
}
