package auditlog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"caos"
	"caos/internal/db"
	"caos/internal/sign"
	"caos/internal/verify"
)

// recordBirths appends the births of active keys that the log does not know: all of them
// to an empty log, and those that a crash kept out. A key that waits for its activation is
// not recorded here, since only its predecessor may vouch for it.
func (l *Log) recordBirths(ctx context.Context) error {
	known, err := l.knownKeys(ctx)
	if err != nil {
		return err
	}
	events, err := l.births(ctx)
	if err != nil {
		return err
	}
	events = slices.DeleteFunc(events, func(e sign.Event) bool { return known[e.Key.ID] })
	if len(events) == 0 {
		return nil
	}
	return l.db.Update(ctx, func(tx *db.Tx) error {
		for _, e := range events {
			var n int64 // another node with the same keys may have been faster
			err := tx.QueryRow(`SELECT count(*) FROM audit_resources s JOIN audit_records r ON r.seq = s.seq
				WHERE s.resource = $1 AND s.seq >= $2 AND r.type = 'KEY'`, e.Key.ID, position(l.generation(), 0)).Scan(&n)
			if err != nil {
				return err
			}
			if n > 0 {
				continue
			}
			if _, err := l.AppendKey(tx, caos.SystemPrincipal().ID, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *Log) generation() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head.generation
}

// AppendKey adds the KEY record of what happened to a key.
func (l *Log) AppendKey(tx *db.Tx, actor string, e sign.Event) (Receipt, error) {
	return l.Append(tx, keyRecord(actor, e))
}

func keyRecord(actor string, e sign.Event) Record {
	return Record{Type: Key, Actor: actor, RecordedBy: actor, Resources: []string{e.Key.ID}, Details: e.KeyEvent}
}

// KeyCreated makes the first key of a purpose and records its birth.
func (l *Log) KeyCreated(ctx context.Context, p sign.Purpose, actor string) (sign.Event, error) {
	if err := l.refusal(Key); err != nil {
		return sign.Event{}, err
	}
	e, err := l.keys.Create(ctx, p, l.now())
	if err != nil {
		return sign.Event{}, err
	}
	return e, l.appendKeys(ctx, actor, e)
}

// KeyRotated makes a new key, has its predecessor sign its birth, puts it into use and
// records the predecessor's retirement. Each record is durable before the step that needs
// it; a crash in between leaves the predecessor active, and the rotation can be repeated.
func (l *Log) KeyRotated(ctx context.Context, p sign.Purpose, actor string) (sign.Event, error) {
	born, err := l.KeyCreated(ctx, p, actor)
	if err != nil {
		return sign.Event{}, err
	}
	ended, err := l.keys.Activate(ctx, born.Key.ID, l.now())
	if err != nil {
		return sign.Event{}, err
	}
	return born, l.appendKeys(ctx, actor, ended...)
}

// KeyCompromised ends a key that somebody else may have, and records it. Rotate the key
// first if it is the active one of its purpose: without a successor nothing of that
// purpose can be signed.
func (l *Log) KeyCompromised(ctx context.Context, id, actor string) (sign.Event, error) {
	if err := l.refusal(Key); err != nil {
		return sign.Event{}, err
	}
	e, err := l.keys.MarkCompromised(ctx, id, l.now())
	if err != nil {
		return sign.Event{}, err
	}
	return e, l.appendKeys(ctx, actor, e)
}

func (l *Log) appendKeys(ctx context.Context, actor string, events ...sign.Event) error {
	if len(events) == 0 {
		return nil
	}
	return l.db.Update(ctx, func(tx *db.Tx) error {
		for _, e := range events {
			if _, err := l.AppendKey(tx, actor, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// knownKeys returns the ids of the keys that the current log has records of.
func (l *Log) knownKeys(ctx context.Context) (map[string]bool, error) {
	h, err := readHead(ctx, l.db)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	err = eachKeyEvent(ctx, l.db, h.generation, func(_ int64, e verify.KeyEvent) error {
		s, err := e.Parse()
		if err != nil {
			return err
		}
		known[s.KeyID] = true
		return nil
	})
	return known, err
}

// Trust returns the trust file of the current log, made of its KEY records.
func (l *Log) Trust(ctx context.Context) (verify.Trust, error) {
	h, err := readHead(ctx, l.db)
	if err != nil {
		return verify.Trust{}, err
	}
	return l.outside(trustOf(ctx, l.db, h.generation, h.origin))
}

// outside puts those beside the operator into a trust file.
func (l *Log) outside(t verify.Trust, err error) (verify.Trust, error) {
	if err != nil {
		return t, err
	}
	return t, t.Admit(l.beside)
}

// TrustOf returns the trust file of a generation that a recovery closed, or of the current
// one. That of a closed one also tells what became of the passport keys since: a passport in
// it is not falsified because its status list is signed with a newer key, and what a key
// signs that was stolen since is not believed. No such key counts for a leaf of that log.
func (l *Log) TrustOf(ctx context.Context, generation int64) (verify.Trust, error) {
	t, err := trustOf(ctx, l.db, generation, originOf(l.base, generation))
	if err != nil {
		return t, err
	}
	h, err := readHead(ctx, l.db)
	if err != nil || generation >= h.generation {
		return l.outside(t, err)
	}
	var size int64
	if err := l.db.QueryRow(ctx, `SELECT size FROM log_closed WHERE generation = $1`, generation).Scan(&size); err != nil {
		return t, fmt.Errorf("read the size of a closed log: %w", err)
	}
	now, err := trustOf(ctx, l.db, h.generation, h.origin)
	if err != nil {
		return t, err
	}
	for _, k := range now.Keys {
		if k.Purpose != verify.PurposePassport {
			continue
		}
		i := slices.IndexFunc(t.Keys, func(o verify.TrustKey) bool { return o.ID == k.ID })
		if i < 0 {
			k.ActiveFrom, k.ActiveUntil = size, nil
			t.Keys = append(t.Keys, k)
			i = len(t.Keys) - 1
		}
		if old := &t.Keys[i]; k.CompromisedAt != nil && (old.CompromisedAt == nil || *old.CompromisedAt > size) {
			old.CompromisedAt = &size
		}
	}
	return l.outside(t, nil)
}

func trustOf(ctx context.Context, d reader, generation int64, origin string) (verify.Trust, error) {
	var first []byte
	err := d.QueryRow(ctx, `SELECT leaf FROM audit_records WHERE seq = $1`, position(generation, 0)).Scan(&first)
	if errors.Is(err, sql.ErrNoRows) {
		return verify.Trust{}, caos.Errorf(caos.NotFound, "the log has no records yet, and so no keys")
	}
	if err != nil {
		return verify.Trust{}, fmt.Errorf("read the first leaf: %w", err)
	}
	var events []sign.KeyEvent
	err = eachKeyEvent(ctx, d, generation, func(index int64, e verify.KeyEvent) error {
		events = append(events, sign.KeyEvent{Leaf: index, Event: e})
		return nil
	})
	if err != nil {
		return verify.Trust{}, err
	}
	return sign.BuildTrust(origin, logID(generation, first), events)
}

// logID tells logs of one origin apart: a database that was thrown away and begun anew has
// another first leaf.
func logID(generation int64, firstLeaf []byte) string {
	h := verify.RecordHash(firstLeaf)
	return fmt.Sprintf("log-%d-%x", generation, h[:8])
}

// eachKeyEvent calls fn with what happened to the installation's keys, in the order of the
// leaves. KEY records about keys of people are left out.
func eachKeyEvent(ctx context.Context, d reader, generation int64, fn func(index int64, e verify.KeyEvent) error) error {
	rows, err := d.Query(ctx, `SELECT seq, record FROM audit_records WHERE type = 'KEY' AND seq >= $1 AND seq < $2 ORDER BY seq`,
		position(generation, 0), position(generation+1, 0))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		var text []byte
		if err := rows.Scan(&seq, &text); err != nil {
			return fmt.Errorf("read key records: %w", err)
		}
		_, index := splitPosition(seq)
		e, ok, err := keyEventOf(text)
		if err != nil {
			return fmt.Errorf("key record at leaf %d: %w", index, err)
		}
		if !ok {
			continue
		}
		if err := fn(index, e); err != nil {
			return fmt.Errorf("key record at leaf %d: %w", index, err)
		}
	}
	return rows.Err()
}

// keyEventOf returns the key event in a record, false if it is about something else.
func keyEventOf(record []byte) (verify.KeyEvent, bool, error) {
	r, err := ParseRecord(record)
	if err != nil {
		return verify.KeyEvent{}, false, err
	}
	raw, _ := r.Details.(json.RawMessage)
	var e verify.KeyEvent
	if len(raw) == 0 {
		return e, false, nil
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, false, err
	}
	return e, e.Statement != "", nil
}
