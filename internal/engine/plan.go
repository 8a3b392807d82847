package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
)

// Plan is what a hook does. S is its saved state: it is stored as JSON after every commit
// and read back before every step, so what is not exported or not serialisable is lost.
type Plan[S any] struct {
	Hook     string // hook id, "CAOS.PROD.CERT.AUDIT"
	Version  string // of the hook's interface, semantic
	Revision int    // of this list of steps; a rename, drop or reorder is a new one
	Schema   int    // of S; Convert turns older ones into this

	Retry   RetryPolicy   // for steps without one of their own; zero means DefaultRetry
	Timeout time.Duration // running time, never a Wait; zero means none

	// AtOnce says that the steps are InTx and all happen in the submitting commit or not at
	// all: a failure of one, passing or not, is the submitter's answer and leaves nothing.
	AtOnce bool

	Begin  func(r *Run, input json.RawMessage) (*S, error) // required: the first state from the input
	Steps  []Step[S]
	Output func(s *S) any // required: the specification's output fields, called after every commit

	// Failed, if set, reports that the plan ended in a spec status that counts as failure
	// although every step went well (FAILED, ROLLED_BACK).
	Failed func(s *S) bool

	// Compensate runs before the execution ends FAILED or CANCELLED, unless nothing was
	// done yet.
	Compensate []Step[S]

	// Convert turns the JSON of state schema n into that of n+1.
	Convert map[int]func(json.RawMessage) (json.RawMessage, error)

	// Older lists the revisions whose stored positions this plan can go on from, because
	// all their step names still exist and mean the same.
	Older []int
}

// Step is one step of a plan over state S, made by InTx, Call, Wait, Child, Each or Repeat.
type Step[S any] struct{ n node }

type nodeKind string

const (
	kindInTx   nodeKind = "in_tx"
	kindCall   nodeKind = "call"
	kindWait   nodeKind = "wait"
	kindEach   nodeKind = "each"
	kindRepeat nodeKind = "repeat"
)

// node is a step without its type parameter. Only the fields of its kind are set.
type node struct {
	kind   nodeKind
	number int
	action string
	name   string

	inTx    func(tx *db.Tx, r *Run, s any) error
	before  func(tx *db.Tx, r *Run, s any) error
	call    func(ctx context.Context, r *Run, s any) error
	arm     func(tx *db.Tx, r *Run, s any) (WaitSpec, error)
	wake    func(tx *db.Tx, r *Run, s any, w Wake) (bool, error)
	items   func(s any) []string
	until   func(s any) bool
	inner   []node
	retry   *RetryPolicy
	timeout time.Duration
}

// InTx makes a step whose effect is in our database only: it happens exactly once,
// together with its audit record. do must not do I/O of any other kind.
func InTx[S any](number int, action, name string, do func(tx *db.Tx, r *Run, s *S) error) Step[S] {
	return Step[S]{node{kind: kindInTx, number: number, action: action, name: name,
		inTx: func(tx *db.Tx, r *Run, s any) error { return do(tx, r, s.(*S)) }}}
}

// Call makes a step with an effect outside the database. do may run more than once with
// the same r.Key(), and must then have one effect; what it changes in s is the result and
// is saved with the next commit.
func Call[S any](number int, action, name string, do func(ctx context.Context, r *Run, s *S) error) Step[S] {
	return Step[S]{node{kind: kindCall, number: number, action: action, name: name,
		call: func(ctx context.Context, r *Run, s any) error { return do(ctx, r, s.(*S)) }}}
}

// Before adds a check to a Call that runs in the commit of its intent: whoever touches
// production checks authorisation and revocation again here. An error means the effect
// does not happen.
func (s Step[S]) Before(check func(tx *db.Tx, r *Run, s *S) error) Step[S] {
	s.n.before = func(tx *db.Tx, r *Run, st any) error { return check(tx, r, st.(*S)) }
	return s
}

// Retry gives a step a retry policy of its own.
func (s Step[S]) Retry(p RetryPolicy) Step[S] { s.n.retry = &p; return s }

// Timeout bounds one attempt of a Call.
func (s Step[S]) Timeout(d time.Duration) Step[S] { s.n.timeout = d; return s }

// WaitSpec says what a Wait step waits for. At least one of Topic, Child and Until is set.
// A decision that comes after Until or Deadline is refused, also if the step was not woken
// yet; a step that outlives one of them waits on for what is left.
type WaitSpec struct {
	Topic    string    // decisions sent to the execution under this name
	Child    string    // id of a child execution, as returned by Run.Start; of another one, name Until, too, and have it call Run.Wake
	Until    time.Time // a moment at which the wait is over in the ordinary way
	Deadline time.Time // a moment at which the step is woken to say what happens now; zero for none
	Signal   bool      // Engine.Wake wakes it, too; name Until as well, in case nobody does
}

// WakeKind says why a Wait step was woken.
type WakeKind string

