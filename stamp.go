package caos

import (
	"sync"
	"time"
)

// Stamper hands out moments that no other call, and no other node, ever gets: identifiers
// are made of them. A clock that jumps back does not make it repeat: it then counts on
// from the last moment given, one tick at a time.
//
// Nodes that share a database have a slot each; a node only gives out microseconds whose
// remainder by slots is its own.
type Stamper struct {
	now   func() time.Time
	slots int64
	slot  int64

	mu   sync.Mutex
	last int64 // microseconds since 1970, the last one given
}

// NewStamper returns a Stamper for slot of slots (0 of 1 on a single machine) that gives
// nothing at or before floor, which is the latest moment that the database has seen.
func NewStamper(now func() time.Time, floor time.Time, slot, slots int) *Stamper {
	if slots < 1 {
		slots = 1
	}
	return &Stamper{now: now, slots: int64(slots), slot: int64(slot % slots), last: floor.UnixMicro()}
}

// Next returns a moment later than every one returned before, at or after the clock's.
func (s *Stamper) Next() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := max(s.now().UnixMicro(), s.last+1)
	if r := t % s.slots; r != s.slot {
		t += (s.slot - r + s.slots) % s.slots
	}
	s.last = t
	return time.UnixMicro(t).UTC()
}

// ID returns prefix and a fresh stamp: "EXEC-20261122T101500.123456Z" for "EXEC-".
func (s *Stamper) ID(prefix string) string { return prefix + Stamp(s.Next()) }
