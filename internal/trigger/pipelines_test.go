package trigger

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
)

func flights(version string) Pipeline {
	return Pipeline{ID: "DP-DLY-001", Version: version, Project: "P1", Classification: "Internal", Cron: "30 4 1 * *", Zone: "Europe/Berlin",
		Events: []PipelineEvent{{Type: "caos.dataset.published", Where: map[string]any{"data.dataset_id": "DP-RAW-001.raw"}}, {Type: "caos.files.arrived"}}}
}

func TestOfPipeline(t *testing.T) {
	list := OfPipeline(flights("1.0"))
	var names []string
	for _, d := range list {
		if _, err := d.compile(); err != nil || d.Enabled || d.Hook != PipelineHook || d.Project != "P1" {
			t.Errorf("%s: %v, %+v", d.Name, err, d)
		}
		names = append(names, d.Name)
	}
	if got := strings.Join(names, " "); got != "dp-dly-001-schedule dp-dly-001-on-1 dp-dly-001-on-2" {
		t.Error(got)
	}
	var input struct {
		Pipeline string   `json:"pipeline_id"`
		Version  string   `json:"pipeline_version"`
		Mode     string   `json:"execution_mode"`
		Sources  []string `json:"data_sources"`
		Targets  []string `json:"target_datasets"`
	}
	for i, mode := range []string{"SCHEDULED", "EVENT_DRIVEN", "EVENT_DRIVEN"} {
		ok(t, json.Unmarshal(list[i].Input, &input))
		if input.Pipeline != "DP-DLY-001" || input.Version != "1.0" || input.Mode != mode || input.Sources == nil || input.Targets == nil {
			t.Errorf("%s", list[i].Input)
		}
	}
	if list := OfPipeline(Pipeline{ID: "DP-A-001", Version: "1.0"}); len(list) != 0 {
		t.Error(list)
	}
}

// everyHook knows all hooks, so that triggers of pipelines can be made in a world without
// that hook.
type everyHook struct{ Hooks }

func (everyHook) Known(string) bool { return true }

// enable is somebody with the right who names an account and enables a trigger. That the
// account may submit the hook is a matter of policy, so the row is written as Enable would.
func (w *world) enable(name string) {
	w.t.Helper()
	ok(w.t, w.d.Update(w.t.Context(), func(tx *db.Tx) error {
		row, err := load(tx, name)
		if err != nil {
			return err
		}
		from, at := row.Revision, w.clock.now()
		row.RunsAs, row.Enabled, row.EnabledBy, row.EnabledAt, row.Stopped, row.Revision = "bot", true, "mo", &at, "", from+1
		if row.Kind == KindCron {
			row.NextAt = &at
		}
		return row.update(tx, from)
	}))
}

// A version's triggers come with it, switched off; a later one that says something else
// switches them off again, and one that says the same leaves them alone.
func TestArmPipeline(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.svc.o.Hooks = everyHook{w.hooks}
		arm := func(p Pipeline) []string {
			t.Helper()
			var names []string
			ok(t, w.d.Update(t.Context(), func(tx *db.Tx) (err error) {
				names, err = w.svc.ArmPipeline(tx, as("dana", "data-engineer"), p)
				return err
			}))
			return names
		}
		if got := arm(flights("1.0")); len(got) != 3 {
			t.Fatal(got)
		}
		first := w.get("dp-dly-001-schedule")
		if first.Enabled || first.CreatedBy != "dana" || first.RunsAs != "automation" {
			t.Errorf("%+v", first)
		}
		w.enable("dp-dly-001-schedule")
		w.enable("dp-dly-001-on-2")
		before := w.records("trigger-proposed")
		arm(flights("1.0")) // registered again
		if row := w.get("dp-dly-001-schedule"); !row.Enabled || row.Revision != 2 || w.records("trigger-proposed") != before {
			t.Errorf("the same version changed it: %+v", row)
		}
		next := flights("1.1")
		next.Events = next.Events[:1]
		if got := arm(next); !slices.Equal(got, []string{"dp-dly-001-schedule", "dp-dly-001-on-1"}) {
			t.Error(got)
		}
		row := w.get("dp-dly-001-schedule")
		if row.Enabled || row.EnabledBy != "" || row.NextAt != nil || row.RunsAs != "bot" || !strings.Contains(row.Stopped, "1.1") || !strings.Contains(string(row.Input), `"1.1"`) {
			t.Errorf("what a new version does was enabled by nobody: %+v", row)
		}
		if row := w.get("dp-dly-001-on-2"); row.Enabled || !strings.Contains(row.Stopped, "1.1") {
			t.Errorf("a subscription that is no more goes on: %+v", row)
		}
		if row := w.get("dp-dly-001-on-1"); row.Enabled || row.Stopped != "" {
			t.Errorf("%+v", row)
		}
		w.enable("dp-dly-001-schedule")
		ok(t, w.d.Update(t.Context(), func(tx *db.Tx) error {
			return w.svc.DisarmPipeline(tx, as("dana"), "DP-DLY-001", "DP-DLY-001 was retired")
		}))
		if row := w.get("dp-dly-001-schedule"); row.Enabled || row.Stopped != "DP-DLY-001 was retired" {
			t.Errorf("%+v", row)
		}
		// A name that is somebody else's is not taken over.
		d := hourly()
		d.Name, d.Enabled = "dp-tak-001-schedule", false
		w.create(d)
		taken := flights("1.0")
		taken.ID = "DP-TAK-001"
		wants(t, w.d.Update(t.Context(), func(tx *db.Tx) error {
			_, err := w.svc.ArmPipeline(tx, mo(), taken)
			return err
		}), caos.Conflict, "name")
		bad := flights("1.0")
		bad.Cron = "61 * * * *"
		wants(t, w.d.Update(t.Context(), func(tx *db.Tx) error {
			_, err := w.svc.ArmPipeline(tx, mo(), bad)
			return err
		}), caos.Invalid, "cron")
	})
}

