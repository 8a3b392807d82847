package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/event"
	"caos/internal/hook"
	"caos/internal/policy"
)

const auditHook = "CAOS.PROD.CERT.AUDIT"

// clock is a clock that tests move by hand.
type clock struct{ micros atomic.Int64 }

func (c *clock) now() time.Time       { return time.UnixMicro(c.micros.Load()).UTC() }
func (c *clock) move(d time.Duration) { c.micros.Add(d.Microseconds()) }
func (c *clock) set(t time.Time)      { c.micros.Store(t.UnixMicro()) }

// faults break the transaction that is as many away as the counter says.
type faults struct {
	at     db.Point
	action db.Action
	left   atomic.Int64 // transactions until the fault; negative: none
}

func (f *faults) ask(p db.Point) db.Action {
	if p == f.at && f.left.Load() >= 0 && f.left.Add(-1) == -1 {
		return f.action
	}
	return db.Proceed
}

// world is one life of a node on the real stack, with a hook service that can be made to
// fail.
type world struct {
	t      *testing.T
	d      *db.DB
	clock  *clock
	faults *faults
	stamps *caos.Stamper
	log    *auditlog.Log
	auth   *auth.Auth
	eng    *engine.Engine
	hooks  *flaky
	outbox *event.Outbox
	alerts *alert.Store
	sealer Sealer
	svc    *Service
}

// flaky is the real hook service with failures before and behind it.
type flaky struct {
	*hook.Service
	mu     sync.Mutex
	before func(Submission) error // instead of submitting
	after  func(Submission) error // instead of the answer
	asked  []Submission
}

func (f *flaky) Known(id string) bool { return f.Lookup(id) != nil }

func (f *flaky) Submit(ctx context.Context, sub Submission) (string, error) {
	f.mu.Lock()
	f.asked = append(f.asked, sub)
	before, after := f.before, f.after
	f.mu.Unlock()
	if before != nil {
		if err := before(sub); err != nil {
			return "", err
		}
	}
	x, err := f.Service.Submit(ctx, hook.Request{Hook: sub.Hook, Body: sub.Input, ContentType: "application/json", IdemKey: sub.Key, By: sub.By})
	if err != nil {
		return "", err
	}
	if after != nil {
		if lost := after(sub); lost != nil {
			return "", lost
		}
	}
	return x.ID, nil
}

func (f *flaky) fail(before, after func(Submission) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

// each runs a test on both databases.
func each(t *testing.T, fn func(t *testing.T, w *world)) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		f := &faults{}
		f.left.Store(-1)
		d := dbtest.OpenWith(t, db.Options{URL: dbtest.URL(t, dialect), Fault: &db.Fault{At: f.ask}, Log: slog.New(slog.DiscardHandler)})
		fn(t, newWorld(t, d, f))
	})
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants fails the test unless err is of a kind, and of a field if one is named.
func wants(t testing.TB, err error, kind caos.Kind, field ...string) {
	t.Helper()
	if caos.KindOf(err) != kind || len(field) > 0 && caos.AsError(err).Field != field[0] {
		t.Fatalf("got %v (%s %q), want %s %q", err, caos.KindOf(err), caos.AsError(err).Field, kind, field)
	}
}

