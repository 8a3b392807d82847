package auth

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
)

// Bounds of what is counted between two flushes.
const (
	maxSources  = 256 // further sources are counted together
	maxRefusals = 4096
	otherSource = "others"
)

// failures counts failed authentications per source.
type failures struct {
	mu sync.Mutex
	by map[string]map[string]int // source → reason → count; guarded by mu
}

func (f *failures) init() { f.by = make(map[string]map[string]int) }

func (f *failures) count(source, reason string) { f.add(source, reason, 1) }

func (f *failures) add(source, reason string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(source) > 64 {
		source = source[:64]
	}
	m, ok := f.by[source]
	if !ok {
		if len(f.by) >= maxSources {
			source = otherSource
		}
		if m = f.by[source]; m == nil {
			m = make(map[string]int)
			f.by[source] = m
		}
	}
	m[reason] += n
}

func (f *failures) take() map[string]map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.by
	f.init()
	return out
}

// Failures returns how many authentications failed since the last flush, by source and
// reason.
func (a *Auth) Failures() map[string]map[string]int {
	a.failures.mu.Lock()
	defer a.failures.mu.Unlock()
	out := make(map[string]map[string]int, len(a.failures.by))
	for s, m := range a.failures.by {
		out[s] = maps.Clone(m)
	}
	return out
}

// flushFailures records all failures of the last minute in one record: a flood of guesses
// must not become a flood of records.
func (a *Auth) flushFailures(ctx context.Context) error {
	by := a.failures.take()
	if len(by) == 0 {
		return nil
	}
	type source struct {
		Source  string         `json:"source"`
		Reasons map[string]int `json:"reasons"`
	}
	list := make([]source, 0, len(by))
	for _, s := range slices.Sorted(maps.Keys(by)) {
		list = append(list, source{s, by[s]})
	}
	err := a.o.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := a.o.Log.Append(tx, auditlog.Record{
			Type: auditlog.Access, Time: a.o.Now(), Actor: "caos", RecordedBy: "caos",
			Details: map[string]any{"event": "authentication-failures", "sources": list},
		})
		return err
	})
	if err != nil {
		for s, reasons := range by {
			for r, n := range reasons {
				a.failures.add(s, r, n)
			}
		}
	}
	return err
}

// refusalKey is what makes two refusals the same.
type refusalKey struct{ principal, token, action, kind, resource, rule string }

// refusals remembers what was refused since the last flush. The first of a kind is
// recorded at once, so its count starts at zero.
type refusals struct {
	mu sync.Mutex
	by map[refusalKey]int // repetitions not yet recorded; guarded by mu
}

func (r *refusals) init() { r.by = make(map[refusalKey]int) }

// first reports whether a refusal is to be recorded now.
func (r *refusals) first(k refusalKey) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, seen := r.by[k]; seen {
		r.by[k]++
		return false
	}
	if len(r.by) >= maxRefusals { // by the same rule many different things: count them together
		k.resource = ""
		_, seen := r.by[k]
		r.by[k]++
		return !seen
	}
	r.by[k] = 0
	return true
}

// RecordRefusal records a denied action of an authenticated principal, if err is one
// (see [Refusal]); for any other error, and for a step-up challenge, it does nothing. The
// place that turns errors into answers calls it. It returns an error if the log could not
// be written; the refusal stands either way.
func (a *Auth) RecordRefusal(ctx context.Context, err error) error {
	var r *Refusal
	if !errors.As(err, &r) || r.recorded || r.Err.Kind == caos.StepUp {
		return nil
	}
	r.recorded = true
	k := refusalKey{r.Principal.ID, r.Principal.Token, r.Action, r.Resource.Type, r.Resource.ID, r.Decision.Rule()}
	if !a.refusals.first(k) {
		return nil
	}
	return a.o.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := a.o.Log.Append(tx, a.refusalRecord(k, r, 0))
		return err
	})
}

func (a *Auth) refusalRecord(k refusalKey, r *Refusal, repeated int) auditlog.Record {
	details := map[string]any{"event": "refused", "action": k.action, "resource_type": k.kind}
	if k.token != "" {
		details["token"] = k.token
	}
	if repeated > 0 {
		details["repeated"] = repeated
	}
	rec := auditlog.Record{Type: auditlog.Access, Time: a.o.Now(), Actor: k.principal, RecordedBy: k.principal, Details: details}
	if res := recordable(k.resource); res != "" {
		rec.Resources = []string{res}
	}
	rec.Decision = &auditlog.Decision{Effect: "deny", Policies: []string{k.rule}}
	if r != nil {
		rec.Decision.Policies, rec.Decision.Reasons = r.Decision.Policies, r.Decision.Reasons
		rec.Project, rec.Classification = r.Resource.Project, r.Resource.Classification
	}
	return rec
}

// recordable keeps ids that came from a request fit for a record.
func recordable(id string) string {
	if caos.CheckID("resource", "resource", id) != nil {
		return ""
	}
	return id
}

// flushRefusals records how often refusals were repeated.
func (a *Auth) flushRefusals(ctx context.Context) error {
	a.refusals.mu.Lock()
	by := a.refusals.by
	a.refusals.init()
	a.refusals.mu.Unlock()
	maps.DeleteFunc(by, func(_ refusalKey, n int) bool { return n == 0 })
	if len(by) == 0 {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(by), func(a, b refusalKey) int {
		return slices.Compare([]string{a.principal, a.action, a.resource, a.rule, a.token}, []string{b.principal, b.action, b.resource, b.rule, b.token})
	})
	for part := range slices.Chunk(keys, 100) {
		err := a.o.DB.Update(ctx, func(tx *db.Tx) error {
			for _, k := range part {
				if _, err := a.o.Log.Append(tx, a.refusalRecord(k, nil, by[k])); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			a.refusals.keep(by)
			return err
		}
		for _, k := range part {
			delete(by, k)
		}
	}
	return nil
}

// keep puts counts back that could not be recorded.
func (r *refusals) keep(by map[refusalKey]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, n := range by {
		r.by[k] += n
	}
}
