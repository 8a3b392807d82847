// Package hook holds the hooks of the specification, a file each, and the service through
// which they are submitted.
//
// A hook's file is named after its id: CAOS.PROD.CERT.AUDIT is in cert_audit.go. It reads
// top to bottom: the section of the specification, input and output, saved state, the
// collaborators it may touch, and the steps in the specification's own words. catalog.go
// lists all hooks; nothing registers itself.
package hook

import (
	"context"
	"encoding/json"
	"reflect"
	"time"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/engine"
)

// Hook is one of the operations of the specification.
type Hook struct {
	ID      string // "CAOS.PROD.CERT.AUDIT"
	Version string // of its interface, semantic
	Section string // of the specification, "9.2"
	Title   string
	Trigger string // the specification's Trigger line
	Owner   string // who answers for it; may be changed in the registry

	Retry   engine.RetryPolicy
	Timeout time.Duration // running time of one execution

	Input, Output reflect.Type // structs with the specification's fields
	Flow          *engine.Flow

	// Read says what a well-formed input names.
	Read func(ctx context.Context, input json.RawMessage) (Named, error)

	// Gates must all hold for an execution to come into being. They are tested in order,
	// inside the submitting transaction; a dry run reports every one.
	Gates []Gate

	// Explain answers the gates that the hook's steps will ask, for a dry run; nil if there
	// are none. It changes nothing.
	Explain func(ctx context.Context, d *db.DB, q Question) ([]Verdict, error)

	// Ask makes the input of somebody who wonders about a version of a model; nil for a hook
	// that is not about one.
	Ask func(ctx context.Context, about Subject, by caos.Principal) (json.RawMessage, error)

	// Past answers, as far as it was kept, what the steps' gates would have said about a
	// version at a moment; nil for a hook that keeps nothing of it.
	Past func(ctx context.Context, about Subject) ([]Verdict, error)

	// Release answers what stands between a version and its release; nil but for the hook
	// that opens the release authorisation.
	Release func(ctx context.Context, about Subject) ([]Verdict, error)
}

// Named is what an input names, for authorisation and for lists.
type Named struct {
	Actor   string // the identity field: who is said to ask; "" when the input has none
	Model   string
	Owner   string // of the model, where that matters to who may submit
	Project string
	// Classification of what it names: whoever lacks the clearance neither submits nor sees
	// the execution.
	Classification      string
	InputClassification string // classification of what else it names, where that is higher; "" for the same
	Reports             bool   // the identity field is testimony about somebody else, so no right is needed to write it

	ExecutionPrefix string // of the execution's id; "EXEC-" when empty
}

// highest is the classification of what an execution is about: of what its input names and
// its findings tell.
func (n Named) highest() string {
	if n.InputClassification != "" {
		return n.InputClassification
	}
	return n.Classification
}

// Question is what a gate is asked about.
type Question struct {
	Hook  *Hook
	By    caos.Principal
	Named Named
	Input json.RawMessage

	// May decides whether the caller may do something to what only the gate knows of.
	May func(tx *db.Tx, action string, res auth.Resource) error
}

// Gate is one condition that the request and the state of things must meet.
type Gate struct {
	Name   string // "package-open"
	Action string // what it protects, in words
	Test   func(tx *db.Tx, q Question) (facts map[string]any, err error)
}

// Verdict is what a gate said.
type Verdict struct {
	Gate    string         `json:"gate"`
	Action  string         `json:"action"`
	Pass    bool           `json:"pass"`
	Facts   map[string]any `json:"facts,omitempty"`
	Finding *caos.Finding  `json:"finding,omitempty"`
	Who     *Who           `json:"who,omitempty"` // could clear it; nil where nobody in particular could, or it holds

	// Ceiling is the best decision of a board that the gate allows, "" for a gate that stops
	// an execution altogether.
	Ceiling string `json:"ceiling,omitempty"`

	clearing clearing
	ids      []string // what it is about, for reports
}

// What would happen to a submission.
const (
	WouldRun       = "run"
	WouldBeRefused = "be refused" // there would be no execution
	WouldFail      = "end FAILED" // by a gate of its first step
)

// Explanation is the answer to a dry run: what would happen, and what every gate says.
type Explanation struct {
	Hook  string    `json:"hook_id"`
	At    string    `json:"at,omitempty"`   // the moment that it is about, "" for now
	Would string    `json:"would"`          // WouldRun, WouldBeRefused or WouldFail
	Best  string    `json:"best,omitempty"` // decision that a board could come to: the lowest ceiling of the gates
	Gates []Verdict `json:"gates"`
	Steps []Planned `json:"steps"`
}

// Planned is a step that an execution would do.
type Planned struct {
	Number int    `json:"number"`
	Action string `json:"action"`
	Step   string `json:"step"`
	Kind   string `json:"kind"`
}

// optional returns nil for "", so that an output shows null for what is not true yet.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