func newWorld(t *testing.T, d *db.DB, f *faults) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t, d: d, clock: &clock{}, faults: f}
	w.clock.set(time.Date(2026, 11, 22, 10, 15, 30, 0, time.UTC))
	w.stamps = caos.NewStamper(w.clock.now, time.Time{}, 0, 1)
	discard := slog.New(slog.DiscardHandler)
	w.log = must(auditlog.Open(ctx, auditlog.Options{DB: d, Origin: "caos.test/log", Stamps: w.stamps, Now: w.clock.now, Log: discard}))(t)
	policies := must(policy.Load())(t)
	sealer := must(auth.OpenFileSealer(t.TempDir()))(t)
	w.sealer = sealer
	w.auth = must(auth.New(auth.Options{DB: d, Log: w.log, Policies: policies, Sealer: sealer, Origin: "caos.test/log", Now: w.clock.now, Logger: discard}))(t)
	must(w.auth.Bootstrap(ctx, []auth.NewUser{
		{ID: "root", Name: "Root"},
		{ID: "mo", Name: "Mo", Roles: []string{"mlops-engineer"}},
		{ID: "max", Name: "Max", Roles: []string{"mlops-engineer"}, Scope: &auth.Scope{Projects: []string{"P1"}}},
		{ID: "aud", Name: "Aud", Roles: []string{"auditor"}},
		{ID: "bot", Name: "Bot", Kind: auth.Service, Roles: []string{"service"}},
		{ID: "dull", Name: "Dull", Kind: auth.Service},
	}))(t)
	h := hook.CertAudit(directory{w.auth}, policies, hook.ChainPolicy{}, "https://caos.test")
	w.outbox = must(event.Open(event.Options{DB: d, Stamps: w.stamps, Now: w.clock.now, Log: discard}))(t)
	w.eng = must(engine.New(engine.Options{DB: d, Log: w.log, Stamps: w.stamps, Now: w.clock.now, Flows: []*engine.Flow{h.Flow}, Logger: discard,
		Announce: func(tx *db.Tx, x engine.Execution) error {
			return w.outbox.Emit(tx, event.Event{Type: "caos.execution.succeeded", Subject: x.ID, Project: x.Project,
				Data: map[string]any{"execution_id": x.ID, "hook_id": x.HookID, "status": x.Status}})
		}}))(t)
	ok(t, w.eng.Start(ctx))
	t.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		if err := w.eng.Stop(stop); err != nil {
			t.Error(err)
		}
	})
	service := must(hook.NewService(ctx, hook.ServiceOptions{DB: d, Engine: w.eng, Auth: w.auth, Log: w.log, Hooks: []*hook.Hook{h}, Now: w.clock.now, Logger: discard}))(t)
	w.hooks = &flaky{Service: service}
	w.alerts = alert.New(d, w.outbox, w.stamps, w.clock.now)
	w.svc = w.service(w.outbox)
	return w
}

// service makes a Service as a start of the program does.
func (w *world) service(o *event.Outbox) *Service {
	return must(New(Options{DB: w.d, Log: w.log, Events: o, Alerts: w.alerts, Auth: w.auth, Hooks: w.hooks, Sealer: w.sealer, Now: w.clock.now,
		Logger: slog.New(slog.DiscardHandler), MaxPerMinute: 20}))(w.t)
}

// restart is a new life of the node.
func (w *world) restart() {
	w.svc = w.service(must(event.Open(event.Options{DB: w.d, Stamps: w.stamps, Now: w.clock.now}))(w.t))
}

type directory struct{ *auth.Auth }

func (directory) UnknownResources(*db.Tx, []string) ([]string, error) { return nil, nil }
func (directory) Authorization(*db.Tx, string, string, []string) (bool, bool, []string, error) {
	return true, true, nil, nil
}
func (directory) MayActFor(*db.Tx, caos.Principal, string) bool { return false }

// as is a person with a second factor.
func as(id string, roles ...string) caos.Principal {
	return caos.Principal{ID: id, Roles: roles, MFA: "totp"}
}

func mo() caos.Principal { return as("mo", "mlops-engineer") }

const input = `{"action_type":"CONFIG_CHANGE","actor_id":"${trigger.runs_as}","timestamp":"${event.time}",
 "affected_resources":["NN-FCS-001"],"action_details":{"cause":"${event.id}","note":"$${event.id}"}}`

func onPackage() Definition {
	return Definition{Name: "closed", Kind: KindEvent, Hook: auditHook, Input: json.RawMessage(input), EventType: "caos.package.*",
		Where: map[string]any{"data.full_coverage": true}, RunsAs: "bot", Enabled: true}
}

func hourly() Definition {
	return Definition{Name: "hourly", Kind: KindCron, Hook: auditHook, Input: json.RawMessage(input), Cron: "0 * * * *", RunsAs: "bot", Enabled: true}
}

