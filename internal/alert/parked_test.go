package alert_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
)

// TestParkedEventsRaiseOneAlert has a subscriber that fails at everything, the alert about
// itself included: it must come to rest.
func TestParkedEventsRaiseOneAlert(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		stamps := caos.NewStamper(time.Now, time.Time{}, 0, 1)
		var alerts *alert.Store
		outbox, err := event.Open(event.Options{
			DB: d, Stamps: stamps, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			OnPark: func(tx *db.Tx, p event.Parked) error { return alerts.EventParked(tx, p) },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer outbox.Close()
		alerts = alert.New(d, outbox, stamps, nil)
		heard := make(chan string, 10)
		for _, s := range []event.Subscription{
			{Name: "hopeless", Pattern: "*", Handle: func(context.Context, event.Event) error { return caos.Errorf(caos.Invalid, "never") }},
			{Name: "watcher", Pattern: "caos.*.happened", Handle: func(_ context.Context, e event.Event) error { heard <- e.Subject; return nil }},
		} {
			if err := outbox.Subscribe(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := outbox.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"a", "b"} {
			if err := d.Update(context.Background(), func(tx *db.Tx) error {
				return outbox.Emit(tx, event.Event{Type: "caos.thing.happened", Subject: s})
			}); err != nil {
				t.Fatal(err)
			}
			<-heard
		}
		limit := time.After(10 * time.Second)
		for {
			list, err := outbox.Statuses(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			// a, b and the alert about them.
			if list[0].Subscriber == "hopeless" && list[0].Behind == 0 && list[0].Parked == 3 {
				break
			}
			select {
			case <-time.After(time.Millisecond):
			case <-limit:
				t.Fatalf("did not come to rest: %+v", list)
			}
		}
		open, _, err := alerts.List(context.Background(), alert.Filter{Source: "event"}, "")
		if err != nil || len(open) != 1 || open[0].Count != 3 || open[0].Subject != "subscriber:hopeless" {
			t.Errorf("%+v, %v", open, err)
		}
	})
}
