package readiness

import "time"

// ShippedTemplate is the id of the checklist template that CAOS brings along: the readiness
// checklist that MODEL.PRR asks for unless told otherwise.
const ShippedTemplate = "95-00-09-01-005"

// Criticality says whether a checklist item may be open when a version is approved.
type Criticality string

// The criticalities. Stored.
const (
	CriticalItem Criticality = "CRITICAL"
	MinorItem    Criticality = "MINOR"
)

// Template is a version of a checklist template.
type Template struct {
	TemplateID   string    `json:"template_id"`
	Version      string    `json:"version"`
	Title        string    `json:"title"`
	Source       string    `json:"source,omitempty"` // where its questions come from
	Groups       []Group   `json:"groups"`
	Digest       string    `json:"digest"` // of its canonical JSON without digest and what follows
	RegisteredAt time.Time `json:"registered_at"`
	RegisteredBy string    `json:"registered_by"`
}

// Group is a heading of a checklist and the items under it.
type Group struct {
	ID    string         `json:"id"` // M1
	Title string         `json:"title"`
	Items []TemplateItem `json:"items"`
}

// TemplateItem is a question that a board wants answered.
type TemplateItem struct {
	ItemID       string      `json:"item_id"` // 1.1
	Title        string      `json:"title"`
	Question     string      `json:"question"`
	Criticality  Criticality `json:"criticality"`
	OwnerRole    string      `json:"owner_role"`              // whose work it usually is
	EvidenceHint string      `json:"evidence_hint,omitempty"` // what would show it
	Fact         string      `json:"fact,omitempty"`          // what of CAOS's own shows it, see Facts
}
