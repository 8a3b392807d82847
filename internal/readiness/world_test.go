package readiness

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
)

// crew are people with fixed roles and, for some, whoever else could act for them.
type crew struct {
	roles   map[string][]string
	parties map[string][]string
}

func (c crew) KnownPerson(_ *db.Tx, id string) (bool, error) {
	_, ok := c.roles[id]
	return ok, nil
}

func (c crew) WithRole(_ *db.Tx, role, _, _ string) ([]string, error) {
	var out []string
	for id, roles := range c.roles {
		if slices.Contains(roles, role) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (c crew) RolesOf(_ *db.Tx, id string) ([]string, error)        { return c.roles[id], nil }
func (c crew) Parties(_ *db.Tx, p caos.Principal) ([]string, error) { return c.parties[p.ID], nil }
func (c crew) ActiveKey(_ *db.Tx, person, key string) (string, error) {
	return "", caos.Errorf(caos.NotFound, "%s has no key", person)
}

// desk is a readiness with all that it stands on. Its clock moves a millisecond with each
// look. Evidence of fly is known if its id begins with EVID-.
type desk struct {
	*Readiness
	t      testing.TB
	d      *db.DB
	log    *auditlog.Log
	people crew
	clock  atomic.Int64
	hands  atomic.Pointer[[]Hand]
}

// openDesk opens a readiness of a crew. Stamps of different slots never meet.
func openDesk(t testing.TB, d *db.DB, people crew, slot int) *desk {
	t.Helper()
	k := &desk{t: t, d: d, people: people}
	k.clock.Store(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).UnixMicro())
	now := func() time.Time { return time.UnixMicro(k.clock.Add(1000)) }
	stamps := caos.NewStamper(now, time.Time{}, slot, 3)
	quiet := slog.New(slog.DiscardHandler)
	var err error
	k.log, err = auditlog.Open(context.Background(), auditlog.Options{DB: d, Origin: "log.example/caos", Stamps: stamps, Now: now, Log: quiet, PublishEvery: time.Hour})
	k.ok(err)
	events, err := event.Open(event.Options{DB: d, Stamps: stamps, Now: now, Log: quiet, Poll: time.Hour})
	k.ok(err)
	t.Cleanup(func() {
		events.Close()
		if err := k.log.Close(); err != nil {
			t.Error(err)
		}
	})
	k.Readiness, err = Open(Options{DB: d, Log: k.log, Events: events, Stamps: stamps, Now: now, People: k.people, Keys: k.people, Origin: "log.example/caos",
		Hands: func(*db.Tx, string, string) ([]Hand, error) {
			if h := k.hands.Load(); h != nil {
				return *h, nil
			}
			return nil, nil
		},
		Known: func(_ *db.Tx, s Subject, ids []string) ([]string, error) {
			return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return strings.HasPrefix(id, "EVID-") && s.ModelID == fly }), nil
		}})
	k.ok(err)
	return k
}

// newDesk is a desk with the shipped template, and people of every role; quill acts for olga.
func newDesk(t testing.TB, d *db.DB, slot int) *desk {
	t.Helper()
	people := crew{
		roles: map[string][]string{"olga": {"model-owner"}, "vera": {"vv-lead"}, "mel": {"mlops-engineer"}, "sam": {"safety-engineer"}, "quinn": {"qa-lead"},
			"quill": {"qa-lead"}, "chief": {"chief-engineer"}, "bo": {"prr-board"}, "bea": {"prr-board"}, "rita": {"release-manager"}, "eve": {}},
		parties: map[string][]string{"quill": {"olga"}},
	}
	k := openDesk(t, d, people, slot)
	k.ok(k.Ship(context.Background()))
	return k
}

func eachDesk(t *testing.T, fn func(t *testing.T, d *desk)) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) { fn(t, newDesk(t, d, 0)) })
}

func (k *desk) ok(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *desk) do(fn func(tx *db.Tx) error) error { return k.d.Update(context.Background(), fn) }

func (k *desk) must(fn func(tx *db.Tx) error) {
	k.t.Helper()
	k.ok(k.do(fn))
}

func (k *desk) count(sql string, args ...any) (n int) {
	k.t.Helper()
	k.ok(k.d.Reader(context.Background())(sql, args, func(scan func(...any) error) error { return scan(&n) }))
	return n
}

// on sets the clock to noon of a day.
func (k *desk) on(day string) time.Time {
	k.t.Helper()
	at, err := time.Parse(dateLayout, day)
	k.ok(err)
	at = at.Add(12 * time.Hour)
	k.clock.Store(at.UnixMicro())
	return at
}