// A hook is told by which kind of trigger, for which occurrence and nominal time it runs.
func TestCause(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.cursor()
		w.create(hourly())
		w.create(onPackage())
		_, secret := w.create(called())
		w.hear(closedEvent(7))
		w.clock.set(time.Date(2026, 11, 22, 13, 20, 0, 0, time.UTC)) // two hours are missed
		ok(t, w.svc.schedules(ctx))
		ok(t, w.settle())
		must(w.svc.Receive(ctx, w.delivery(secret, "msg-1", deliveryBody)))(t)
		got := map[string]string{}
		for _, sub := range w.hooks.asked {
			c := sub.By.Cause
			if c == nil {
				t.Fatalf("%+v has no cause", sub)
			}
			nominal := "none"
			if c.Nominal != nil {
				nominal = c.Nominal.Format(time.RFC3339)
			}
			got[c.Trigger] = fmt.Sprintf("%s %s %s", c.Kind, c.Occurrence, nominal)
			if !sub.By.CausedBy(c.Kind) || sub.By.CausedBy("OTHER") || mo().CausedBy(caos.CauseCron, caos.CauseEvent, caos.CauseWebhook) {
				t.Errorf("%+v", sub.By)
			}
		}
		want := map[string]string{"hourly": "CRON 20261122T130000.000000Z 2026-11-22T13:00:00Z", "closed": "EVENT EVENT-7 none", "called": "WEBHOOK msg-1 none"}
		for name, text := range want {
			if got[name] != text {
				t.Errorf("%s: %q, want %q", name, got[name], text)
			}
		}
		// Later steps run in the name of whoever is in the execution's row.
		var raw string
		ok(t, w.d.QueryRow(ctx, `SELECT principal FROM executions WHERE execution_id = $1`, w.get("hourly").LastExecution).Scan(&raw))
		var p caos.Principal
		ok(t, json.Unmarshal([]byte(raw), &p))
		if p.Cause == nil || p.Cause.Nominal == nil || p.Cause.Kind != caos.CauseCron {
			t.Errorf("%s", raw)
		}
		if w.records("trigger-fired") != 3 {
			t.Error("not recorded")
		}
	})
}

// A hook's submission is one of the same cause however often it is tried: the occurrence is
// what the key is made of.
func TestCauseOfRetries(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.create(hourly())
		w.clock.set(time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC))
		w.hooks.fail(func(Submission) error { return caos.Errorf(caos.Unavailable, "away") }, nil)
		ok(t, w.svc.schedules(ctx))
		ok(t, w.settle())
		w.hooks.fail(nil, nil)
		w.clock.move(3 * time.Hour)
		ok(t, w.settle())
		if len(w.hooks.asked) < 2 || w.executions() != 1 {
			t.Fatalf("%d asked, %d executions", len(w.hooks.asked), w.executions())
		}
		for _, sub := range w.hooks.asked {
			if at := sub.By.Cause.Nominal; at == nil || !at.Equal(time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)) {
				t.Errorf("%v", at)
			}
		}
	})
}
