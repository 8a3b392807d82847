package policy

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	cedar "github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"

	"caos"
)

// Names in Decision.Policies for refusals that no single policy stands for.
const (
	RuleDefault = "deny-by-default"       // no policy permits it
	RuleSchema  = "request-not-in-schema" // the question itself is malformed: a defect of the caller
)

// Set is a loaded, immutable set of policies. It may be used by many goroutines.
type Set struct {
	voc     *vocabulary
	rules   []*rule // by id
	byID    map[types.PolicyID]*rule
	actions map[string]*action
	digest  string
	records recordCache
}

// action is what is prepared for one action of the schema.
type action struct {
	entity    types.Entity
	resources []types.EntityType
	context   resolved.RecordType
	policies  bucket
}

// bucket holds the policies whose scope reaches one action, in the order of their ids, with
// that part of the scope taken out: it holds already. Asking only these, and not for the
// action again, is what keeps a decision at a few microseconds.
type bucket []scoped

type scoped struct {
	id     types.PolicyID
	policy *cedar.Policy
}

// All lets a bucket be authorised against.
func (b bucket) All() iter.Seq2[types.PolicyID, *cedar.Policy] {
	return func(yield func(types.PolicyID, *cedar.Policy) bool) {
		for _, s := range b {
			if !yield(s.id, s.policy) {
				return
			}
		}
	}
}

// withoutAction returns a policy for one action that its scope is known to include.
func withoutAction(p *cedar.Policy) *cedar.Policy {
	tree := *p.AST()
	tree.Action = ast.ScopeTypeAll{}
	return cedar.NewPolicyFromAST(&tree)
}

// Subject is a principal in the form in which policies see it. Making one costs more than
// a decision does: keep it as long as the facts in it hold.
type Subject struct {
	uid    types.EntityUID
	entity types.Entity
	roles  []string
	mfa    bool
}

// Standing is what an account was granted besides its roles.
type Standing struct {
	Scoped     bool     // true: only Projects; false: every project
	Projects   []string // meaningful if Scoped
	Clearances []string // classifications above Internal
}

// NewSubject prepares a principal. Roles that do not exist are left out.
func (s *Set) NewSubject(p caos.Principal, st Standing) *Subject {
	uid := types.NewEntityUID(userType, types.String(p.ID))
	parents := make([]types.EntityUID, 0, len(p.Roles))
	roles := make([]string, 0, len(p.Roles))
	for _, r := range p.Roles {
		if s.voc.roles[types.String(r)] {
			parents = append(parents, types.NewEntityUID(roleType, types.String(r)))
			roles = append(roles, r)
		}
	}
	return &Subject{
		uid: uid,
		entity: types.Entity{
			UID:     uid,
			Parents: types.NewEntityUIDSet(parents...),
			Attributes: types.NewRecord(types.RecordMap{
				"id":         types.String(p.ID),
				"scoped":     types.Boolean(st.Scoped),
				"projects":   stringSet(st.Projects),
				"clearances": stringSet(st.Clearances),
				"enabled_by": types.String(p.EnabledBy),
			}),
		},
		roles: roles,
		mfa:   p.MFA != "",
	}
}

// WithMFA returns the subject with or without a second factor.
func (s *Subject) WithMFA(mfa bool) *Subject {
	if s.mfa == mfa {
		return s
	}
	c := *s
	c.mfa = mfa
	return &c
}

// Attributes are what every resource has; see the schema.
type Attributes struct {
	Project        string
	Classification string
	Owner          string
	Parties        []string
	Collection     bool
}

// Request is one question. Context holds the further facts that the schema declares for
// the action ("mfa" comes from the subject).
type Request struct {
	Subject      *Subject
	Action       string
	ResourceType string
	Resource     string
	Attrs        Attributes
	Context      map[string]any
}

// Decision is the answer. Exactly one of three holds: Allow; StepUp, which means that the
// same request with a second factor would be allowed; or neither, which is a refusal.
type Decision struct {
	Allow    bool
	StepUp   bool
	Policies []string // @id of the policies that decided, or one of the Rule names; read-only
	Reasons  []string // their @reason; read-only
}

// Rule returns the name of the first policy that decided.
func (d Decision) Rule() string {
	if len(d.Policies) == 0 {
		return RuleDefault
	}
	return d.Policies[0]
}

