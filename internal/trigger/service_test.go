package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/event"
	"caos/internal/hook"
)

func TestEventStartsHook(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.cursor()
		w.create(onPackage())
		w.hear(closedEvent(1))
		for range 2 { // delivered again, by somebody whose cursor did not move
			e := closedEvent(1)
			e.Data = json.RawMessage(`{"full_coverage":true}`)
			ok(t, w.d.Update(t.Context(), func(tx *db.Tx) error { return w.svc.onEvent(tx, e) }))
			ok(t, w.settle())
		}
		w.hear(event.Event{ID: "EVENT-2", Type: "caos.package.closed", Data: map[string]any{"full_coverage": false}})
		w.hear(event.Event{ID: "EVENT-3", Type: "caos.other.closed", Data: map[string]any{"full_coverage": true}})
		w.hear(event.Event{ID: "EVENT-4", Type: "caos.package.closed"})
		ok(t, w.settle())
		tr := w.get("closed")
		if w.executions() != 1 || tr.Fired != 1 || tr.Submitted != 1 || tr.Refused != 0 || tr.LastExecution == "" {
			t.Fatalf("%d executions: %+v", w.executions(), tr)
		}
		x := must(w.eng.Get(t.Context(), tr.LastExecution))(t)
		var in hook.AuditInput
		ok(t, json.Unmarshal(x.Input, &in))
		if in.ActorID != "bot" || in.ActionDetails["cause"] != "EVENT-1" || in.ActionDetails["note"] != "${event.id}" || x.RequestedBy != "bot" {
			t.Errorf("%s by %s", x.Input, x.RequestedBy)
		}
		if req := w.hooks.asked[0]; req.By.EnabledBy != "mo" || req.By.ID != "bot" || req.Key != "trigger/closed/EVENT-1" {
			t.Errorf("%+v", req)
		}
		if w.records("trigger-created") != 1 || w.records("trigger-fired") != 1 {
			t.Error("not recorded")
		}
	})
}

// TestThroughTheOutbox runs everything as a node does.
func TestThroughTheOutbox(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.create(onPackage())
		ok(t, w.outbox.Start(t.Context()))
		defer w.outbox.Close()
		ok(t, w.svc.Start(t.Context()))
		defer w.svc.Close()
		w.faults.at, w.faults.action = db.AtCommitted, db.Fail
		for n := range 5 {
			e := closedEvent(n)
			w.faults.left.Store(1) // the answer to the commit after the emission's is lost
			err := w.d.Update(t.Context(), func(tx *db.Tx) error { return w.outbox.Emit(tx, e) })
			if err != nil && !errors.Is(err, db.ErrUnknown) { // here it was committed
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for w.get("closed").Submitted < 5 {
			select {
			case <-tick.C:
				w.clock.move(time.Second) // a lease may have to run out
			case <-ctx.Done():
				t.Fatalf("%+v", w.get("closed"))
			}
		}
		if w.executions() != 5 {
			t.Errorf("%d executions", w.executions())
		}
		if err := w.svc.Start(t.Context()); err == nil {
			t.Error("started twice")
		}
	})
}

// TestCrash breaks every commit between an event and its execution, before and after it took
// effect, and starts again: there is one execution each time.
func TestCrash(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.cursor()
		w.create(onPackage())
		n := 0
		for _, fault := range []struct {
			at     db.Point
			action db.Action
		}{{db.AtCommit, db.Fail}, {db.AtCommitted, db.Fail}, {db.AtCommit, db.Kill}, {db.AtBegin, db.Fail}} {
			for nth := range 5 {
				n++
				w.clock.move(2 * time.Minute) // another minute, for the rate
				w.faults.at, w.faults.action = fault.at, fault.action
				w.faults.left.Store(int64(nth))
				w.hear(closedEvent(n))
				_ = w.settle()
				fired := w.faults.left.Swap(-1) < 0
				w.restart()
				for range 3 {
					w.clock.move(lease + time.Second)
					ok(t, w.settle())
				}
				if w.executions() != n || w.get("closed").Submitted != int64(n) || w.get("closed").Fired != int64(n) {
					t.Fatalf("point %d, action %d, transaction %d: %d executions of %d: %+v", fault.at, fault.action, nth, w.executions(), n, w.get("closed"))
				}
				if !fired && nth < 4 {
					t.Errorf("transaction %d was not reached", nth)
				}
			}
		}
		if w.alarm("closed", "trigger_refused") != nil || w.states()[pending] != 0 {
			t.Error("something was refused or is left")
		}
	})
}

