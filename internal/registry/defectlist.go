package registry

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"caos"
)

// closed is the state of a defect that is dealt with.
const closed = "CLOSED"

// DefectList is a list of a model version's defects.
type DefectList struct {
	ModelID      string   `json:"model_id"`
	ModelVersion string   `json:"model_version"`
	Defects      []Defect `json:"defects"`
}

// Defect is one entry of a defect list.
type Defect struct {
	DefectID   string `json:"defect_id"`
	Title      string `json:"title"`
	Severity   string `json:"severity"` // CRITICAL, HIGH, MEDIUM, LOW
	Status     string `json:"status"`   // OPEN, IN_PROGRESS, CLOSED
	Resolution string `json:"resolution,omitempty"`
}

// OpenDefect is a defect that is not CLOSED, and the list it is in.
type OpenDefect struct {
	DocumentID string `json:"document_id"`
	Defect
}

// ParseDefectList reads a defect list, JSON or YAML, as strictly as ParseVVReport. An empty
// list is a statement that there are no defects.
func ParseDefectList(data []byte) (*DefectList, error) {
	var l DefectList
	if err := decodeStrict(data, &l); err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	return &l, nil
}

func (l *DefectList) check() error {
	if err := caos.CheckID("model", "model_id", l.ModelID); err != nil {
		return err
	}
	if _, err := parseVersion("model_version", l.ModelVersion); err != nil {
		return err
	}
	if l.Defects == nil {
		return caos.Errorf(caos.Invalid, "the list has no defects field").WithField("defects").WithHint("[] if there are none")
	}
	if err := tooMany("defects", len(l.Defects), maxDefects); err != nil {
		return err
	}
	seen := make(map[string]bool, len(l.Defects))
	for i := range l.Defects {
		d := &l.Defects[i]
		if err := d.check(); err != nil {
			return inList("defects", i, err)
		}
		if seen[d.DefectID] {
			return inList("defects", i, caos.Errorf(caos.Invalid, "the defect %s is listed twice", d.DefectID).WithField("defect_id"))
		}
		seen[d.DefectID] = true
	}
	return nil
}

func (d *Defect) check() error {
	if strings.TrimSpace(d.DefectID) == "" || strings.TrimSpace(d.DefectID) != d.DefectID {
		return caos.Errorf(caos.Invalid, "the defect has no id, or one with spaces around it").WithField("defect_id")
	}
	return cmp.Or(
		checkLine("defect_id", d.DefectID, maxName), checkTitle("title", d.Title),
		caos.CheckWord("severity", d.Severity, []string{"CRITICAL", "HIGH", "MEDIUM", "LOW"}),
		caos.CheckWord("status", d.Status, []string{"OPEN", "IN_PROGRESS", closed}), checkText("resolution", d.Resolution),
	)
}

// defectFacts is how the facts of a defect list are stored.
type defectFacts struct {
	Open  map[string]int `json:"open"`  // by severity
	Worst []Defect       `json:"worst"` // the first 100 open ones, worst first
}

func (l *DefectList) facts() string {
	f := defectFacts{Open: map[string]int{}, Worst: []Defect{}}
	for _, d := range l.Defects {
		if d.Status != closed {
			f.Open[d.Severity]++
			d.Resolution = clip(d.Resolution)
			f.Worst = append(f.Worst, d)
		}
	}
	slices.SortStableFunc(f.Worst, func(a, b Defect) int { return cmp.Compare(weight(b.Severity), weight(a.Severity)) })
	f.Worst = f.Worst[:min(len(f.Worst), maxShown)]
	raw, _ := json.Marshal(f) // strings and counts cannot fail
	return string(raw)
}

func readDefectFacts(stored string) (*defectFacts, error) {
	var f defectFacts
	if err := json.Unmarshal([]byte(stored), &f); err != nil {
		return nil, fmt.Errorf("registry: read facts of a defect list: %w", err)
	}
	return &f, nil
}

// facts of a plan are its requirement ids, one a line.
func (p *VVPlan) facts() string {
	ids := make([]string, len(p.Requirements))
	for i, q := range p.Requirements {
		ids[i] = q.RequirementID
	}
	return strings.Join(ids, "\n")
}