// Decide answers a request. It denies when any policy that could apply fails to evaluate.
func (s *Set) Decide(r Request) Decision {
	if r.Subject == nil {
		return refuse(RuleSchema, "no principal")
	}
	d, diag := s.authorize(r, r.Subject.mfa)
	if d.Allow || r.Subject.mfa || len(diag.Errors) > 0 || !s.asksForMore(diag.Reasons) {
		return d
	}
	// Would a second factor, and nothing but it, make the difference? If not, the answer
	// is what else stands in the way: nobody is sent for a code that cannot help.
	again, _ := s.authorize(r, true)
	if !again.Allow {
		return again
	}
	d.StepUp = true
	return d
}

// asksForMore reports whether a policy that asks for a second factor is among the reasons.
func (s *Set) asksForMore(reasons []types.DiagnosticReason) bool {
	return slices.ContainsFunc(reasons, func(r types.DiagnosticReason) bool { return s.byID[r.PolicyID].stepUp })
}

func (s *Set) authorize(r Request, mfa bool) (Decision, types.Diagnostic) {
	none := types.Diagnostic{}
	act, ok := s.actions[r.Action]
	if !ok {
		return refuse(RuleSchema, fmt.Sprintf("there is no action %q", r.Action)), none
	}
	kind := types.EntityType(r.ResourceType)
	if !slices.Contains(act.resources, kind) {
		return refuse(RuleSchema, fmt.Sprintf("action %s does not apply to a %q", r.Action, r.ResourceType)), none
	}
	ctx, err := s.context(act, r.Context, mfa)
	if err != nil {
		return refuse(RuleSchema, fmt.Sprintf("action %s: %v", r.Action, err)), none
	}
	w := world{
		subject:  r.Subject,
		resource: types.Entity{UID: types.NewEntityUID(kind, types.String(r.Resource)), Attributes: s.records.attributes(r.Attrs)},
		action:   act,
	}
	decision, diag := cedar.Authorize(act.policies, &w, cedar.Request{
		Principal: r.Subject.uid, Action: act.entity.UID, Resource: w.resource.UID, Context: ctx,
	})
	return s.explain(r, decision, diag), diag
}

func (s *Set) context(act *action, further map[string]any, mfa bool) (types.Record, error) {
	if len(further) == 0 {
		return s.records.circumstances(mfa), nil
	}
	all := maps.Clone(further)
	all["mfa"] = mfa
	m, err := convert(act.context, all)
	if err != nil {
		return types.Record{}, err
	}
	return types.NewRecord(m), nil
}

func (s *Set) explain(r Request, decision types.Decision, diag types.Diagnostic) Decision {
	if len(diag.Errors) > 0 {
		d := Decision{}
		for _, e := range diag.Errors {
			d.Policies = append(d.Policies, string(e.PolicyID))
			d.Reasons = append(d.Reasons, "the policy failed to evaluate: "+e.Message)
		}
		return d
	}
	if len(diag.Reasons) == 0 {
		who := "an account without roles"
		if len(r.Subject.roles) > 0 {
			who = strings.Join(r.Subject.roles, ", ")
		}
		return refuse(RuleDefault, fmt.Sprintf("no policy permits %s on this %s to %s", r.Action, r.ResourceType, who))
	}
	if len(diag.Reasons) == 1 { // the usual case, without making lists
		r := s.byID[diag.Reasons[0].PolicyID]
		return Decision{Allow: decision == types.Allow, Policies: r.ids, Reasons: r.reasons}
	}
	d := Decision{Allow: decision == types.Allow, Policies: make([]string, len(diag.Reasons)), Reasons: make([]string, len(diag.Reasons))}
	for i, reason := range diag.Reasons {
		d.Policies[i] = string(reason.PolicyID)
		d.Reasons[i] = s.byID[reason.PolicyID].Reason
	}
	return d
}

func refuse(rule, reason string) Decision {
	return Decision{Policies: []string{rule}, Reasons: []string{reason}}
}

// world is the three entities that a decision can look at. Roles have no attributes and no
// parents, so they need not be there.
type world struct {
	subject  *Subject
	resource types.Entity
	action   *action
}

// Get returns an entity of the request.
func (w *world) Get(uid types.EntityUID) (types.Entity, bool) {
	switch uid {
	case w.subject.uid:
		return w.subject.entity, true
	case w.resource.UID:
		return w.resource, true
	case w.action.entity.UID:
		return w.action.entity, true
	}
	return types.Entity{}, false
}

