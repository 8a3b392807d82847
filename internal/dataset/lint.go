package dataset

// Severity of a lint finding.
const (
	LintError   = "error" // it cannot be registered
	LintWarning = "warning"
)

// LintFinding is something wrong with a definition, and what would mend it.
type LintFinding struct {
	Rule     string `json:"rule"` // transform-cycle
	Severity string `json:"severity"`
	Field    string `json:"field"` // transforms[2].sql
	Message  string `json:"message"`
	Remedy   string `json:"remedy,omitempty"`
}

// Lint says what is wrong with a definition, looking at nothing else; errors first, in the
// order of the text. Locations and contracts are looked up elsewhere.
func Lint(d Definition, most Limits) []LintFinding {
	return nil
}
