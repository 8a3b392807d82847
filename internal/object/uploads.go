package object

import (
	"context"

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
	return s.sent(s.db.Reader(ctx), digest, account)
}

// SentByIn is SentBy as a transaction sees it.
func (s *Store) SentByIn(tx *db.Tx, digest, account string) (bool, error) {
	return s.sent(tx.Query, digest, account)
}

func (s *Store) sent(query db.Query, digest, account string) (sent bool, err error) {
	err = query(`SELECT sent_at FROM uploads WHERE digest = $1 AND user_id = $2`, []any{digest, account}, func(scan func(...any) error) error {
		var at int64
		err := scan(&at)
		sent = at > s.now().Add(-Grace).UnixMicro()
		return err
	})
	return sent && err == nil, err
}

// forgetUploads removes what is older than Grace.
func (s *Store) forgetUploads(ctx context.Context) error {
	return s.db.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`DELETE FROM uploads WHERE sent_at < $1`, s.now().Add(-Grace).UnixMicro())
		return tx.Err()
	})
}
