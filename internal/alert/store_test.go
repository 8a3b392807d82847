package alert_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"caos"
	"caos/internal/alert"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fixture struct {
	db     *db.DB
	events *event.Outbox
	alerts *alert.Store
	now    time.Time
}

func setUp(t *testing.T, d *db.DB) *fixture {
	t.Helper()
	f := &fixture{db: d, now: time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)}
	clock := func() time.Time { return f.now }
	stamps := caos.NewStamper(clock, time.Time{}, 0, 1)
	var err error
	if f.events, err = event.Open(event.Options{DB: d, Stamps: stamps, Now: clock}); err != nil {
		t.Fatal(err)
	}
	f.alerts = alert.New(d, f.events, stamps, clock)
	return f
}

func slow() alert.Alert {
	return alert.Alert{
		AlertType: alert.Latency, Severity: alert.Medium, ModelID: "NN-FCS-001", MetricName: "inference_latency_p99",
		CurrentValue: alert.Value(45.2), ThresholdValue: alert.Value(30), AlertMessage: "Latency P99 exceeds threshold",
		RecommendedActions: []string{"investigate", "consider_rollback"}, Subject: "NN-FCS-001@2.1.0", Source: "CAOS.PROD.MONITOR.PERFORMANCE", Project: "fcs",
	}
}

func (f *fixture) raise(t *testing.T, a alert.Alert) string {
	t.Helper()
	var id string
	err := f.db.Update(context.Background(), func(tx *db.Tx) (err error) { id, err = f.alerts.Raise(tx, a); return err })
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (f *fixture) change(fn func(tx *db.Tx, s *alert.Store) (alert.Alert, error)) (a alert.Alert, err error) {
	err = f.db.Update(context.Background(), func(tx *db.Tx) (err error) { a, err = fn(tx, f.alerts); return err })
	return a, err
}

func (f *fixture) get(t *testing.T, id string) alert.Alert {
	t.Helper()
	a, err := f.alerts.Get(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// told lists the events so far, without their common beginning.
func (f *fixture) told(t *testing.T) string {
	t.Helper()
	events, _, err := f.events.Since(context.Background(), event.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, e := range events {
		words = append(words, strings.TrimPrefix(e.Type, "caos.alert."))
	}
	return strings.Join(words, " ")
}

func TestReportHasExactlyTheNineFields(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	f := setUp(t, d)
	text, err := json.Marshal(f.get(t, f.raise(t, slow())).Report())
	const want = `{"alert_id":"ALERT-PERF-20261122T101500.000000Z","alert_type":"LATENCY","severity":"MEDIUM","model_id":"NN-FCS-001",` +
		`"metric_name":"inference_latency_p99","current_value":45.2,"threshold_value":30,"alert_message":"Latency P99 exceeds threshold",` +
		`"recommended_actions":["investigate","consider_rollback"]}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v\nwant %s", text, err, want)
	}
	bare := alert.Alert{AlertType: alert.Anomaly, Severity: alert.Low, MetricName: "m", AlertMessage: "x", Subject: "s", Source: "event", Kind: "EVENT"}
	text, err = json.Marshal(f.get(t, f.raise(t, bare)).Report())
	if err != nil || !strings.Contains(string(text), `"alert_id":"ALERT-EVENT-`) || !strings.Contains(string(text), `"current_value":null,"threshold_value":null`) ||
		!strings.Contains(string(text), `"recommended_actions":[]`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestRepetitionsAddUp(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		f := setUp(t, d)
		id := f.raise(t, slow())
		if f.get(t, id).Count != 1 || f.told(t) != "raised" {
			t.Fatalf("first: %+v, events %q", f.get(t, id), f.told(t))
		}

		f.now = f.now.Add(time.Minute)
		worse := slow()
		worse.CurrentValue, worse.AlertMessage = alert.Value(50), "still"
		if again := f.raise(t, worse); again != id {
			t.Fatalf("the same trouble became alert %s", again)
		}
		a := f.get(t, id)
		if a.Count != 2 || *a.CurrentValue != 50 || a.AlertMessage != "still" || !a.LastSeenAt.After(a.RaisedAt) || f.told(t) != "raised" {
			t.Errorf("second: %+v, events %q", a, f.told(t))
		}

		for _, other := range []func(*alert.Alert){
			func(a *alert.Alert) { a.Subject = "NN-FCS-001@2.1.1" },
			func(a *alert.Alert) { a.MetricName = "inference_latency_p50" },
			func(a *alert.Alert) { a.Source = "person" },
		} {
			a := slow()
			other(&a)
			if f.raise(t, a) == id {
				t.Errorf("another trouble joined the alert: %+v", a)
			}
		}

		if _, err := f.change(func(tx *db.Tx, s *alert.Store) (alert.Alert, error) {
			return s.Close(tx, id, "quality", "replaced the heat sink")
		}); err != nil {
			t.Fatal(err)
		}
		if back := f.raise(t, slow()); back == id {
			t.Error("trouble after the close reopened the closed alert")
		}
	})
}

func TestEscalationReopens(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		f := setUp(t, d)
		id := f.raise(t, slow())
		a, err := f.change(func(tx *db.Tx, s *alert.Store) (alert.Alert, error) { return s.Acknowledge(tx, id, "ops", "looking") })
		if err != nil || a.State != alert.Acknowledged || a.AcknowledgedBy != "ops" || a.AcknowledgedAt == nil {
			t.Fatalf("%+v, %v", a, err)
		}
		milder := slow()
		milder.Severity = alert.Low
		f.raise(t, milder)
		if a := f.get(t, id); a.Severity != alert.Medium || a.State != alert.Acknowledged {
			t.Errorf("a milder repetition: %+v", a)
		}
		graver := slow()
		graver.Severity = alert.Critical
		f.raise(t, graver)
		if a := f.get(t, id); a.Severity != alert.Critical || a.State != alert.Open || a.AcknowledgedAt != nil || a.AcknowledgedBy != "" || a.Count != 3 {
			t.Errorf("a graver repetition: %+v", a)
		}
		if got := f.told(t); got != "raised acknowledged escalated" {
			t.Errorf("events %q", got)
		}
	})
}

func TestStatesChangeInOneDirection(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		f := setUp(t, d)
		id := f.raise(t, slow())
		acknowledge := func(id string) error {
			_, err := f.change(func(tx *db.Tx, s *alert.Store) (alert.Alert, error) { return s.Acknowledge(tx, id, "ops", "") })
			return err
		}
		closing := func(id, reason string) error {
			_, err := f.change(func(tx *db.Tx, s *alert.Store) (alert.Alert, error) { return s.Close(tx, id, "ops", reason) })
			return err
		}
		for _, c := range []struct {
			what string
			err  error
			want caos.Kind
		}{
			{"close without a reason", closing(id, " "), caos.Invalid},
			{"acknowledge", acknowledge(id), ""},
			{"acknowledge again", acknowledge(id), caos.Conflict},
			{"close", closing(id, "done"), ""},
			{"close again", closing(id, "done"), caos.Conflict},
			{"acknowledge the closed", acknowledge(id), caos.Conflict},
			{"acknowledge nothing", acknowledge("ALERT-PERF-20260101T000000.000000Z"), caos.NotFound},
			{"acknowledge rubbish", acknowledge("x\x00"), caos.NotFound},
		} {
			if got := caos.KindOf(c.err); got != c.want {
				t.Errorf("%s: %v", c.what, c.err)
			}
		}
		if a := f.get(t, id); a.State != alert.Closed || a.ClosedBy != "ops" || a.Note != "done" || a.Version != 3 || a.AcknowledgedBy != "ops" {
			t.Errorf("%+v", a)
		}
	})
}

