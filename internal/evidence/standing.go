package evidence

import (
	"path"
	"time"

	"caos/internal/db"
)

// maxStanding bounds what is read of a model's evidence inside one transaction.
const maxStanding = 10_000

// Need is an id that a package of the model plans to cover.
type Need struct {
	Kind    string   `json:"kind"` // "requirement" or "objective"
	ID      string   `json:"id"`
	Covered bool     `json:"covered"` // an item covers it, and no later one failed for it
	Failed  string   `json:"failed"`  // the latest item, if that failed for it; "" otherwise
	Items   []string `json:"items"`   // that cover it, earliest first, at most 20
}

// Collected is an item as a list of evidence shows it.
type Collected struct {
	EvidenceID     string    `json:"evidence_id"`
	PackageID      string    `json:"package_id"`
	Type           string    `json:"type"`
	Category       string    `json:"category"`
	Verdict        string    `json:"verdict"`
	Name           string    `json:"name"` // last part of the artifact's address
	Digest         string    `json:"digest"`
	Classification string    `json:"classification"`
	CollectedAt    time.Time `json:"collected_at"`
	Covers         []string  `json:"covers"` // planned ids that it names, at most 20
}

// Standing is how the evidence for a model stands against the plans of its packages.
type Standing struct {
	Packages []*Package   `json:"packages"` // of the model in its project, latest first
	Planned  int          `json:"planned"`  // packages that have a plan
	Needs    []Need       `json:"needs"`    // ids of the plans, each once, by kind and id
	Items    []*Collected `json:"items"`    // latest first, at most 1000
	Total    int64        `json:"total"`    // items, all of them
	Cut      bool         `json:"cut"`      // there is more than was read: what is missing may be there
}

// StandingIn reads how a model's evidence stands, as a transaction sees it. A failed item is
// answered by a later one that covers the same id, as a repeated test is.
func (r *Repository) StandingIn(tx *db.Tx, modelID, project string) (*Standing, error) {
	s := &Standing{Packages: []*Package{}, Needs: []Need{}, Items: []*Collected{}}
	err := tx.Query(`SELECT `+packageColumns+` FROM packages p JOIN package_counts c ON c.package_id = p.package_id
		WHERE p.model_id = $1 AND p.project = $2 ORDER BY p.created_at DESC, p.package_id DESC LIMIT 200`, []any{modelID, project}, func(scan func(...any) error) error {
		p, err := scanPackage(scan)
		if err != nil {
			return err
		}
		s.Packages = append(s.Packages, p)
		s.Total += p.Counts.Items
		if p.PlanVersion > 0 {
			s.Planned++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	covers, err := s.readNeeds(tx, modelID, project)
	if err != nil {
		return nil, err
	}
	return s, s.readItems(tx, modelID, project, covers)
}

// readNeeds reads the planned ids and what the items say of them, and returns the ids that
// each item names.
func (s *Standing) readNeeds(tx *db.Tx, modelID, project string) (map[string][]string, error) {
	type key struct {
		kind kind
		id   string
	}
	at := map[key]int{}
	rows := 0
	err := tx.Query(`SELECT DISTINCT n.kind, n.id FROM package_planned n JOIN packages p ON p.package_id = n.package_id
		WHERE p.model_id = $1 AND p.project = $2 ORDER BY n.kind, n.id LIMIT $3`, []any{modelID, project, maxStanding + 1}, func(scan func(...any) error) error {
		var k key
		if err := scan(&k.kind, &k.id); err != nil {
			return err
		}
		if rows++; rows > maxStanding {
			s.Cut = true
			return nil
		}
		at[k] = len(s.Needs)
		s.Needs = append(s.Needs, Need{Kind: k.kind.String(), ID: k.id, Items: []string{}})
		return nil
	})
	if err != nil {
		return nil, err
	}
	covers := map[string][]string{}
	rows = 0
	err = tx.Query(`SELECT c.kind, c.id, c.evidence_id, c.covering FROM evidence_covers c JOIN packages p ON p.package_id = c.package_id
			JOIN evidence e ON e.evidence_id = c.evidence_id
		WHERE p.model_id = $1 AND p.project = $2 AND c.planned = 1 ORDER BY e.collected_at, c.evidence_id, c.kind, c.id LIMIT $3`,
		[]any{modelID, project, maxStanding + 1}, func(scan func(...any) error) error {
			var k key
			var item string
			var covering int64
			if err := scan(&k.kind, &k.id, &item, &covering); err != nil {
				return err
			}
			if rows++; rows > maxStanding {
				s.Cut = true
				return nil
			}
			if len(covers[item]) < 20 {
				covers[item] = append(covers[item], k.id)
			}
			i, planned := at[k]
			if !planned {
				return nil
			}
			n := &s.Needs[i]
			if covering == 0 {
				n.Covered, n.Failed = false, item
				return nil
			}
			n.Covered, n.Failed = true, ""
			if len(n.Items) < 20 {
				n.Items = append(n.Items, item)
			}
			return nil
		})
	return covers, err
}

func (s *Standing) readItems(tx *db.Tx, modelID, project string, covers map[string][]string) error {
	return tx.Query(`SELECT e.evidence_id, e.package_id, e.type, e.category, e.verdict, e.artifact_uri, e.digest, e.classification, e.collected_at FROM evidence e
			JOIN packages p ON p.package_id = e.package_id
		WHERE e.model_id = $1 AND p.project = $2 ORDER BY e.collected_at DESC, e.evidence_id DESC LIMIT 1000`, []any{modelID, project}, func(scan func(...any) error) error {
		var c Collected
		var uri string
		var us int64
		err := scan(&c.EvidenceID, &c.PackageID, &c.Type, &c.Category, &c.Verdict, &uri, &c.Digest, &c.Classification, &us)
		c.Name, c.CollectedAt, c.Covers = path.Base(uri), time.UnixMicro(us).UTC(), append([]string{}, covers[c.EvidenceID]...)
		s.Items = append(s.Items, &c)
		return err
	})
}
