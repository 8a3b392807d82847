package registry

import (
	"slices"
	"strings"

	"caos"
	"caos/internal/db"
	"caos/internal/event"
)

// The events of the registry's nouns. The subject is the id of the model or document, the
// data what the comment says.
const (
	EventDocumentRegistered = "caos.document.registered" // document_id, version, kind, model_id, model_version, status (what the document states)
	EventDocumentDecided    = "caos.document.decided"    // the same, status (the decision)
	EventModelFrozen        = "caos.model.frozen"        // model_id, model_version, freeze_id, baseline_id, root_digest, execution_id
	EventModelState         = "caos.model.state"         // model_id, model_version, from, to
)

// State is where a version of a model stands.
type State string

// The states of a version. Stored: never rename one.
const (
	Registered      State = "REGISTERED"       // it may change
	Frozen          State = "FROZEN"           // it is a baseline
	ProductionReady State = "PRODUCTION_READY" // a readiness review approved it
	Released        State = "RELEASED"         // it was released to production
	Retired         State = "RETIRED"          // it is not to be used any more
)

// States lists the states in the order of a version's life.
func States() []State { return []State{Registered, Frozen, ProductionReady, Released, Retired} }

// transitions is the one table of what may follow what. Nothing leads back: a version that
// is to be different is another version.
func transitions(s State) []State {
	switch s {
	case Registered:
		return []State{Frozen, Retired}
	case Frozen:
		return []State{ProductionReady, Retired}
	case ProductionReady:
		return []State{Released, Retired}
	case Released:
		return []State{Retired}
	}
	return nil
}

// May reports whether a version in state s may go to another state next.
func (s State) May(to State) bool { return slices.Contains(transitions(s), to) }

// ClaimFreeze gives a REGISTERED version to an execution that freezes it, which stops all
// change of it. Claiming again by the same execution changes nothing. Its record is that of
// the execution's commit. Errors: NotFound; Conflict naming the freeze of a frozen version,
// or the execution that has it claimed.
func (r *Registry) ClaimFreeze(tx *db.Tx, modelID, version, execution string) error {
	if err := caos.CheckID("resource", "execution_id", execution); err != nil {
		return err
	}
	v, err := r.VersionIn(tx, modelID, version)
	if err != nil {
		return err
	}
	if v.State == Registered && v.Freezing == execution {
		return nil
	}
	if err := v.mayChange(); err != nil {
		return err
	}
	n, err := tx.ExecRows(`UPDATE model_versions SET freezing = $1 WHERE model_id = $2 AND version = $3 AND state = 'REGISTERED' AND freezing = ''`,
		execution, modelID, version)
	if err != nil || n == 1 {
		return err
	}
	return caos.Errorf(caos.Conflict, "%s was claimed by another freeze just now", VersionKey(modelID, version)).WithField("version").
		WithHint("wait until that has ended")
}

// ReleaseFreeze takes the claim of an execution back. A version that it has not claimed (any
// more) stays as it is, which is no error.
func (r *Registry) ReleaseFreeze(tx *db.Tx, modelID, version, execution string) error {
	if execution == "" {
		return caos.Errorf(caos.Internal, "a claim is taken back without saying whose")
	}
	tx.Exec(`UPDATE model_versions SET freezing = '' WHERE model_id = $1 AND version = $2 AND freezing = $3 AND state = 'REGISTERED'`,
		modelID, version, execution)
	return tx.Err()
}

// Transition moves a version to another state by the table of State.May, and announces it
// as caos.model.state. FROZEN is reached by Freeze alone. Errors: NotFound, Invalid, Conflict.
func (r *Registry) Transition(tx *db.Tx, modelID, version string, to State, by By) (*Version, error) {
	if !slices.Contains(States(), to) {
		return nil, caos.CheckWord("state", string(to), words(States()))
	}
	if to == Frozen {
		return nil, caos.Errorf(caos.Invalid, "a version becomes FROZEN by a freeze alone").WithField("state").WithHint("submit CAOS.PROD.MODEL.FREEZE")
	}
	v, err := r.VersionIn(tx, modelID, version)
	if err != nil {
		return nil, err
	}
	if v.Freezing != "" {
		return nil, v.mayChange()
	}
	if !v.State.May(to) {
		e := caos.Errorf(caos.Conflict, "%s is %s and cannot become %s", VersionKey(modelID, version), v.State, to).WithField("state")
		if next := transitions(v.State); len(next) > 0 {
			return nil, e.WithHint("what may follow is %s", strings.Join(words(next), " or "))
		}
		return nil, e.WithHint("nothing follows it")
	}
	from := v.State
	if err := r.move(tx, v, to, by); err != nil {
		return nil, err
	}
	return v, r.recordVersion(tx, by, v, note{Event: "version state", Details: map[string]any{"from": from, "to": to}})
}

// move stores and announces another state of v.
func (r *Registry) move(tx *db.Tx, v *Version, to State, by By) error {
	from, was := v.State, v.Revision
	v.State, v.UpdatedAt, v.Revision = to, r.now(), was+1
	n, err := tx.ExecRows(`UPDATE model_versions SET state = $1, updated_at = $2, revision = $3 WHERE model_id = $4 AND version = $5 AND revision = $6 AND state = $7`,
		string(to), db.Micros(v.UpdatedAt), v.Revision, v.ModelID, v.Version, was, string(from))
	if err != nil {
		return err
	}
	if n == 0 {
		return caos.CheckRevision(VersionKey(v.ModelID, v.Version), was, was+1)
	}
	return r.emit(tx, v, EventModelState, map[string]any{"from": from, "to": to, "by": by.Actor})
}

// emit announces something about a version.
func (r *Registry) emit(tx *db.Tx, v *Version, what string, data map[string]any) error {
	data["model_id"], data["model_version"] = v.ModelID, v.Version
	return r.events.Emit(tx, event.Event{Type: what, Subject: v.ModelID, Project: v.Project, Classification: v.Classification, Data: data})
}

func words(states []State) []string {
	out := make([]string, len(states))
	for i, s := range states {
		out[i] = string(s)
	}
	return out
}
