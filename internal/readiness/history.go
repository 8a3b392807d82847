package readiness

import (
	"encoding/json"
	"fmt"
	"time"

	"caos/internal/codec"
	"caos/internal/db"
)

// maxPast bounds how many rows of one noun and scope are read back at once.
const maxPast = 2000

// edition is how a row of a noun reads after a change. Every change of a checklist item, a
// risk, a review, a condition and a release authorisation is kept as one, so that what a
// decision looked at can be seen later.
type edition struct {
	Noun     string // "item", "risk", "review", "condition", "release", "plan"
	Scope    string // baseline id, or model id for what belongs to no version
	ID       string // of the row; unique within the noun
	Revision int64
	At       time.Time // of the change; zero is now
	Body     any       // its JSON is kept
}

// keep writes an edition. The same revision twice is an error of the caller.
func (r *Readiness) keep(tx *db.Tx, e edition) error {
	body, err := codec.Canonical(e.Body)
	if err != nil {
		return fmt.Errorf("readiness: keep %s %s: %w", e.Noun, e.ID, err)
	}
	if e.At.IsZero() {
		e.At = r.now()
	}
	tx.Exec(`INSERT INTO row_history (noun, id, revision, scope, at, body) VALUES ($1, $2, $3, $4, $5, $6)`,
		e.Noun, e.ID, e.Revision, e.Scope, e.At.UnixMicro(), string(body))
	return nil
}

// Past returns how a row read at a moment, nil if there was none yet.
func (r *Readiness) Past(tx *db.Tx, noun, id string, at time.Time) (json.RawMessage, error) {
	var body json.RawMessage
	err := tx.Query(`SELECT body FROM row_history WHERE noun = $1 AND id = $2 AND at <= $3 ORDER BY revision DESC LIMIT 1`,
		[]any{noun, id, at.UnixMicro()}, func(scan func(...any) error) error { return scan(&body) })
	return body, err
}

// PastOf returns how all rows of a noun and scope read at a moment, by id, at most 2000.
func (r *Readiness) PastOf(tx *db.Tx, noun, scope string, at time.Time) ([]json.RawMessage, error) {
	out := []json.RawMessage{}
	err := tx.Query(`SELECT h.body FROM row_history h WHERE h.noun = $1 AND h.scope = $2 AND h.revision =
			(SELECT MAX(l.revision) FROM row_history l WHERE l.noun = h.noun AND l.id = h.id AND l.at <= $3)
		ORDER BY h.id LIMIT $4`, []any{noun, scope, at.UnixMicro(), maxPast},
		func(scan func(...any) error) error {
			var body json.RawMessage
			err := scan(&body)
			out = append(out, body)
			return err
		})
	return out, err
}