// The reasons. A wait may be woken more than once by Decision.
const (
	WakeDecision WakeKind = "decision"
	WakeChild    WakeKind = "child"
	WakeTime     WakeKind = "time"
	WakeDeadline WakeKind = "deadline"
	WakeSignal   WakeKind = "signal" // may come again
)

// Wake is what woke a Wait step.
type Wake struct {
	Kind     WakeKind
	Decision *Decision
	Child    *Execution // final, for WakeChild
}

// Wait makes a step that holds nothing while it waits. arm runs once, when the step is
// reached; wake runs for each thing that happens and reports whether the wait is over. An
// error of wake for a Decision refuses that decision and changes nothing; for any other
// kind it fails the step.
func Wait[S any](number int, action, name string, arm func(tx *db.Tx, r *Run, s *S) (WaitSpec, error),
	wake func(tx *db.Tx, r *Run, s *S, w Wake) (bool, error)) Step[S] {
	return Step[S]{node{kind: kindWait, number: number, action: action, name: name,
		arm:  func(tx *db.Tx, r *Run, s any) (WaitSpec, error) { return arm(tx, r, s.(*S)) },
		wake: func(tx *db.Tx, r *Run, s any, w Wake) (bool, error) { return wake(tx, r, s.(*S), w) }}}
}

// Each repeats steps for every item. The items are taken once, when it is reached, and
// kept: a later change of the state does not change them.
func Each[S any](name string, items func(s *S) []string, steps ...Step[S]) Step[S] {
	return Step[S]{node{kind: kindEach, name: name, inner: nodes(steps),
		items: func(s any) []string { return items(s.(*S)) }}}
}

// Repeat runs steps in rounds, at least once, until the condition holds after a round.
func Repeat[S any](name string, until func(s *S) bool, steps ...Step[S]) Step[S] {
	return Step[S]{node{kind: kindRepeat, name: name, inner: nodes(steps),
		until: func(s any) bool { return until(s.(*S)) }}}
}

func nodes[S any](steps []Step[S]) []node {
	out := make([]node, len(steps))
	for i, s := range steps {
		out[i] = s.n
	}
	return out
}

// Flow is a Plan without its type parameter, ready to be run. Make one with Plan.Flow.
type Flow struct {
	hook, version    string
	revision, schema int
	older            []int
	retry            RetryPolicy
	timeout          time.Duration
	atOnce           bool
	steps, undo      []node
	begin            func(r *Run, input json.RawMessage) (any, error)
	output           func(s any) any
	failed           func(s any) bool
	decode           func(schema int, data []byte) (any, error)
}

// Flow checks the plan and makes it runnable. It panics on a plan that cannot be right
// (no steps, a name used twice), because plans are written in code.
func (p Plan[S]) Flow() *Flow {
	f := &Flow{
		hook: p.Hook, version: p.Version, revision: p.Revision, schema: p.Schema, older: p.Older,
		retry: p.Retry, timeout: p.Timeout, atOnce: p.AtOnce, steps: nodes(p.Steps), undo: nodes(p.Compensate),
		begin:  func(r *Run, in json.RawMessage) (any, error) { return p.Begin(r, in) },
		output: func(s any) any { return p.Output(s.(*S)) },
		failed: func(s any) bool { return p.Failed != nil && p.Failed(s.(*S)) },
	}
	if f.retry == (RetryPolicy{}) {
		f.retry = DefaultRetry()
	}
	f.decode = func(schema int, data []byte) (any, error) {
		raw := json.RawMessage(data)
		for ; schema < p.Schema; schema++ {
			convert := p.Convert[schema]
			if convert == nil {
				return nil, fmt.Errorf("%s: no conversion from state schema %d", p.Hook, schema)
			}
			var err error
			if raw, err = convert(raw); err != nil {
				return nil, fmt.Errorf("%s: convert state schema %d: %w", p.Hook, schema, err)
			}
		}
		s := new(S)
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if err := dec.Decode(s); err != nil {
			return nil, fmt.Errorf("%s: read saved state: %w", p.Hook, err)
		}
		return s, nil
	}
	if len(f.steps) == 0 || p.Begin == nil || p.Output == nil {
		panic("engine: plan of " + p.Hook + " needs steps, Begin and Output")
	}
	seen := map[string]bool{}
	checkNames(p.Hook, f.steps, seen, false)
	checkNames(p.Hook, f.undo, seen, false)
	return f
}

func checkNames(hook string, list []node, seen map[string]bool, round bool) {
	for _, n := range list {
		if n.kind == kindRepeat && round {
			panic(fmt.Sprintf("engine: plan of %s: %q repeats inside a Repeat: rounds of the two would give two effects one key", hook, n.name))
		}
		if n.name == "" || seen[n.name] {
			panic(fmt.Sprintf("engine: plan of %s: step name %q is empty or used twice", hook, n.name))
		}
		seen[n.name] = true
		checkNames(hook, n.inner, seen, round || n.kind == kindRepeat)
	}
}

// StepInfo describes a step of a plan, for documents and for the check that every
// numbered action of the specification is done by a step.
type StepInfo struct {
	Number int
	Action string
	Name   string
	Kind   string
}

