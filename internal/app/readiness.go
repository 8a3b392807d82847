package app

import (
	"encoding/json"
	"fmt"

	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// openReadiness opens what a board looks at and what it decides. Who people are, whose a key
// is, who had a hand in a version and what counts as evidence of it are other nouns' to say.
func (a *App) openReadiness() (err error) {
	a.readiness, err = readiness.Open(readiness.Options{DB: a.db, Log: a.log, Events: a.events, Stamps: a.stamps, Now: a.now,
		People: a.auth, Keys: a.auth, Origin: a.cfg.Origin, Known: a.knownEvidence, Hands: a.hands, Released: a.mayRelease})
	return err
}

// reclassified carries a model's new classification to what else is kept about it: what
// boards look at and decide, executions, and what files stated about its risks.
func (a *App) reclassified(tx *db.Tx, modelID, classification string) error {
	if err := a.readiness.Reclassify(tx, modelID, classification); err != nil {
		return err
	}
	if err := engine.Reclassify(tx, modelID, classification); err != nil {
		return err
	}
	risks, err := a.readiness.RisksOf(tx, modelID, "")
	if err != nil {
		return err
	}
	subjects := make([]string, len(risks))
	for i, k := range risks {
		subjects[i] = k.RiskID
	}
	return a.registry.ReclassifyStatements(tx, subjects, classification)
}

// mayRelease refuses a release that the facts no longer allow, else makes the version RELEASED.
func (a *App) mayRelease(tx *db.Tx, s readiness.Subject, by readiness.By) error {
	if err := a.stillReady(tx, s); err != nil {
		return err
	}
	return a.markReleased(tx, s, by)
}

// markReleased makes a version RELEASED whose release two people have signed. One that was
// released before stays so; one that was retired meanwhile refuses the signature.
func (a *App) markReleased(tx *db.Tx, s readiness.Subject, by readiness.By) error {
	v, err := a.registry.VersionIn(tx, s.ModelID, s.Version)
	if err != nil || v.State == registry.Released {
		return err
	}
	_, err = a.registry.Transition(tx, s.ModelID, s.Version, registry.Released, registry.By{Actor: by.Actor, RecordedBy: by.RecordedBy})
	return err
}

// knownEvidence returns those of ids that show nothing about a version: evidence, documents,
// baselines, freezes and passports of something else, and what is not there at all.
func (a *App) knownEvidence(tx *db.Tx, s readiness.Subject, ids []string) ([]string, error) {
	about := registry.Model{ModelID: s.ModelID, Project: s.Project}
	names := []string{s.ModelID, registry.VersionKey(s.ModelID, s.Version)}
	if s.BaselineID != "" {
		names = append(names, s.BaselineID)
	}
	var missing []string
	for _, id := range ids {
		shows := false
		for _, known := range []func() (bool, error){
			func() (bool, error) { return a.evidence.KnownOf(tx, id, s.ModelID) },
			func() (bool, error) { return a.registry.KnownOf(tx, id, about, s.Version) },
			func() (bool, error) { return a.dpp.KnownOf(tx, id, s.ModelID, s.Version) },
			func() (bool, error) { return a.log.Names(tx, id, names) },
		} {
			there, err := known()
			if err != nil {
				return nil, err
			}
			if shows = there; shows {
				break
			}
		}
		if !shows {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// freezeHook is the hook whose requesters have a hand in a version.
const freezeHook = "CAOS.PROD.MODEL.FREEZE"

// The parts of those who asked for a freeze, whatever became of it.
const (
	partFreezeRequester = "FREEZE_REQUESTER"
	partFreezeRecorder  = "FREEZE_REQUESTER_RECORDER" // submitted it for its requester, or switched the trigger on that did
)

// hands returns who had a hand in a version: what the registry knows, and who ever asked for
// a freeze of it, failed ones too, as the engine knows.
func (a *App) hands(tx *db.Tx, modelID, version string) ([]readiness.Hand, error) {
	known, err := a.registry.Hands(tx, modelID, version)
	if err != nil {
		return nil, err
	}
	out := make([]readiness.Hand, 0, len(known))
	for _, h := range known {
		out = append(out, readiness.Hand(h))
	}
	asked, err := engine.Requesters(tx, freezeHook, modelID)
	if err != nil {
		return nil, err
	}
	for _, r := range asked {
		var in struct {
			Version string `json:"model_version"`
		}
		if err := json.Unmarshal(r.Input, &in); err != nil {
			return nil, fmt.Errorf("read the input of %s: %w", r.ExecutionID, err)
		}
		if in.Version != version {
			continue
		}
		out = append(out, readiness.Hand{Person: r.RequestedBy, Part: partFreezeRequester, Source: r.ExecutionID})
		for _, person := range []string{r.By, r.EnabledBy} {
			if person != "" && person != r.RequestedBy {
				out = append(out, readiness.Hand{Person: person, Part: partFreezeRecorder, Source: r.ExecutionID})
			}
		}
	}
	return out, nil
}