// TestTwoNodes: whoever takes a firing has it alone.
func TestTwoNodes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.cursor()
		w.create(onPackage())
		w.create(hourly())
		one := w.svc
		w.restart()
		two := w.svc
		for n := range 10 {
			w.hear(closedEvent(n))
		}
		w.clock.move(time.Hour)
		var both sync.WaitGroup
		for _, s := range []*Service{one, two} {
			both.Go(func() {
				if err := s.schedules(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := s.dispatch(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		ok(t, w.settle())
		if len(w.hooks.asked) != 11 || w.executions() != 11 || w.get("closed").Submitted != 10 || w.get("hourly").Fired != 1 {
			t.Errorf("%d submissions, %d executions", len(w.hooks.asked), w.executions())
		}
	})
}

// TestStopInTheMiddle: a node that is told to stop during a submission hands it on at once.
func TestStopInTheMiddle(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.cursor()
		w.create(onPackage())
		w.hear(closedEvent(1))
		ctx, stop := context.WithCancel(t.Context())
		w.hooks.fail(func(Submission) error { stop(); return context.Cause(ctx) }, nil)
		if _, err := w.svc.dispatch(ctx); err != nil {
			t.Fatal(err)
		}
		w.hooks.fail(nil, nil)
		w.restart()
		ok(t, w.settle()) // the clock has not moved
		if w.executions() != 1 || w.get("closed").Submitted != 1 || w.alarm("closed", "trigger_refused") != nil {
			t.Errorf("%d executions", w.executions())
		}
	})
}

// TestAnswerLost: the execution is there although its submission reported an error.
func TestAnswerLost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.cursor()
		w.create(onPackage())
		lost := func(Submission) error { return caos.Errorf(caos.Unavailable, "no answer") }
		w.hooks.fail(nil, lost)
		w.hear(closedEvent(1))
		ok(t, w.settle())
		if tr := w.get("closed"); tr.LastError != "no answer" || tr.Submitted != 0 || w.states()[pending] != 1 {
			t.Errorf("%+v", tr)
		}
		// What is changed meanwhile does not make it another submission.
		d := onPackage()
		d.Input = json.RawMessage(strings.Replace(input, "NN-FCS-001", "NN-FCS-002", 1))
		must(w.svc.Update(t.Context(), Change{By: mo(), IfRevision: -1}, d))(t)
		w.hooks.fail(nil, nil)
		ok(t, w.settle()) // too early
		if w.get("closed").Submitted != 0 {
			t.Error("the pause was not kept")
		}
		w.clock.move(firstPause)
		ok(t, w.settle())
		if tr := w.get("closed"); w.executions() != 1 || tr.Submitted != 1 {
			t.Errorf("%d executions, %+v", w.executions(), tr)
		}
	})
}

