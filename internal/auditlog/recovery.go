package auditlog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"caos"
	"caos/internal/db"
	"caos/internal/sign"
	"caos/internal/verify"
)

// duringRecovery reports whether records of a type are taken in recovery mode: those of a
// break-glass access and of the rollback that it is for.
func duringRecovery(t Type) bool { return t == Rollback || t == Override }

// Recovery reports whether the log is in recovery mode, and why.
func (l *Log) Recovery() (on bool, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.recovery != "":
		return true, l.recovery
	case l.damage != "":
		return true, l.damage
	}
	return false, ""
}

// Recovered is what the first leaf of a successor log commits to: its record's details.
type Recovered struct {
	Event       string   `json:"event"`       // "log_recovered"
	Approved    []string `json:"approved_by"` // who recovered it, two people or more
	Reason      string   `json:"reason"`      // in their words
	Found       string   `json:"found"`       // what was wrong with the predecessor
	Predecessor Closed   `json:"predecessor"` // the log that this one succeeds
	Published   *Tree    `json:"published"`   // its last published checkpoint; null: none
	Lost        *Range   `json:"lost"`        // leaves that were published and are gone; null: none
	Unpublished *Range   `json:"unpublished"` // leaves that are there and no published checkpoint covers; null: none
}

// Closed describes a closed log: what is left of it.
type Closed struct {
	Generation int64  `json:"generation"`
	Origin     string `json:"origin"`
	Size       int64  `json:"size"`
	Root       string `json:"root"`        // "SHA256:" and hex
	AgreedSize int64  `json:"agreed_size"` // the largest published checkpoint that it still agrees with
}

// Tree is the size and root of a checkpoint.
type Tree struct {
	Size int64  `json:"size"`
	Root string `json:"root"` // "SHA256:" and hex
}

// Range is leaves From to To-1.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

const recoveredEvent = "log_recovered"

// Dispute is what somebody outside has that a log cannot have led to, although nothing that it
// published itself contradicts it: all of that was restored or rewritten together with it.
type Dispute struct {
	Found  string // who has what, in words
	Agreed int64  // leaves of the largest tree that somebody outside has and the log led to; 0: none
	Has    Tree   // the largest tree that the log did not lead to; Root is "" if it is not known
}

// Dispute puts a log into recovery mode, until it is recovered or closed. One that is there
// already stays as it is.
func (l *Log) Dispute(d Dispute) {
	if on, _ := l.Recovery(); on {
		return
	}
	l.mu.Lock()
	l.dispute = &d
	l.mu.Unlock()
	l.enterRecovery(d.Found)
}

func (l *Log) disputed() *Dispute {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dispute
}

// succession closes a generation and opens the next.
type succession struct {
	agreedSize int64
	agreedNote []byte
	base       string
}

// open writes that h is closed and returns the successor's head.
func (s *succession) open(tx *db.Tx, h head) head {
	tx.Exec(`INSERT INTO log_closed (generation, origin, size, root, agreed_size, agreed_note) VALUES ($1, $2, $3, $4, $5, $6)`,
		h.generation, h.origin, h.size, h.root[:], s.agreedSize, string(s.agreedNote))
	next := head{generation: h.generation + 1, origin: originOf(s.base, h.generation+1), root: emptyRoot(), lastTime: h.lastTime}
	tx.ExecOne(nil, `UPDATE log_head SET generation = $1, origin = $2, size = 0, root = $3 WHERE one = 1 AND generation = $4`,
		next.generation, next.origin, next.root[:], h.generation)
	return next
}

