package registry

import (
	"slices"
	"strings"

	"caos"
	"caos/internal/db"
)

// ownedBy returns which of those behind an action owns a model or ever did, "" for none. A
// model that is given away for a moment is still its giver's.
func (m *Model) ownedBy(by By) string {
	for _, id := range []string{by.Actor, by.recorder()} {
		if id == m.Owner || slices.Contains(m.FormerOwners, id) {
			return id
		}
	}
	return ""
}

// notByOwner refuses what the owner of a model may not do about it, in words that follow
// "cannot". There is nothing to refuse about a model that is not there.
func (r *Registry) notByOwner(tx *db.Tx, modelID, what string, by By) error {
	m, err := r.ModelIn(tx, modelID)
	if k := caos.KindOf(err); k == caos.NotFound || k == caos.Invalid {
		return nil
	}
	if err != nil {
		return err
	}
	if id := m.ownedBy(by); id != "" {
		return caos.Errorf(caos.Denied, "%s owns or owned %s and cannot %s", id, modelID, what).WithRule("separation-of-duties").
			WithHint("somebody who never owned the model has to do this")
	}
	return nil
}

// replaces checks what a new version of a document takes away: the gates of a freeze look at
// the latest version alone, so what stood in the former one is gone.
func (r *Registry) replaces(tx *db.Tx, d, former *Document, p *Parsed, by By) error {
	if !gateKind(former.Kind) || former.ModelID == "" {
		return nil
	}
	if former.ModelID != d.ModelID || former.ModelVersion != d.ModelVersion {
		return r.leaves(tx, d, former)
	}
	var stored string
	if err := tx.Query(`SELECT facts FROM document_contents WHERE document_id = $1 AND version = $2`, []any{former.DocumentID, former.Version},
		func(scan func(...any) error) error { return scan(&stored) }); err != nil {
		return err
	}
	lost, err := lightened(former.Kind, stored, p)
	if err != nil || lost == "" {
		return err
	}
	return r.notByOwner(tx, former.ModelID, "take "+lost+" off "+former.DocumentID, by)
}

// leaves refuses that a document is made to be about something else while a freeze would
// still look at it: a report that failed would be gone without anybody having rejected it.
func (r *Registry) leaves(tx *db.Tx, d, former *Document) error {
	if former.ModelVersion != "" {
		v, err := r.VersionIn(tx, former.ModelID, former.ModelVersion)
		if err != nil {
			return err
		}
		if v.State != Registered {
			return nil
		}
	}
	about := former.ModelID
	if former.ModelVersion != "" {
		about = VersionKey(former.ModelID, former.ModelVersion)
	}
	return caos.Errorf(caos.Conflict, "the document %s is about %s, which is not frozen yet", d.DocumentID, about).WithField("document_id").
		WithHint("use another id, or say that it is about %s", about)
}

// lightened names something that a former version of a document held against a freeze and
// the new one does not: a requirement to be verified, a critical or high defect. "" is
// nothing.
func lightened(kind, stored string, p *Parsed) (string, error) {
	switch kind {
	case KindVVPlan:
		kept := map[string]bool{}
		if p.VVPlan != nil {
			for _, q := range p.VVPlan.Requirements {
				kept[q.RequirementID] = true
			}
		}
		for id := range strings.SplitSeq(stored, "\n") {
			if id != "" && !kept[id] {
				return "the requirement " + id, nil
			}
		}
	case KindDefectList:
		before, err := readDefectFacts(stored)
		if err != nil {
			return "", err
		}
		open, n := map[string]bool{}, 0
		for _, one := range p.Defects.Defects {
			if one.Status != closed && Severity(one.Severity).Blocks() {
				open[one.DefectID] = true
				n++
			}
		}
		for _, one := range before.Worst {
			if Severity(one.Severity).Blocks() && !open[one.DefectID] {
				return "the open defect " + one.DefectID, nil
			}
		}
		if n < before.Open[string(Critical)]+before.Open[string(High)] { // Worst holds the first ones alone
			return "open defects", nil
		}
	}
	return "", nil
}
