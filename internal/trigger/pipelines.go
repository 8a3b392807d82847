package trigger

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
)

// PipelineHook is the hook that runs pipelines.
const PipelineHook = "CAOS.PROD.DATA.PIPELINE"

// maxPipelineEvents is how many subscriptions a pipeline has at most.
const maxPipelineEvents = 10

// placeholderAccount is whom a trigger runs as until somebody names a service account.
const placeholderAccount = "automation"

// Pipeline is what triggers need to know of a version of a pipeline.
type Pipeline struct {
	ID, Version             string // DP-DLY-001, 1.0
	Project, Classification string
	Cron, Zone              string // "" for no schedule
	Events                  []PipelineEvent
}

// PipelineEvent is an event that runs a pipeline.
type PipelineEvent struct {
	Type  string
	Where map[string]any
}

// OfPipeline shapes the triggers of a pipeline, disabled: one named <id>-schedule for its
// schedule and one named <id>-on-<n> for each of its events, from 1. They ask for all sources
// and targets; what a run by schedule is about follows from its nominal time.
func OfPipeline(p Pipeline) []Definition {
	var out []Definition
	add := func(name, mode, why string, d Definition) {
		d.Name, d.Hook, d.RunsAs, d.Project, d.Classification = name, PipelineHook, placeholderAccount, p.Project, p.Classification
		d.Description = fmt.Sprintf("Runs version %s of %s %s.", p.Version, p.ID, why)
		// Ids and versions have no character that JSON would write otherwise.
		d.Input = json.RawMessage(fmt.Sprintf(`{"pipeline_id":"%s","pipeline_version":"%s","execution_mode":"%s","data_sources":[],"target_datasets":[]}`, p.ID, p.Version, mode))
		out = append(out, d.normalise())
	}
	if p.Cron != "" {
		add(scheduleName(p.ID), "SCHEDULED", "by its schedule", Definition{Kind: KindCron, Cron: p.Cron, Zone: p.Zone})
	}
	for i, e := range p.Events[:min(len(p.Events), maxPipelineEvents)] {
		add(eventName(p.ID, i+1), "EVENT_DRIVEN", "when its event comes", Definition{Kind: KindEvent, EventType: e.Type, Where: e.Where})
	}
	return out
}

func scheduleName(pipeline string) string { return strings.ToLower(pipeline) + "-schedule" }

func eventName(pipeline string, n int) string {
	return strings.ToLower(pipeline) + "-on-" + strconv.Itoa(n)
}

// pipelineNames are the names that triggers of a pipeline can have.
func pipelineNames(pipeline string) []string {
	out := []string{scheduleName(pipeline)}
	for n := range maxPipelineEvents {
		out = append(out, eventName(pipeline, n+1))
	}
	return out
}

// ArmPipeline makes the triggers of a pipeline's version known in the transaction that
// registers it, and returns their names. None of them is enabled by that: what a new version
// does is not what somebody answered for when they enabled the last. One that says what it
// said before stays as it is, enabled or not; those that the version has no more are switched
// off. The account that somebody chose stays. Errors: Invalid for what no trigger can be;
// Conflict if a name is taken by a trigger of another kind or hook.
func (s *Service) ArmPipeline(tx *db.Tx, by caos.Principal, p Pipeline) ([]string, error) {
	if err := caos.CheckID("pipeline", "pipeline_id", p.ID); err != nil {
		return nil, err
	}
	wanted := map[string]Definition{}
	for _, d := range OfPipeline(p) {
		if err := s.check(d); err != nil {
			return nil, err
		}
		wanted[d.Name] = d
	}
	names := []string{}
	for _, name := range pipelineNames(p.ID) {
		d, ok := wanted[name]
		if !ok {
			if err := s.disarm(tx, by, name, fmt.Sprintf("version %s of %s has nothing that it is for", p.Version, p.ID)); err != nil {
				return nil, err
			}
			continue
		}
		names = append(names, name)
		if err := s.arm(tx, by, d, p); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// arm writes one trigger of a pipeline.
func (s *Service) arm(tx *db.Tx, by caos.Principal, d Definition, p Pipeline) error {
	now := s.now().Truncate(time.Microsecond)
	t, err := load(tx, d.Name)
	if err != nil {
		return err
	}
	if t == nil {
		t = &Trigger{Definition: d, Revision: 1, CreatedAt: now, CreatedBy: by.ID, UpdatedAt: now, UpdatedBy: by.ID}
		if err := t.insert(tx); err != nil {
			return err
		}
		return s.record(tx, by.ID, "trigger-proposed", t)
	}
	if t.Hook != d.Hook || t.Kind != d.Kind {
		return caos.Errorf(caos.Conflict, "there is a trigger %s that is not of %s", d.Name, p.ID).WithField("name").WithHint("delete it, or give it another name")
	}
	d.RunsAs, d.Enabled = t.RunsAs, t.Enabled
	same, err := alike(t.Definition, d)
	if err != nil || same {
		return err
	}
	from := t.Revision
	d.Enabled = false
	if t.Enabled {
		t.Stopped = fmt.Sprintf("%s registered version %s of %s: look at it, and enable the trigger again", by.ID, p.Version, p.ID)
	}
	t.Definition, t.EnabledBy, t.EnabledAt, t.NextAt = d, "", nil, nil
	t.Revision, t.UpdatedAt, t.UpdatedBy = from+1, now, by.ID
	if err := t.update(tx, from); err != nil {
		return err
	}
	return s.record(tx, by.ID, "trigger-proposed", t)
}

// alike reports whether two definitions say the same, however their JSON is laid out.
func alike(a, b Definition) (bool, error) {
	var x, y any
	if err := json.Unmarshal(a.Input, &x); err != nil {
		return false, fmt.Errorf("input of trigger %s: %w", a.Name, err)
	}
	if err := json.Unmarshal(b.Input, &y); err != nil {
		return false, fmt.Errorf("input of trigger %s: %w", b.Name, err)
	}
	a.Input, b.Input = nil, nil
	return reflect.DeepEqual(x, y) && reflect.DeepEqual(a, b), nil
}

// DisarmPipeline switches the triggers of a pipeline off, in the transaction that retires it.
func (s *Service) DisarmPipeline(tx *db.Tx, by caos.Principal, pipeline, reason string) error {
	for _, name := range pipelineNames(pipeline) {
		if err := s.disarm(tx, by, name, reason); err != nil {
			return err
		}
	}
	return nil
}

// disarm switches a trigger of a pipeline off, if it is there and on.
func (s *Service) disarm(tx *db.Tx, by caos.Principal, name, reason string) error {
	t, err := load(tx, name)
	if err != nil || t == nil || t.Hook != PipelineHook || !t.Enabled {
		return err
	}
	from := t.Revision
	t.Enabled, t.EnabledBy, t.EnabledAt, t.NextAt, t.Stopped = false, "", nil, nil, clip(reason, maxText)
	t.Revision, t.UpdatedAt, t.UpdatedBy = from+1, s.now().Truncate(time.Microsecond), by.ID
	if err := t.update(tx, from); err != nil {
		return err
	}
	return s.record(tx, by.ID, "trigger-disabled", t)
}