func called() Definition {
	return Definition{Name: "called", Kind: KindWebhook, Hook: auditHook, RunsAs: "bot", Enabled: true,
		Input: json.RawMessage(`{"action_type":"${event.data.action}","actor_id":"bot","timestamp":"${event.time}","affected_resources":"${event.data.models}","action_details":"${event.data}"}`)}
}

func (w *world) create(d Definition) (*Trigger, string) {
	w.t.Helper()
	t, secret, err := w.svc.Create(w.t.Context(), mo(), d)
	ok(w.t, err)
	return t, secret
}

func (w *world) get(name string) *Trigger {
	w.t.Helper()
	return must(w.svc.Get(w.t.Context(), name))(w.t)
}

// hear gives an event to the service as the outbox does: in the transaction that moves a
// cursor, until that is committed.
func (w *world) hear(e event.Event) {
	w.t.Helper()
	if e.Data != nil {
		e.Data = json.RawMessage(must(json.Marshal(e.Data))(w.t))
	}
	e.Time = w.clock.now()
	for range 10 {
		err := w.d.Update(w.t.Context(), func(tx *db.Tx) error {
			tx.Exec(`INSERT INTO settings_heard (event_id) VALUES ($1)`, e.ID)
			return w.svc.onEvent(tx, e)
		})
		if err == nil || db.IsUnique(err) {
			return
		}
		if !errors.Is(err, db.ErrAborted) && !errors.Is(err, db.ErrUnknown) {
			w.t.Fatal(err)
		}
	}
	w.t.Fatal("the event was never heard")
}

func (w *world) cursor() {
	w.t.Helper()
	ok(w.t, w.d.Write(w.t.Context(), func(tx *db.Tx) error {
		tx.Exec(`CREATE TABLE settings_heard (event_id TEXT PRIMARY KEY)`)
		return nil
	}))
}

func closedEvent(n int) event.Event {
	return event.Event{ID: "EVENT-" + strconv.Itoa(n), Type: "caos.package.closed", Subject: "CERT-PKG-1", Data: map[string]any{"package_id": "CERT-PKG-1", "full_coverage": true}}
}

// settle does what the worker does in the background, until nothing is due.
func (w *world) settle() error {
	w.t.Helper()
	for range 20 {
		more, err := w.svc.dispatch(w.t.Context())
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// executions counts the executions there are.
func (w *world) executions() int {
	w.t.Helper()
	var n int
	ok(w.t, w.d.QueryRow(w.t.Context(), `SELECT count(*) FROM executions`).Scan(&n))
	return n
}

// alarm returns the open alert of a trigger, nil if there is none.
func (w *world) alarm(name, metric string) *alert.Alert {
	w.t.Helper()
	list, _, err := w.alerts.List(w.t.Context(), alert.Filter{Unclosed: true, Subject: "trigger:" + name, Limit: 50}, "")
	ok(w.t, err)
	for _, a := range list {
		if a.MetricName == metric {
			return &a
		}
	}
	return nil
}

// states counts the firings by state.
func (w *world) states() map[state]int {
	w.t.Helper()
	rows := must(w.d.Query(w.t.Context(), `SELECT state, count(*) FROM trigger_firings GROUP BY state`))(w.t)
	defer rows.Close()
	out := map[state]int{}
	for rows.Next() {
		var st string
		var n int
		ok(w.t, rows.Scan(&st, &n))
		out[state(st)] = n
	}
	return out
}

// records counts the audit records of an event.
func (w *world) records(what string) int {
	w.t.Helper()
	rows := must(w.d.Query(w.t.Context(), `SELECT record FROM audit_records`))(w.t)
	defer rows.Close()
	n := 0
	for rows.Next() {
		var text string
		ok(w.t, rows.Scan(&text))
		var r struct {
			Details struct{ Event string }
		}
		ok(w.t, json.Unmarshal([]byte(text), &r))
		if r.Details.Event == what {
			n++
		}
	}
	return n
}
