// Package contract reads data contracts, turns their checks into SQL, and judges what the
// SQL found. It is pure: it runs nothing, opens nothing and knows no clock but the one it
// is given. caos-worker runs the statements; the caller brings back the rows.
//
// A contract is a document of the Open Data Contract Standard v3.1.0. Parse validates it
// with the dated JSON Schema and then refuses what that schema leaves open and this program
// does not know. Compile writes, for one object and the columns that the data has, two
// statements that between them answer all checks: the first makes every count, distinct
// count and quantile in one pass, the second looks at single rows with what the first found
// (fences of outliers, samples of failing rows). Evaluate is the verdict.
package contract

// Contract is one document, reduced to what can be checked.
type Contract struct {
	ID          string   `json:"contract_id"` // a document id, such as 95-00-09-02-004
	Version     string   `json:"version"`     // the document's own version, compared as text
	Name        string   `json:"name,omitempty"`
	Status      string   `json:"status"` // free text in the standard: draft, active, …
	Description string   `json:"description,omitempty"`
	Digest      string   `json:"digest"` // SHA256:<hex> of the canonical JSON of the document
	Objects     []Object `json:"objects"`
}

// Object is one table of a contract: an element of the standard's schema list.
type Object struct {
	Name         string     `json:"name"`
	PhysicalName string     `json:"physical_name,omitempty"`
	Properties   []Property `json:"properties,omitempty"`
	Checks       []Check    `json:"checks"`          // in the order in which they are reported
	Texts        []string   `json:"texts,omitempty"` // rules of type text: for people, never counted
}

// Property is one column that a contract describes.
type Property struct {
	Name           string `json:"name"`
	PhysicalName   string `json:"physical_name,omitempty"` // the column's name in the data; empty: Name
	LogicalType    string `json:"logical_type,omitempty"`
	PhysicalType   string `json:"physical_type,omitempty"`
	Required       bool   `json:"required,omitempty"`
	Unique         bool   `json:"unique,omitempty"`
	PrimaryKey     bool   `json:"primary_key,omitempty"`
	KeyPosition    int    `json:"key_position,omitempty"`
	Classification string `json:"classification,omitempty"` // anything but "" and public keeps its values out of samples and profiles
}

// Column returns the name that the property has in the data.
func (p *Property) Column() string {
	if p.PhysicalName != "" {
		return p.PhysicalName
	}
	return p.Name
}

// The kinds of check.
const (
	KindLibrary = "library" // a metric of the standard
	KindSQL     = "sql"     // one SELECT with one number
	KindCustom  = "custom"  // a check of the engine "caos"
	KindSchema  = "schema"  // made of required, unique, primaryKey, logicalType, …
)

// The severities. A failed error is a FAIL and blocks a publication; a failed warning or
// info makes a PASS a WARNING.
const (
	SeverityError   = "error"
	SeverityWarning = "warning"
	SeverityInfo    = "info"
)

// Check is one rule with one answer: passed or failed.
type Check struct {
	ID          string    `json:"check_id"` // unique in its object; made from place and metric when the document gives none
	Name        string    `json:"name,omitempty"`
	Description string    `json:"description,omitempty"`
	Object      string    `json:"object"`
	Property    string    `json:"property,omitempty"`   // the property it hangs on; empty at object level
	Properties  []string  `json:"properties,omitempty"` // all it looks at, by name
	Dimension   string    `json:"dimension"`            // accuracy, completeness, conformity, consistency, coverage, timeliness, uniqueness
	Kind        string    `json:"kind"`
	Metric      string    `json:"metric"` // nullValues, …; outliers, …; required, type, …; sql
	Severity    string    `json:"severity"`
	Weight      float64   `json:"weight"`
	Unit        string    `json:"unit,omitempty"` // rows or percent; empty where the metric is neither
	Operator    string    `json:"operator,omitempty"`
	Bounds      []float64 `json:"bounds,omitempty"` // one, or two of mustBeBetween and mustNotBeBetween

	rule rule // what it does: arguments, checked
}

// Blocking reports whether a failure of the check forbids the publication.
func (c *Check) Blocking() bool { return c.Severity == SeverityError }
