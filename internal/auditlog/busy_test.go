package auditlog

import (
	"context"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// busySink is a sink to which another node publishes just before it is read.
type busySink struct {
	Sink
	before func()
}

func (s busySink) Last(ctx context.Context, origin string) ([]byte, error) {
	s.before()
	return s.Sink.Last(ctx, origin)
}

func (s busySink) All(ctx context.Context, fn func([]byte) error) error {
	s.before()
	return s.Sink.All(ctx, fn)
}

// TestVerifiesALogInUse has a checkpoint published after the verifier read the head.
func TestVerifiesALogInUse(t *testing.T) {
	for _, dialect := range []db.Dialect{db.SQLite, db.PostgreSQL} {
		f := newFixture(t, dialect, fixtureOptions{})
		f.add(t, 5, 1)
		busy := busySink{f.sink, func() {
			f.add(t, 300, 2)
			if err := f.Publish(t.Context()); err != nil {
				t.Error(err)
			}
		}}
		sum, err := Verify(t.Context(), VerifyOptions{DB: f.d, Published: []Sink{busy}, OnProblem: func(p Problem) { t.Error(p) }})
		if err != nil || sum.Problems != 0 || sum.Checkpoints == 0 {
			t.Errorf("%s: %+v, %v", dialect, sum, err)
		}
	}
}

// TestComparesWithAHeadThatIsNotOlder has another node append and publish between the two
// looks of a node that starts, or whose own checkpoint came too late: that is no
// contradiction. A node that took it for one stood still in recovery mode, with all that it
// had taken over.
func TestComparesWithAHeadThatIsNotOlder(t *testing.T) {
	ctx := context.Background()
	url, dir := dbtest.URL(t, db.PostgreSQL), t.TempDir()
	a := newFixture(t, db.PostgreSQL, fixtureOptions{url: url, keyDir: dir + "/keys", sink: dir + "/published.txt", slot: 0})
	b := newFixture(t, db.PostgreSQL, fixtureOptions{url: url, keyDir: dir + "/keys", sink: dir + "/published.txt", slot: 1})
	a.add(t, 5, 1)
	h, err := readHead(ctx, b.d)
	if err != nil {
		t.Fatal(err)
	}
	stale := b.sink
	b.Log.sink = busySink{stale, func() {
		a.add(t, 3, 2)
		if err := a.Publish(ctx); err != nil {
			t.Error(err)
		}
	}}
	defer func() { b.Log.sink = stale }()
	if why, err := b.compare(ctx, h); why != "" || err != nil {
		t.Errorf("%q, %v", why, err)
	}
}