// TestRefusedHoldsUpNobody: a trigger that cannot be submitted has an alert, once, and the
// others go on.
func TestRefusedHoldsUpNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.cursor()
		bad := onPackage()
		bad.Name, bad.Input = "bad", json.RawMessage(`{"action_type":"NOTHING"}`)
		w.create(bad)
		missing := onPackage()
		missing.Name, missing.Input = "missing", json.RawMessage(`{"action_type":"${event.data.nowhere.else}"}`)
		w.create(missing)
		w.create(onPackage())
		for n := range 3 {
			w.hear(closedEvent(n))
			ok(t, w.settle())
		}
		if w.executions() != 3 || w.get("closed").Submitted != 3 {
			t.Errorf("%d executions", w.executions())
		}
		for _, name := range []string{"bad", "missing"} {
			a := w.alarm(name, "trigger_refused")
			if tr := w.get(name); tr.Refused != 3 || tr.Fired != 3 || !tr.Enabled || tr.LastError == "" || a == nil || a.Count != 3 {
				t.Errorf("%s: %+v, alert %+v", name, tr, a)
			}
		}
		if !strings.Contains(w.get("missing").LastError, "input.action_type: ${event.data.nowhere.else}") {
			t.Error(w.get("missing").LastError)
		}
		asked := len(w.hooks.asked)
		w.clock.move(time.Hour)
		ok(t, w.settle())
		if len(w.hooks.asked) != asked || w.states()[pending] != 0 {
			t.Error("a refused firing is tried again")
		}
		// What fails for a passing reason is tried a bounded number of times.
		w.hooks.fail(func(Submission) error { return caos.Errorf(caos.Unavailable, "down") }, nil)
		w.hear(closedEvent(9))
		for range 40 {
			w.clock.move(longestPause)
			ok(t, w.settle())
		}
		if got := len(w.hooks.asked) - asked; got != 2*maxAttempts || w.states()[pending] != 0 || w.alarm("closed", "trigger_refused") == nil {
			t.Errorf("%d attempts, %v", got, w.states())
		}
	})
}

func TestEnableAndDisable(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.cursor()
		ctx := t.Context()
		d := onPackage()
		d.Enabled = false
		w.create(d)
		w.hear(closedEvent(1))
		ok(t, w.settle())
		if tr := w.get("closed"); tr.EnabledBy != "" || tr.Fired != 0 {
			t.Errorf("%+v", tr)
		}
		tr := must(w.svc.Enable(ctx, Change{By: mo(), IfRevision: 1}, "closed"))(t)
		if tr.EnabledBy != "mo" || tr.Revision != 2 || tr.EnabledAt == nil {
			t.Errorf("%+v", tr)
		}
		w.hear(closedEvent(2))
		must(w.svc.Disable(ctx, Change{By: mo(), IfRevision: -1}, "closed"))(t) // before it was submitted
		w.hear(closedEvent(3))
		ok(t, w.settle())
		if w.executions() != 0 || w.states()[dropped] != 1 {
			t.Errorf("%d executions, %v", w.executions(), w.states())
		}
		_, err := w.svc.Enable(ctx, Change{By: mo(), IfRevision: 2}, "closed")
		wants(t, err, caos.Conflict, "If-Match")
		_, err = w.svc.Enable(ctx, Change{By: as("aud", "auditor"), IfRevision: -1}, "closed")
		wants(t, err, caos.Denied)
		weak := mo()
		weak.MFA = ""
		_, err = w.svc.Enable(ctx, Change{By: weak, IfRevision: -1}, "closed")
		wants(t, err, caos.StepUp)
		_, err = w.svc.Enable(ctx, Change{By: as("max", "mlops-engineer"), IfRevision: -1}, "closed") // scoped to P1, the trigger is in none
		wants(t, err, caos.Denied)
		wants(t, w.svc.Delete(ctx, Change{By: mo(), IfRevision: 1}, "closed"), caos.Conflict, "If-Match")
		ok(t, w.svc.Delete(ctx, Change{By: mo(), IfRevision: -1}, "closed"))
		_, err = w.svc.Get(ctx, "closed")
		wants(t, err, caos.NotFound)
		wants(t, w.svc.Delete(ctx, Change{By: mo(), IfRevision: -1}, "closed"), caos.NotFound)
		for _, what := range []string{"trigger-created", "trigger-enabled", "trigger-disabled", "trigger-deleted"} {
			if w.records(what) != 1 {
				t.Errorf("%d records of %s", w.records(what), what)
			}
		}
	})
}

