package readiness

import "time"

// ItemStatus is where a checklist item stands.
type ItemStatus string

// The states of a checklist item. Stored.
const (
	ItemPlanned       ItemStatus = "PLANNED"
	ItemInProgress    ItemStatus = "IN_PROGRESS"
	ItemComplete      ItemStatus = "COMPLETE"
	ItemNotApplicable ItemStatus = "NOT_APPLICABLE"
)

// Checklist is a template's questions asked about one baseline.
type Checklist struct {
	ChecklistID     string `json:"checklist_id"` // CHK-DLY-1.0.0; with -2 for a second template of the version
	TemplateID      string `json:"template_id"`
	TemplateVersion string `json:"template_version"`
	TemplateDigest  string `json:"template_digest"`
	Title           string `json:"title"`
	Subject
	OpenedAt    time.Time  `json:"opened_at"`
	OpenedBy    string     `json:"opened_by"`
	ExecutionID string     `json:"execution_id"` // the freeze that opened it, "" for a person
	CompletedAt *time.Time `json:"completed_at"` // when its last critical item closed, nil while one is open
	Items       []*Item    `json:"items"`        // in the order of the template
}

// Item is one question of a checklist and how it was answered.
type Item struct {
	ItemID       string      `json:"item_id"`
	Group        string      `json:"group"` // "M1"
	GroupTitle   string      `json:"group_title"`
	Title        string      `json:"title"`
	Question     string      `json:"question"`
	Criticality  Criticality `json:"criticality"`
	Status       ItemStatus  `json:"status"`
	Owner        string      `json:"owner"` // user id, "" for nobody yet
	OwnerRole    string      `json:"owner_role"`
	EvidenceHint string      `json:"evidence_hint"`
	Fact         string      `json:"fact"`
	DueOn        string      `json:"due_on"` // 2026-11-30, "" for none
	Note         string      `json:"note"`
	Evidence     []string    `json:"evidence"`    // ids
	DecisionID   string      `json:"decision_id"` // of the signed statement that completed it
	CompletedBy  string      `json:"completed_by"`
	CompletedAt  *time.Time  `json:"completed_at"`
	Imported     string      `json:"imported"` // what a file stated about it, never a status
	UpdatedAt    time.Time   `json:"updated_at"`
	Revision     int64       `json:"revision"`
}

// Closed reports whether the item is answered.
func (i *Item) Closed() bool { return i.Status == ItemComplete || i.Status == ItemNotApplicable }

// Open returns the items that are not answered, those that stand against an approval first.
func (c *Checklist) Open() (critical, minor []*Item) {
	for _, i := range c.Items {
		switch {
		case i.Closed():
		case i.Criticality == MinorItem:
			minor = append(minor, i)
		default:
			critical = append(critical, i)
		}
	}
	return critical, minor
}

// ChecklistFilter chooses checklists; empty fields match all.
type ChecklistFilter struct {
	ModelID, Version, BaselineID, TemplateID, Project string
	Limit                                             int // of a page; 0 means 100, the most is 1000
}