// Describe lists the plan's steps in order, those inside Each and Repeat included.
func (f *Flow) Describe() []StepInfo { return describe(f.steps, nil) }

func describe(list []node, out []StepInfo) []StepInfo {
	for _, n := range list {
		if n.inner == nil {
			out = append(out, StepInfo{Number: n.number, Action: n.action, Name: n.name, Kind: string(n.kind)})
		}
		out = describe(n.inner, out)
	}
	return out
}

// Hook returns the hook id, Version the interface version and Revision the revision of
// the step list.
func (f *Flow) Hook() string    { return f.hook }
func (f *Flow) Version() string { return f.version }
func (f *Flow) Revision() int   { return f.revision }

// Run is what a step knows of the execution it belongs to and of the commit it is in.
type Run struct {
	ExecutionID string
	HookID      string
	By          caos.Principal // who authenticated the submission
	RequestedBy string         // who is said to have asked
	Parent      string         // execution whose step started this one, "" for a submission
	Project     string         // that the execution belongs to, "" for none
	Step        string         // name of the running step
	Item        string         // of the innermost Each, "" outside
	Round       int            // of the innermost Repeat, 0 outside
	Attempt     int            // 1 for the first
	Now         time.Time      // one moment for the whole commit
	Ending      Status         // of a step of the compensation: FAILED or CANCELLED, as what the execution ends
	Cause       *caos.Error    // of a step of the compensation: why it ends so
	Findings    []caos.Finding // of a step of the compensation: those of the execution so far

	// Record is the audit record of this commit. A hook may shape Type, Actor, Resources,
	// Details, Authorization, Project and Classification; the engine fills the rest. Nil
	// inside a Call, which is in no commit.
	Record *auditlog.Record

	// RecordID is the id that the commit's audit record will have.
	RecordID string

	stamps   *caos.Stamper
	turn     *turn
	found    []caos.Finding // by a Call
	progress func(Progress)
}

// Key names this effect for ever: the same for every attempt, different for every item
// and round.
func (r *Run) Key() string {
	k := r.ExecutionID + "/" + r.Step
	if r.Item != "" {
		k += "/" + r.Item
	}
	if r.Round > 0 {
		k += fmt.Sprintf("/%d", r.Round)
	}
	return k
}

// ID returns prefix with a moment that is never given twice.
func (r *Run) ID(prefix string) string { return r.stamps.ID(prefix) }

// Find adds a finding to the execution, if the step succeeds. A step that says no returns
// its findings with Reject.
func (r *Run) Find(f caos.Finding) {
	if r.turn == nil {
		r.found = append(r.found, f)
		return
	}
	r.turn.next.Findings = append(r.turn.next.Findings, f)
}

// Wake makes an execution look again now that waits for this one's end, as WaitSpec.Child
// says it, although it did not start it. An end wakes the starter by itself and nobody else.
func (r *Run) Wake(tx *db.Tx, executionID string) {
	if r.turn != nil {
		r.turn.e.wakeParent(tx, executionID, r.ExecutionID, r.Now)
	}
}

// OnRecorded asks for the receipt of this commit's audit record. fn runs after the
// record's bytes are fixed and before the state and the output are saved, so it may put
// the hash into the state, but not into the record.
func (r *Run) OnRecorded(fn func(auditlog.Receipt)) {
	if r.turn != nil {
		r.turn.onRecorded = append(r.turn.onRecorded, fn)
	}
}

// Progress is how far a Call has come. It is shown to watchers and not stored.
type Progress struct {
	Step    string  `json:"step"`
	Item    string  `json:"item,omitempty"`
	Done    int64   `json:"done"`            // in Unit
	Total   int64   `json:"total,omitempty"` // 0 when unknown
	Unit    string  `json:"unit,omitempty"`  // "bytes", "rows"
	Percent float64 `json:"percent,omitempty"`
	Message string  `json:"message,omitempty"`
}

// Report tells watchers how far a Call has come.
func (r *Run) Report(p Progress) {
	if r.progress == nil {
		return
	}
	p.Step, p.Item = r.Step, r.Item
	if p.Total > 0 {
		p.Percent = 100 * float64(p.Done) / float64(p.Total)
	}
	r.progress(p)
}

// Rejection is the error of a gate that says no: the execution ends FAILED with the
// findings, and is not retried by itself.
type Rejection struct{ Findings []caos.Finding }

// Error names the first finding and counts the others.
func (r *Rejection) Error() string {
	switch len(r.Findings) {
	case 0:
		return "refused by a gate that gave no reason"
	case 1:
		return r.Findings[0].Message
	}
	return fmt.Sprintf("%s (and %d more findings)", r.Findings[0].Message, len(r.Findings)-1)
}

// Reject returns a Rejection with the findings, or nil when there are none.
func Reject(findings ...caos.Finding) error {
	if len(findings) == 0 {
		return nil
	}
	return &Rejection{Findings: findings}
}