// Recover closes a log that is in recovery mode and opens its successor, whose first
// record states what was lost, followed by the births of the active keys. It needs two
// different people; that they are who they say, and may do this, is the caller's to check.
func (l *Log) Recover(ctx context.Context, by []string, reason string) (Receipt, error) {
	if on, _ := l.Recovery(); !on {
		return Receipt{}, caos.Errorf(caos.Conflict, "the audit log is not in recovery mode").WithHint("there is nothing to recover; if somebody outside has what the log cannot have led to, caos audit anchors says DIVERGED, and only then is it recovered")
	}
	people := slices.Compact(slices.Sorted(slices.Values(by)))
	if len(people) < 2 || people[0] == "" {
		return Receipt{}, caos.Errorf(caos.Denied, "a recovery needs two different people").WithField("by").WithRule("two-person-recovery")
	}
	if reason == "" {
		return Receipt{}, caos.Errorf(caos.Invalid, "it is missing").WithField("reason")
	}
	h, err := readHead(ctx, l.db)
	if err != nil {
		return Receipt{}, err
	}
	agreed, agreedNote, last, err := l.survey(ctx, h)
	if err != nil {
		return Receipt{}, err
	}
	births, err := l.births(ctx)
	if err != nil {
		return Receipt{}, err
	}
	var first *entry
	err = l.db.Update(ctx, func(tx *db.Tx) error {
		// The head may have grown by a break-glass record since it was read.
		l.mu.Lock()
		h, found := l.head, l.recovery
		if found == "" {
			found = l.damage
		}
		l.mu.Unlock()
		if found == "" {
			return caos.Errorf(caos.Conflict, "the audit log was recovered by somebody else")
		}
		d := recovered(h, agreed, last)
		if o := l.disputed(); o != nil && (d.Published == nil || d.Published.Size < o.Has.Size) {
			d.Published, d.Lost = &o.Has, &Range{agreed, o.Has.Size}
		}
		d.Approved, d.Reason, d.Found = people, reason, found
		r := Record{Type: Override, Actor: people[0], RecordedBy: people[1], Resources: []string{h.origin}, Details: d}
		if err := r.check(); err != nil {
			return err
		}
		if first, err = l.prepare(r); err != nil {
			return err
		}
		first.opens = &succession{agreed, agreedNote, l.base}
		tx.Emit(first)
		for _, e := range births {
			r := keyRecord(people[0], e)
			birth, err := l.prepare(r)
			if err != nil {
				return err
			}
			tx.Emit(birth)
		}
		return nil
	})
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{ID: first.id, Hash: verify.FormatHash(first.hash)}, nil
}

// recovered says what became of the log of head h.
func recovered(h head, agreed int64, last *verify.Checkpoint) Recovered {
	d := Recovered{Event: recoveredEvent, Predecessor: Closed{
		Generation: h.generation, Origin: h.origin, Size: h.size, Root: verify.FormatHash(h.root), AgreedSize: agreed,
	}}
	if last != nil {
		d.Published = &Tree{last.Size, verify.FormatHash(last.Root)}
		if last.Size > agreed {
			d.Lost = &Range{agreed, last.Size}
		}
	}
	if h.size > agreed {
		d.Unpublished = &Range{agreed, h.size}
	}
	return d
}

// survey finds the largest published checkpoint that the log of head h agrees with, and
// the last one published.
func (l *Log) survey(ctx context.Context, h head) (agreed int64, note []byte, last *verify.Checkpoint, err error) {
	if l.sink == nil {
		return 0, nil, nil, nil
	}
	most := h.size
	if d := l.disputed(); d != nil {
		most = min(most, d.Agreed) // what was published since contradicts what is outside
	}
	err = l.sink.All(ctx, func(signed []byte) error {
		c, err := readNote(signed)
		if err != nil || c.Origin != h.origin {
			return nil // Verify reports what cannot be read
		}
		if last == nil || c.Size >= last.Size {
			last = &c
		}
		if c.Size > most || c.Size <= agreed {
			return nil
		}
		why, err := contradiction(ctx, l.db, h, c)
		if err == nil && why == "" {
			agreed, note = c.Size, slices.Clone(signed)
		}
		return err
	})
	return agreed, note, last, err
}

// births signs the births of all active keys, the checkpoint key's first.
func (l *Log) births(ctx context.Context) ([]sign.Event, error) {
	var events []sign.Event
	if l.keys == nil {
		return nil, nil
	}
	for _, k := range l.keys.List() {
		if k.State != sign.Active {
			continue
		}
		e, err := l.keys.Birth(ctx, k.ID, l.now())
		if err != nil {
			return nil, fmt.Errorf("sign the birth of %s: %w", k.ID, err)
		}
		events = append(events, e)
	}
	slices.SortStableFunc(events, func(a, b sign.Event) int { return rank(a) - rank(b) })
	return events, nil
}

// rank puts the checkpoint key first: it vouches for keys that cannot sign.
func rank(e sign.Event) int {
	if e.Key.Purpose == string(sign.Checkpoint) {
		return 0
	}
	return 1
}

// parseRecovered reads the details of a successor's first record.
func parseRecovered(record []byte) (Recovered, error) {
	var d Recovered
	r, err := ParseRecord(record)
	if err != nil {
		return d, err
	}
	raw, _ := r.Details.(json.RawMessage)
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, err
	}
	if d.Event != recoveredEvent {
		return d, caos.Errorf(caos.Invalid, "it does not tell of a recovery")
	}
	return d, nil
}