// TestWhoEnabledIt: the trigger stops, with an alert, when the person behind it may not write
// triggers any more, or its account is gone.
func TestWhoEnabledIt(t *testing.T) {
	root := as("root", "admin")
	for name, lose := range map[string]func(w *world) error{
		"role":    func(w *world) error { return w.auth.RevokeRole(w.t.Context(), root, "mo", "mlops-engineer") },
		"account": func(w *world) error { return w.auth.DisableUser(w.t.Context(), root, "mo") },
		"service": func(w *world) error { return w.auth.DisableUser(w.t.Context(), root, "bot") },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.cursor()
				w.create(onPackage())
				w.create(hourly())
				_, secret := w.create(called())
				w.hear(closedEvent(1))
				ok(t, w.settle())
				if w.executions() != 1 {
					t.Fatal("it does not work at all")
				}
				ok(t, lose(w))
				w.hear(closedEvent(2))
				w.hear(closedEvent(3))
				w.clock.move(time.Hour)
				ok(t, w.svc.schedules(t.Context()))
				ok(t, w.settle())
				_, err := w.svc.Receive(t.Context(), w.delivery(secret, "msg-1", `{"action":"CONFIG_CHANGE","models":["NN-FCS-001"]}`))
				wants(t, err, caos.Invalid)
				if w.executions() != 1 {
					t.Errorf("%d executions", w.executions())
				}
				for _, name := range []string{"closed", "hourly", "called"} {
					tr := w.get(name)
					if tr.Enabled || tr.Stopped == "" || tr.Refused == 0 || w.alarm(name, "trigger_stopped") == nil {
						t.Errorf("%+v", tr)
					}
				}
				if w.records("trigger-stopped") != 3 {
					t.Errorf("%d records", w.records("trigger-stopped"))
				}
			})
		})
	}
}

func TestSchedule(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		tr, _ := w.create(hourly()) // made at 10:15:30
		if want := "2026-11-22 11:00:00 +0000 UTC"; tr.NextAt == nil || tr.NextAt.String() != want {
			t.Fatalf("%v", tr.NextAt)
		}
		strike := func() int {
			t.Helper()
			ok(t, w.svc.schedules(ctx))
			ok(t, w.svc.schedules(ctx)) // another node
			ok(t, w.settle())
			return w.executions()
		}
		if strike() != 0 {
			t.Error("too early")
		}
		w.clock.set(time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC))
		if strike() != 1 {
			t.Error("not at its time")
		}
		if got := w.hooks.asked[0].Key; got != "trigger/hourly/20261122T110000.000000Z" {
			t.Error(got)
		}
		w.clock.set(time.Date(2026, 11, 22, 17, 59, 59, 0, time.UTC)) // the machine was off
		if strike() != 2 {
			t.Errorf("%d executions after six missed times", w.executions())
		}
		w.clock.set(time.Date(2026, 11, 22, 16, 30, 0, 0, time.UTC)) // the clock jumps back
		if strike() != 2 {
			t.Error("again after the clock jumped back")
		}
		w.clock.set(time.Date(2026, 11, 22, 17, 0, 0, 0, time.UTC)) // that has fired
		if strike() != 2 {
			t.Error("the same nominal time twice")
		}
		w.clock.set(time.Date(2026, 11, 22, 18, 0, 1, 0, time.UTC))
		if strike() != 3 {
			t.Error("it does not go on")
		}
		must(w.svc.Disable(ctx, Change{By: mo(), IfRevision: -1}, "hourly"))(t)
		w.clock.move(10 * time.Hour)
		if strike() != 3 || w.get("hourly").NextAt != nil {
			t.Error("disabled, and it fires")
		}
		must(w.svc.Enable(ctx, Change{By: mo(), IfRevision: -1}, "hourly"))(t)
		if strike() != 3 {
			t.Error("it makes up for the time that it was disabled")
		}
	})
}

// TestDaylight: a nominal time is one of the zone's. The hour that
// comes twice counts once.
func TestDaylight(t *testing.T) {
	at := time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC)
	for _, want := range []string{"2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"} {
		at = must(event.NextTick("30 2 * * *", "Europe/Paris", at))(t)
		if at.Format(time.RFC3339) != want {
			t.Errorf("%s, want %s", at, want)
		}
	}
	// The hour that does not come is left out.
	at = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	if at = must(event.NextTick("30 2 * * *", "Europe/Paris", at))(t); at.Format(time.RFC3339) != "2026-03-30T00:30:00Z" {
		t.Error(at)
	}
}

// TestRate: what fires too often is stopped.
func TestRate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.cursor()
		w.create(onPackage())
		for n := range 25 {
			w.hear(closedEvent(n))
		}
		tr := w.get("closed")
		if tr.Enabled || tr.Fired != 20 || !strings.Contains(tr.Stopped, "loop") || w.alarm("closed", "trigger_stopped") == nil {
			t.Errorf("%+v", tr)
		}
	})
}

