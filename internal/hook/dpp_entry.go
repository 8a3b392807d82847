package hook

import (
	"context"
	"encoding/json"

	"caos"
	"caos/internal/dpp"
	"caos/internal/engine"
)

// DPPEntry is an event that CAOS enters into a version's passports by itself, because it
// did what the event tells: ROLLBACK or RETIREMENT.
type DPPEntry struct {
	ModelID   string
	Version   string
	Event     dpp.Event
	Metadata  json.RawMessage // into the restricted annex; {} if nil
	Actor     string          // who is said to have acted
	By        string          // who authenticated; Actor if empty
	Execution string          // that did it, "" for none
}

// EnterPassport issues the passport of an event that is not for callers of DPP.CREATE. All
// files of the baseline are hashed again, so it takes as long as reading them, and is no
// part of anything urgent. Errors: Invalid for an event that goes through the hook; Conflict
// if it does not fit the version's state; and those of an execution of the hook.
func EnterPassport(ctx context.Context, c DPPCollaborators, e DPPEntry) (*dpp.Passport, error) {
	if e.Event != dpp.Rollback && e.Event != dpp.Retirement {
		return nil, caos.Errorf(caos.Invalid, "%.40q goes through CAOS.PROD.DPP.CREATE", e.Event).WithField("lifecycle_event")
	}
	if e.Metadata == nil {
		e.Metadata = json.RawMessage("{}")
	}
	meta, err := dpp.CheckMetadata(e.Metadata)
	if err != nil {
		return nil, err
	}
	h := &dppCreate{c}
	s := &dppState{Request: dppRequest{ModelID: e.ModelID, Version: e.Version, Event: e.Event, Metadata: meta}}
	v, err := c.Registry.Version(ctx, e.ModelID, e.Version)
	if err != nil {
		return nil, err
	}
	if err := fits(v, e.Event); err != nil {
		return nil, err
	}
	s.Draft = dpp.Draft{ModelID: e.ModelID, Version: e.Version, Event: e.Event, Metadata: meta, Project: v.Project, Classification: v.Classification,
		IssuedBy: e.Actor, ExecutionID: e.Execution}
	quiet := &engine.Run{} // nobody watches
	if err := h.collectMetadata(ctx, quiet, s); err != nil {
		return nil, err
	}
	if err := h.hashArtifacts(ctx, quiet, s); err != nil {
		return nil, err
	}
	return c.Passports.Issue(ctx, s.Draft, dpp.By{Actor: e.Actor, RecordedBy: e.By, Execution: e.Execution})
}
