package contract

// The verdicts of a validation.
const (
	Pass    = "PASS"
	Warning = "WARNING"
	Fail    = "FAIL"
)

// Outcome is what the checks of one object say about one table.
type Outcome struct {
	Status        string              `json:"status"`
	Reason        string              `json:"reason,omitempty"` // why it is a FAIL although no check failed: no rows, no checks
	Score         *float64            `json:"score"`            // weight of the passed checks / weight of all; null without checks
	BlockingScore *float64            `json:"blocking_score"`   // the same of the checks of severity error
	Dimensions    map[string]*float64 `json:"dimensions"`       // the same by dimension
	Rows          int64               `json:"rows"`
	Performed     int                 `json:"performed"` // passed + failed
	Passed        int                 `json:"passed"`
	Failed        int                 `json:"failed"`
	Blocked       bool                `json:"blocked"` // a check of severity error failed, or there was nothing to check
	Checks        []CheckResult       `json:"checks"`
	Anomalies     int64               `json:"anomalies"` // distinct values that the outlier checks flagged, before any cap
	Samples       []Sample            `json:"samples,omitempty"`
	Columns       []Profile           `json:"columns,omitempty"`
}

// CheckResult is the answer of one check.
type CheckResult struct {
	Check
	Passed      bool     `json:"passed"`
	Value       string   `json:"value"`              // what was measured, for people
	Expected    string   `json:"expected"`           // the bound, for people
	Measured    *float64 `json:"measured,omitempty"` // what was compared with the bound
	FailingRows int64    `json:"failing_rows"`       // rows that break the rule, whatever the bound allows
	Message     string   `json:"message,omitempty"`  // why it failed, or what a reader should know
	CannotRun   bool     `json:"cannot_run,omitempty"`
}

// Sample is a row that breaks a rule: the columns that the check looks at and the primary
// key, as text of at most 200 characters, redacted where the contract or the caller says so.
type Sample struct {
	Check string            `json:"check_id"`
	Row   map[string]string `json:"row"`
}

// Profile describes a column. Fields that were not asked for are nil or empty.
type Profile struct {
	Name      string     `json:"name"`
	Type      string     `json:"type"`
	Nulls     *int64     `json:"nulls,omitempty"`
	Invalid   *int64     `json:"invalid,omitempty"` // NaN and infinities
	Distinct  *int64     `json:"distinct,omitempty"`
	Min       string     `json:"min,omitempty"`
	Max       string     `json:"max,omitempty"`
	Mean      *float64   `json:"mean,omitempty"`
	StdDev    *float64   `json:"stddev,omitempty"`      // of the sample (n-1)
	Quantiles []Quantile `json:"quantiles,omitempty"`   // 0.05, 0.25, 0.5, 0.75, 0.95 when complete
	Lower     *float64   `json:"lower_fence,omitempty"` // of the outlier check on this column
	Upper     *float64   `json:"upper_fence,omitempty"`
	Outliers  *int64     `json:"outliers,omitempty"` // rows outside the fences
	Redacted  bool       `json:"redacted,omitempty"`
}

// Quantile is an exact quantile, interpolated linearly between neighbours.
type Quantile struct {
	P     float64 `json:"p"`
	Value float64 `json:"value"`
}