// TestDepth: a chain of triggers ends.
func TestDepth(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.cursor()
		d := onPackage()
		d.EventType, d.Where = "caos.execution.succeeded", map[string]any{"data.hook_id": "CAOS.PROD.CERT.EVIDENCE"}
		w.create(d)
		caused := func(n, depth int, state state) {
			t.Helper()
			execution := "EXEC-" + strconv.Itoa(n)
			if state == pending {
				execution = ""
			}
			ok(t, w.d.Write(t.Context(), func(tx *db.Tx) error {
				f := firing{trigger: "other", occurrence: strconv.Itoa(n), hook: "CAOS.PROD.CERT.EVIDENCE", runsAs: "bot", enabledBy: "mo", depth: depth, state: state,
					attempt: 1, nextAt: w.clock.now().Add(time.Hour).UnixMicro(), execution: execution}
				_, err := f.insert(tx, w.clock.now())
				return err
			}))
			w.hear(event.Event{ID: fmt.Sprintf("EVENT-%d", n), Type: "caos.execution.succeeded", Subject: "EXEC-" + strconv.Itoa(n),
				Data: map[string]any{"execution_id": "EXEC-" + strconv.Itoa(n), "hook_id": "CAOS.PROD.CERT.EVIDENCE", "status": "SUCCEEDED"}})
		}
		caused(1, MaxDepth-1, submitted)
		caused(2, MaxDepth, submitted)
		ok(t, w.settle())
		if tr := w.get("closed"); tr.Submitted != 1 || tr.Refused != 1 || w.alarm("closed", "trigger_refused") == nil {
			t.Errorf("%+v", tr)
		}
		caused(3, MaxDepth, pending) // its answer is still under way
		if tr := w.get("closed"); tr.Refused != 2 {
			t.Errorf("%+v", tr)
		}
		w.hear(event.Event{ID: "EVENT-4", Type: "caos.execution.succeeded", Subject: "EXEC-child",
			Data: map[string]any{"execution_id": "EXEC-child", "parent_id": "EXEC-2", "hook_id": "CAOS.PROD.CERT.EVIDENCE", "status": "SUCCEEDED"}})
		if tr := w.get("closed"); tr.Refused != 3 {
			t.Errorf("%+v", tr)
		}
		var depth int
		ok(t, w.d.QueryRow(t.Context(), `SELECT depth FROM trigger_firings WHERE trigger_name='closed' AND occurrence='EVENT-1'`).Scan(&depth))
		if depth != MaxDepth {
			t.Errorf("depth %d", depth)
		}
	})
}

// TestNeedToKnow: a trigger sees the events of its project alone, and none more secret than
// itself.
func TestNeedToKnow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.cursor()
		d := onPackage()
		d.Project = "P1"
		tr, _, err := w.svc.Create(t.Context(), as("max", "mlops-engineer"), d)
		ok(t, err)
		for n, e := range []event.Event{{Project: "P1"}, {Project: "P2"}, {}, {Project: "P1", Classification: "Restricted"}, {Project: "P1", Classification: "Internal"}} {
			c := closedEvent(n)
			c.Project, c.Classification = e.Project, e.Classification
			w.hear(c)
		}
		ok(t, w.settle())
		if tr = w.get(tr.Name); tr.Fired != 2 || tr.Submitted != 2 {
			t.Errorf("%+v", tr)
		}
		if w.hooks.asked[0].By.Project != "P1" {
			t.Errorf("%+v", w.hooks.asked[0].By)
		}
		d.Project = "P2" // moved out of what its writer may see
		_, err = w.svc.Update(t.Context(), Change{By: as("max", "mlops-engineer"), IfRevision: -1}, d)
		wants(t, err, caos.Denied)
	})
}

func TestDefinitionsRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		edit := func(d Definition, fn func(*Definition)) Definition { fn(&d); return d }
		for _, c := range []struct {
			field string
			d     Definition
		}{
			{"name", edit(onPackage(), func(d *Definition) { d.Name = "Upper" })},
			{"name", edit(onPackage(), func(d *Definition) { d.Name = "../x" })},
			{"kind", edit(onPackage(), func(d *Definition) { d.Kind = "NEVER"; d.EventType, d.Where = "", nil })},
			{"hook_id", edit(onPackage(), func(d *Definition) { d.Hook = "CAOS.PROD.NO.SUCH" })},
			{"hook_id", edit(onPackage(), func(d *Definition) { d.Hook = "x" })},
			{"runs_as", edit(onPackage(), func(d *Definition) { d.RunsAs = "mo" })}, // a person
			{"runs_as", edit(onPackage(), func(d *Definition) { d.RunsAs = "nobody" })},
			{"runs_as", edit(onPackage(), func(d *Definition) { d.RunsAs = "" })},
			{"runs_as", edit(onPackage(), func(d *Definition) { d.RunsAs = "dull" })}, // has no role
			{"event_type", edit(onPackage(), func(d *Definition) { d.EventType = "package.closed" })},
			{"event_type", edit(onPackage(), func(d *Definition) { d.EventType = "caos.execution.*"; d.Where = nil })}, // hears itself
			{"event_type", edit(onPackage(), func(d *Definition) { d.EventType = "*"; d.Where = map[string]any{"data.hook_id": auditHook} })},
			{"cron", edit(onPackage(), func(d *Definition) { d.Cron = "0 * * * *" })},
			{"cron", edit(hourly(), func(d *Definition) { d.Cron = "@hourly" })},
			{"cron", edit(hourly(), func(d *Definition) { d.Cron = "0 0 31 2 *" })},
			{"cron", edit(hourly(), func(d *Definition) { d.Cron = "0 * * * * *" })},
			{"zone", edit(hourly(), func(d *Definition) { d.Zone = "Nowhere/Land" })},
			{"zone", edit(hourly(), func(d *Definition) { d.Zone = "../../etc/passwd" })},
			{"event_type", edit(hourly(), func(d *Definition) { d.EventType = "caos.package.closed" })},
			{"where", edit(hourly(), func(d *Definition) { d.Where = map[string]any{"data.x": 1.0} })},
			{"where.nowhere", edit(onPackage(), func(d *Definition) { d.Where = map[string]any{"nowhere": 1.0} })},
			{"where.data.x", edit(onPackage(), func(d *Definition) { d.Where = map[string]any{"data.x": []any{}} })},
			{"where.data.nope", edit(onPackage(), func(d *Definition) { d.EventType, d.Where = "caos.package.closed", map[string]any{"data.nope": 1.0} })},
			{"input.x", edit(onPackage(), func(d *Definition) {
				d.EventType, d.Where, d.Input = "caos.alert.raised", nil, json.RawMessage(`{"x":"${event.data.nope}"}`)
			})},
			{"input.x", edit(hourly(), func(d *Definition) { d.Input = json.RawMessage(`{"x":"${event.data}"}`) })},
			{"input", edit(hourly(), func(d *Definition) { d.Input = json.RawMessage(`[]`) })},
			{"input", edit(hourly(), func(d *Definition) { d.Input = nil })},
			{"input", edit(hourly(), func(d *Definition) { d.Input = json.RawMessage(`{"x":12345678901234567890}`) })},
			{"project", edit(hourly(), func(d *Definition) { d.Project = "a b" })},
			{"classification", edit(hourly(), func(d *Definition) { d.Classification = "secret" })},
		} {
			_, _, err := w.svc.Create(t.Context(), mo(), c.d)
			wants(t, err, caos.Invalid, c.field)
		}
		w.create(onPackage())
		_, _, err := w.svc.Create(t.Context(), mo(), onPackage())
		wants(t, err, caos.Conflict, "name")
		d := hourly()
		d.Name = "closed"
		_, err = w.svc.Update(t.Context(), Change{By: mo(), IfRevision: -1}, d)
		wants(t, err, caos.Invalid, "kind")
		list := must(w.svc.List(t.Context(), "", 10))(t)
		if len(list) != 1 || list[0].Name != "closed" {
			t.Errorf("%d triggers", len(list))
		}
	})
}