// index sorts the policies by the actions they can reach.
func (s *Set) index() {
	s.actions = make(map[string]*action)
	for uid, a := range s.voc.resolved.Actions {
		if a.AppliesTo == nil {
			continue // a group
		}
		entity := a.Entity
		entity.Parents = types.NewEntityUIDSet(s.voc.groups(uid)...)
		act := &action{entity: entity, resources: a.AppliesTo.Resources, context: a.AppliesTo.Context}
		for _, r := range s.rules {
			// A rule about every action is about doing, not about reports of it.
			if uid.ID == reportName && r.Severity == "" {
				continue
			}
			if s.voc.reaches(r.policy.AST().Action, string(uid.ID)) {
				act.policies = append(act.policies, scoped{types.PolicyID(r.ID), withoutAction(r.policy)})
			}
		}
		s.actions[string(uid.ID)] = act
	}
	s.records.prepare()
}

func (v *vocabulary) action(name string) resolved.Action {
	return v.resolved.Actions[types.NewEntityUID(actionType, types.String(name))]
}

// groups returns every group that an action is in, directly or through another group.
func (v *vocabulary) groups(uid types.EntityUID) []types.EntityUID {
	var out []types.EntityUID
	for parent := range v.resolved.Actions[uid].Entity.Parents.All() {
		if !slices.Contains(out, parent) {
			out = append(out, parent)
			out = append(out, v.groups(parent)...)
		}
	}
	return out
}

// reaches reports whether an action scope includes an action, by itself or by its groups.
// There are these four forms and no other.
func (v *vocabulary) reaches(scope ast.IsActionScopeNode, name string) bool {
	uid := types.NewEntityUID(actionType, types.String(name))
	within := func(g types.EntityUID) bool { return g == uid || slices.Contains(v.groups(uid), g) }
	switch sc := scope.(type) {
	case ast.ScopeTypeAll:
		return true
	case ast.ScopeTypeEq:
		return sc.Entity == uid
	case ast.ScopeTypeIn:
		return within(sc.Entity)
	case ast.ScopeTypeInSet:
		return slices.ContainsFunc(sc.Entities, within)
	}
	panic(fmt.Sprintf("policy: unknown action scope %T", scope)) // a new version of cedar-go; found by any test
}

// Actions returns the names of all actions, sorted, without the compliance one.
func (s *Set) Actions() []string {
	names := slices.Sorted(maps.Keys(s.actions))
	return slices.DeleteFunc(names, func(n string) bool { return n == reportName })
}

// ResourceTypes returns the kinds of thing that an action applies to, nil if there is no
// such action.
func (s *Set) ResourceTypes(action string) []string {
	a, ok := s.actions[action]
	if !ok {
		return nil
	}
	out := make([]string, len(a.resources))
	for i, t := range a.resources {
		out[i] = string(t)
	}
	return out
}

// List describes every policy, by id.
func (s *Set) List() []Info {
	out := make([]Info, len(s.rules))
	for i, r := range s.rules {
		out[i] = r.Info
	}
	return out
}

// Digest identifies the schema and all policies: "SHA256:<hex>".
func (s *Set) Digest() string { return s.digest }

// recordCache keeps the records that recur: hashing one costs as much as a decision.
type recordCache struct {
	withMFA, withoutMFA types.Record // written before use, by prepare

	mu    sync.RWMutex
	known map[recordKey]types.Record // guarded by mu, at most recordLimit
}

const recordLimit = 8192

// recordKey is an Attributes without parties, which are rare and long.
type recordKey struct {
	project, classification, owner string
	collection                     bool
}

func (c *recordCache) prepare() {
	c.withMFA = types.NewRecord(types.RecordMap{"mfa": types.True})
	c.withoutMFA = types.NewRecord(types.RecordMap{"mfa": types.False})
	c.known = make(map[recordKey]types.Record)
}

func (c *recordCache) circumstances(mfa bool) types.Record {
	if mfa {
		return c.withMFA
	}
	return c.withoutMFA
}

func (c *recordCache) attributes(a Attributes) types.Record {
	if len(a.Parties) > 0 {
		return newAttributes(a)
	}
	key := recordKey{a.Project, a.Classification, a.Owner, a.Collection}
	c.mu.RLock()
	rec, ok := c.known[key]
	c.mu.RUnlock()
	if ok {
		return rec
	}
	rec = newAttributes(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= recordLimit {
		clear(c.known) // simpler than an eviction order, and refilled in microseconds
	}
	c.known[key] = rec
	return rec
}

func newAttributes(a Attributes) types.Record {
	return types.NewRecord(types.RecordMap{
		"project":        types.String(a.Project),
		"classification": types.String(a.Classification),
		"owner":          types.String(a.Owner),
		"parties":        stringSet(a.Parties),
		"collection":     types.Boolean(a.Collection),
	})
}
