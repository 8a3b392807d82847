package readiness

// ItemChange is what may be changed about an open item; nil leaves a field. The status is
// PLANNED or IN_PROGRESS here.
type ItemChange struct {
	Owner  *string     `json:"owner,omitempty"`
	DueOn  *string     `json:"due_on,omitempty"`
	Note   *string     `json:"note,omitempty"`
	Status *ItemStatus `json:"status,omitempty"`
}

// Completion says why an item is answered.
type Completion struct {
	Evidence      []string `json:"evidence,omitempty"`       // ids
	Statement     string   `json:"statement,omitempty"`      // in words; signed
	NotApplicable bool     `json:"not_applicable,omitempty"` // the question does not arise for this version
}

// StatedItem is what a file says about an item.
type StatedItem struct {
	ItemID string // "1.1"
	Stated string // the words of the file: status, owner, date
	Note   string
}