func TestAlertDiesWithItsTransaction(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		var broken atomic.Int64
		d := dbtest.OpenWith(t, db.Options{URL: dbtest.URL(t, dialect), Fault: &db.Fault{At: func(p db.Point) db.Action {
			if p == db.Point(broken.Load()) {
				return db.Fail
			}
			return db.Proceed
		}}})
		f := setUp(t, d)
		raise := func() error {
			return d.Update(context.Background(), func(tx *db.Tx) error { _, err := f.alerts.Raise(tx, slow()); return err })
		}
		broken.Store(int64(db.AtCommit))
		if err := raise(); !errors.Is(err, db.ErrAborted) {
			t.Fatalf("lost: %v", err)
		}
		broken.Store(-1)
		if list, _, err := f.alerts.List(context.Background(), alert.Filter{}, ""); err != nil || len(list) != 0 || f.told(t) != "" {
			t.Fatalf("after a lost transaction: %v %v, events %q", list, err, f.told(t))
		}
		// Kept although it reported an error: the caller raises again, and that is one alert.
		broken.Store(int64(db.AtCommitted))
		if err := raise(); !errors.Is(err, db.ErrUnknown) {
			t.Fatalf("kept: %v", err)
		}
		broken.Store(-1)
		if err := raise(); err != nil {
			t.Fatal(err)
		}
		if list, _, err := f.alerts.List(context.Background(), alert.Filter{}, ""); err != nil || len(list) != 1 || f.told(t) != "raised" {
			t.Fatalf("after an unknown outcome: %v %v, events %q", list, err, f.told(t))
		}
	})
}

