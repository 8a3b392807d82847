package registry

import (
	"slices"

	"caos/internal/db"
)

// Hand is somebody's part in a version. Whoever has one takes no decision on it.
type Hand struct {
	Person string // user id
	Part   string // PartOwner, …
	Source string // id of what shows it
}

// The parts that the registry knows of.
const (
	PartOwner       = "OWNER"
	PartFormerOwner = "FORMER_OWNER"
	PartVVAuthor    = "VV_AUTHOR"
	PartVVRecorder  = "VV_AUTHOR_RECORDER" // registered the report for its author
	PartFreezer     = "FREEZE_REQUESTER"   // of the freeze that made the baseline
)

// Hands returns who had a hand in a version, each part once: its model's owner and former
// owners, whoever registered any version of a V&V report about it, superseded ones too, and
// who recorded that for them, and who requested its freeze. Freezes that failed and who
// submitted one for its requester are known to the engine. A model that is not there is
// NotFound: nobody must pass because a question was wrong.
func (r *Registry) Hands(tx *db.Tx, modelID, version string) ([]Hand, error) {
	m, err := r.ModelIn(tx, modelID)
	if err != nil {
		return nil, err
	}
	if _, err := r.VersionIn(tx, modelID, version); err != nil {
		return nil, err
	}
	out := []Hand{{Person: m.Owner, Part: PartOwner, Source: modelID}}
	for _, id := range m.FormerOwners {
		out = append(out, Hand{Person: id, Part: PartFormerOwner, Source: modelID})
	}
	err = tx.Query(`SELECT DISTINCT document_id, registered_by, recorded_by FROM documents WHERE model_id = $1 AND model_version = $2 AND kind = $3
		ORDER BY document_id, registered_by, recorded_by`, []any{modelID, version, KindVVReport}, func(scan func(...any) error) error {
		var id, author, recorder string
		if err := scan(&id, &author, &recorder); err != nil {
			return err
		}
		out = append(out, Hand{Person: author, Part: PartVVAuthor, Source: id})
		if recorder != author {
			out = append(out, Hand{Person: recorder, Part: PartVVRecorder, Source: id})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = tx.Query(`SELECT freeze_id, frozen_by FROM baselines WHERE model_id = $1 AND version = $2`, []any{modelID, version}, func(scan func(...any) error) error {
		h := Hand{Part: PartFreezer}
		err := scan(&h.Source, &h.Person)
		out = append(out, h)
		return err
	})
	seen := map[Hand]bool{}
	return slices.DeleteFunc(out, func(h Hand) bool {
		again := h.Person == "" || seen[h]
		seen[h] = true
		return again
	}), err
}
