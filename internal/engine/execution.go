package engine

import (
	"encoding/json"
	"time"

	"caos"
)

// Status is where an execution is in its life; see the package comment for the diagram.
type Status string

// The statuses. SUCCEEDED, FAILED and CANCELLED are final, but a FAILED execution can be
// retried from its failed step.
const (
	Queued    Status = "QUEUED"
	Running   Status = "RUNNING"
	Waiting   Status = "WAITING"
	Blocked   Status = "BLOCKED"
	Succeeded Status = "SUCCEEDED"
	Failed    Status = "FAILED"
	Cancelled Status = "CANCELLED"
)

// Final reports whether nothing more will happen by itself.
func (s Status) Final() bool { return s == Succeeded || s == Failed || s == Cancelled }

// Execution is one run of a hook as the API shows it.
type Execution struct {
	ID          string          `json:"execution_id"`
	HookID      string          `json:"hook_id"`
	HookVersion string          `json:"hook_version"`
	Revision    int             `json:"revision"` // of the plan; state is only resumed by the same revision or a conversion
	Status      Status          `json:"status"`
	Input       json.RawMessage `json:"input"`
	Output      json.RawMessage `json:"output"` // exactly the specification's fields, null for what is not true yet
	Error       *caos.Error     `json:"error"`
	Findings    []caos.Finding  `json:"findings"`
	Children    []string        `json:"children"`
	Steps       []StepRecord    `json:"steps"`
	RequestedBy string          `json:"requested_by"`
	CreatedAt   string          `json:"created_at"`  // RFC 3339, UTC, microseconds
	FinishedAt  *string         `json:"finished_at"` // null while it is not final

	// Not part of the API's answer; for listing, scoping and tests.
	ModelID string `json:"-"`
	By      string `json:"-"` // id of who authenticated the submission
	Project string `json:"-"`
	// Classification is that of what the execution is about: its input and output are
	// for those alone who may see that.
	Classification string    `json:"-"`
	Parent         string    `json:"-"`
	Version        int64     `json:"-"` // compare-and-swap counter
	WakeAt         time.Time `json:"-"` // when it will be looked at again; zero for never
	Topic          string    `json:"-"` // what a WAITING execution waits for
	Existing       bool      `json:"-"` // Submit found it under the same idempotency key
}

// StepStatus is how far one step has come.
type StepStatus string

// The step statuses. INTENT means: announced in the log, effect under way or unknown.
const (
	StepIntent   StepStatus = "INTENT"
	StepWaiting  StepStatus = "WAITING"
	StepRetrying StepStatus = "RETRYING"
	StepDone     StepStatus = "SUCCEEDED"
	StepFailed   StepStatus = "FAILED"
)

// StepRecord is what an execution remembers of one step. Number and Action are those of
// the specification's numbered list.
type StepRecord struct {
	Number        int        `json:"number"`
	Action        string     `json:"action"`
	Step          string     `json:"step"`
	Kind          string     `json:"kind"` // in_tx, call, wait
	Item          string     `json:"item,omitempty"`
	Round         int        `json:"round,omitempty"`
	Status        StepStatus `json:"status"`
	Attempt       int        `json:"attempt"`
	StartedAt     string     `json:"started_at"`
	FinishedAt    *string    `json:"finished_at"`
	Error         *string    `json:"error"`
	AuditRecordID string     `json:"audit_record_id"` // of the commit that last changed this step
}

// RetryPolicy says how often and when a step that failed for a passing reason is tried
// again. The wait before attempt n+1 is initial·factor^(n-1), at most max, less a random
// share of up to jitter.
type RetryPolicy struct {
	MaxAttempts       int     `json:"max_attempts"`
	InitialIntervalMS int64   `json:"initial_interval_ms"`
	MaxIntervalMS     int64   `json:"max_interval_ms"`
	Factor            float64 `json:"factor"`
	Jitter            float64 `json:"jitter"` // 0 to 1
}

// DefaultRetry is used where a hook names no policy: five attempts over about 15 s.
func DefaultRetry() RetryPolicy {
	return RetryPolicy{MaxAttempts: 5, InitialIntervalMS: 1000, MaxIntervalMS: 60_000, Factor: 2, Jitter: 0.2}
}

// delay returns the pause after the given failed attempt (1 for the first). random is in
// [0,1).
func (p RetryPolicy) delay(attempt int, random float64) time.Duration {
	d := float64(p.InitialIntervalMS)
	for range min(attempt-1, 64) {
		d *= max(p.Factor, 1)
		if d > float64(p.MaxIntervalMS) {
			break
		}
	}
	d = min(d, float64(p.MaxIntervalMS))
	d -= d * min(max(p.Jitter, 0), 1) * random
	return time.Duration(d * float64(time.Millisecond))
}
