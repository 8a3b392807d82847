package engine

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// A step that waits for a signal looks each time that somebody outside changed what it looks
// at, also before it waits; nobody else's wait is disturbed.
func TestSignal(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		seen := func(tx *db.Tx) (n int, err error) {
			err = tx.QueryRow(`SELECT COUNT(*) FROM effects WHERE trace LIKE 'sign-%'`).Scan(&n)
			return n, err
		}
		kinds := make(chan WakeKind, 100)
		listen := Plan[sampleState]{Hook: "CAOS.PROD.TEST.LISTEN", Version: "1.0.0", Revision: 1, Schema: 1,
			Begin: func(*Run, json.RawMessage) (*sampleState, error) { return &sampleState{}, nil },
			Steps: []Step[sampleState]{Wait(1, "Listen", "listen",
				func(_ *db.Tx, r *Run, _ *sampleState) (WaitSpec, error) {
					return WaitSpec{Until: r.Now.Add(time.Hour), Signal: true}, nil
				},
				func(tx *db.Tx, _ *Run, s *sampleState, w Wake) (bool, error) {
					kinds <- w.Kind
					var err error
					s.Rounds, err = seen(tx)
					return s.Rounds >= 3, err
				})},
			Output: func(s *sampleState) any { return s }}
		w := start(t, d, t.TempDir(), nil, listen.Flow(), sample(newOutside()).Flow())
		x, err := w.eng.Submit(ctx, Submission{Hook: "CAOS.PROD.TEST.LISTEN", Input: json.RawMessage(`{}`), By: by()})
		if err != nil || x.Status != Waiting {
			t.Fatalf("%s %v", show(x), err)
		}
		other, err := w.submit("EXEC-OTHER")
		if err != nil {
			t.Fatal(err)
		}
		before := w.until(other.ID, Waiting)
		for _, sign := range []string{"sign-1", "sign-2", "sign-3"} {
			if err := d.Update(ctx, func(tx *db.Tx) error {
				tx.Exec(`INSERT INTO effects (trace) VALUES ($1)`, sign)
				w.eng.Wake(tx, x.ID)
				w.eng.Wake(tx, other.ID)
				w.eng.Wake(tx, "EXEC-NOBODY")
				return tx.Err()
			}); err != nil {
				t.Fatal(err)
			}
			select {
			case kind := <-kinds:
				if kind != WakeSignal {
					t.Errorf("woken by %s", kind)
				}
			case <-time.After(patience):
				t.Fatal("nobody woke")
			}
		}
		if w.until(x.ID, Succeeded); w.until(other.ID, Waiting).Version != before.Version {
			t.Error("another wait was disturbed")
		}
	})
}
