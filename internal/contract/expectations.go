package contract

import "caos"

// ImportReport says what became of each expectation of a suite.
type ImportReport struct {
	Suite    string         `json:"suite"`
	Format   string         `json:"format"` // "0.18" or "1.x"
	Mapped   []MappedRule   `json:"mapped"`
	Unmapped []UnmappedRule `json:"unmapped"`
}

// MappedRule is an expectation and the checks that it became.
type MappedRule struct {
	Index       int      `json:"index"` // in the suite, from 0
	Expectation string   `json:"expectation"`
	Column      string   `json:"column,omitempty"`
	Checks      []string `json:"checks"`         // ids of checks, or required, unique … of a property
	Note        string   `json:"note,omitempty"` // where the two do not mean exactly the same
}

// UnmappedRule is an expectation that has no counterpart here, and why.
type UnmappedRule struct {
	Index       int    `json:"index"`
	Expectation string `json:"expectation"`
	Column      string `json:"column,omitempty"`
	Reason      string `json:"reason"`
}

// ImportExpectations turns a Great Expectations suite (0.18 or 1.x JSON) into a contract
// with the given id and version. What could not be mapped is in the report, never dropped.
func ImportExpectations(text []byte, id, version string) ([]byte, ImportReport, error) {
	return nil, ImportReport{}, caos.Errorf(caos.Internal, "not written yet")
}
