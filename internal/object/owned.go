package object

import (
	"context"
	"fmt"

	"caos/internal/db"
)

// Owned is what a thing keeps an object as.
type Owned struct {
	Digest string
	Binding
}

// maxOwned bounds what is listed of one owner.
const maxOwned = 1000

// Of lists the objects that a thing refers to, by kind; the latest kept of a kind comes first.
// There are at most 1,000.
func (s *Store) Of(ctx context.Context, owner string) ([]Owned, error) {
	if !db.Storable(owner) {
		return nil, nil
	}
	rows, err := s.db.Query(ctx, `SELECT digest, owner, kind, retain_until, hold, project, classification FROM object_refs WHERE owner = $1
		ORDER BY kind, created_at DESC, digest LIMIT `+fmt.Sprint(maxOwned), owner)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Owned
	for rows.Next() {
		var o Owned
		o.Binding, err = scanBinding(func(into ...any) error { return rows.Scan(append([]any{&o.Digest}, into...)...) })
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, rows.Err()
}