func TestListPagesAndFilters(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		f := setUp(t, d)
		for i := range 7 {
			a := slow()
			a.Subject = fmt.Sprint(i)
			if i%2 == 1 {
				a.Severity, a.Project, a.AlertType = alert.High, "eng", alert.Drift
			}
			f.raise(t, a)
		}
		var seen []string
		cursor := ""
		for {
			page, next, err := f.alerts.List(context.Background(), alert.Filter{Limit: 3}, cursor)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range page {
				seen = append(seen, a.Subject)
			}
			if cursor = next; next == "" {
				break
			}
		}
		if got := strings.Join(seen, ""); got != "6543210" {
			t.Errorf("pages give %s", got)
		}
		for name, c := range map[string]struct {
			f    alert.Filter
			want int
		}{
			"all":      {alert.Filter{Limit: 5000}, 7},
			"severity": {alert.Filter{MinSeverity: alert.High}, 3},
			"project":  {alert.Filter{Project: "fcs"}, 4},
			"type":     {alert.Filter{Type: alert.Drift, Unclosed: true}, 3},
			"state":    {alert.Filter{State: alert.Closed}, 0},
			"subject":  {alert.Filter{Subject: "3", ModelID: "NN-FCS-001", Source: "CAOS.PROD.MONITOR.PERFORMANCE"}, 1},
		} {
			page, next, err := f.alerts.List(context.Background(), c.f, "")
			if err != nil || len(page) != c.want || next != "" {
				t.Errorf("%s: %d alerts, next %q, %v", name, len(page), next, err)
			}
		}
		for name, bad := range map[string]func() error{
			"cursor": func() error { _, _, err := f.alerts.List(context.Background(), alert.Filter{}, "!"); return err },
			"severity": func() error {
				_, _, err := f.alerts.List(context.Background(), alert.Filter{MinSeverity: "BAD"}, "")
				return err
			},
			"subject": func() error {
				_, _, err := f.alerts.List(context.Background(), alert.Filter{Subject: "a\x00"}, "")
				return err
			},
		} {
			if err := bad(); caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field != name {
				t.Errorf("%s: %v", name, err)
			}
		}
		counts, err := f.alerts.CountOpen(context.Background())
		if err != nil || counts[alert.Medium] != 4 || counts[alert.High] != 3 || counts[alert.Critical] != 0 || len(counts) != 4 {
			t.Errorf("counts %v, %v", counts, err)
		}
		if _, err := f.alerts.Get(context.Background(), "ALERT-\x00"); caos.KindOf(err) != caos.NotFound {
			t.Errorf("Get of rubbish: %v", err)
		}
	})
}

func TestManyRaiseTheSame(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		f := setUp(t, d)
		const callers = 20
		ids := make([]string, callers)
		var wg sync.WaitGroup
		for i := range callers {
			write := d.Update
			if i%2 == 0 {
				write = d.Write // outside the one audited writer: the unique index decides
			}
			wg.Go(func() {
				err := write(context.Background(), func(tx *db.Tx) (err error) { ids[i], err = f.alerts.Raise(tx, slow()); return err })
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, id := range ids {
			if id != ids[0] {
				t.Fatalf("two alerts for one trouble: %q", ids)
			}
		}
		if a := f.get(t, ids[0]); a.Count != callers || f.told(t) != "raised" {
			t.Errorf("counted %d of %d, events %q", a.Count, callers, f.told(t))
		}
	})
}

func TestRaiseRefuses(t *testing.T) {
	f := setUp(t, dbtest.Open(t, db.SQLite))
	for field, spoil := range map[string]func(*alert.Alert){
		"alert_type":          func(a *alert.Alert) { a.AlertType = "latency" },
		"severity":            func(a *alert.Alert) { a.Severity = "" },
		"kind":                func(a *alert.Alert) { a.Kind = "perf" },
		"metric_name":         func(a *alert.Alert) { a.MetricName = "" },
		"source":              func(a *alert.Alert) { a.Source = "" },
		"subject":             func(a *alert.Alert) { a.Subject = strings.Repeat("s", 201) },
		"alert_message":       func(a *alert.Alert) { a.AlertMessage = " " },
		"recommended_actions": func(a *alert.Alert) { a.RecommendedActions = make([]string, 21) },
		"current_value":       func(a *alert.Alert) { a.CurrentValue = alert.Value(math.NaN()) },
		"threshold_value":     func(a *alert.Alert) { a.ThresholdValue = alert.Value(math.Inf(1)) },
		"model_id":            func(a *alert.Alert) { a.ModelID = "FCS" },
	} {
		a := slow()
		spoil(&a)
		err := f.db.Update(context.Background(), func(tx *db.Tx) error { _, err := f.alerts.Raise(tx, a); return err })
		if caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	long := slow()
	long.AlertMessage = strings.Repeat("ä", 3000) + "\x00"
	if a := f.get(t, f.raise(t, long)); len(a.AlertMessage) > 2010 {
		t.Errorf("a message of %d bytes was kept", len(a.AlertMessage))
	}
}
