package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"caos"
	"caos/internal/db"
	"caos/internal/policy"
)

// Resource is what an action is about. Type is an entity type of the policy schema, such
// as "Execution" or "Hook". Without an ID it is the kind of thing as a whole; see the
// package comment.
type Resource struct {
	Type           string
	ID             string
	Project        string
	Classification string
	Owner          string   // opaque id of whom it belongs to
	Parties        []string // who had a hand in it, for separation of duties
}

// Refusal is the error of a decision that said no. errors.As finds the *caos.Error of
// kind Denied, StepUp or Unauthenticated in it.
type Refusal struct {
	Principal caos.Principal
	Action    string
	Resource  Resource
	Decision  policy.Decision
	Err       *caos.Error
	recorded  bool // by RecordRefusal already; written by the one goroutine that has the error
}

// Error says what was refused and why.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns the *caos.Error.
func (r *Refusal) Unwrap() error { return r.Err }

// Allow decides outside a transaction, for routes and for reading. It returns nil or a
// *Refusal. What it allows must be decided again with Authorize where it takes effect.
func (a *Auth) Allow(p caos.Principal, action string, res Resource) error {
	ctx, cancel := context.WithTimeout(context.Background(), epochTimeout)
	defer cancel()
	find := func(k key) (*facts, error) { return a.cached(ctx, k) }
	return a.decide(find, question{p: p, action: action, res: res, collection: res.ID == ""})
}

// Authorize decides inside the transaction that acts, on facts loaded there. further are
// the facts that the policy schema declares for the action besides (may be nil). It
// returns nil or a *Refusal, and the caller's function ends with it.
//
// Work that outlives its request asks again as the principal without Token: a token that
// has expired since is no reason to stop, and its roles and project still limit what the
// account may do now.
func (a *Auth) Authorize(tx *db.Tx, p caos.Principal, action string, res Resource, further map[string]any) error {
	return a.At(tx).Authorize(p, action, res, further)
}

// AuthorizeHook is Authorize for an action on a hook, about a project ("" if it is not
// known: the work then belongs to the principal's own).
func (a *Auth) AuthorizeHook(tx *db.Tx, p caos.Principal, action, hookID, project string) error {
	return a.Authorize(tx, p, action, Resource{Type: "Hook", ID: hookID, Project: cmp.Or(project, p.Project)}, nil)
}

// View answers questions inside one transaction and asks for the epoch only once. It must
// not be kept beyond the function, nor used after a change of accounts in it.
type View struct {
	a     *Auth
	tx    *db.Tx
	epoch int64
	asked bool
}

// At returns the View of tx: the same one until a change of accounts in it.
func (a *Auth) At(tx *db.Tx) *View {
	if v, ok := tx.Kept(a).(*View); ok {
		return v
	}
	v := &View{a: a, tx: tx}
	tx.Keep(a, v)
	return v
}

// Authorize is Auth.Authorize.
func (v *View) Authorize(p caos.Principal, action string, res Resource, further map[string]any) error {
	return v.a.decide(v.find, question{p: p, action: action, res: res, further: further})
}

// find returns facts as of this transaction: cached ones if they are of the epoch that
// the transaction sees, which every change raises; else read here.
func (v *View) find(k key) (*facts, error) {
	if !v.asked {
		if err := v.tx.QueryRow(epochSQL).Scan(&v.epoch); err != nil {
			return nil, err
		}
		v.asked = true
	}
	if f := v.a.cache.at(k, v.epoch); f != nil {
		return f, nil
	}
	// What a transaction sees is not cached, because it may yet be rolled back; the next one
	// shall find it cached all the same.
	v.tx.AfterCommit(func() {
		select {
		case v.a.missed <- k:
		default:
		}
	})
	return v.a.fromTx(v.tx, k)
}

// question is what decide is asked. A transaction never asks about a collection: what it
// acts on is a thing, even if that has no id yet.
type question struct {
	p          caos.Principal
	action     string
	res        Resource
	further    map[string]any
	collection bool
}

// decide is the one place where anything is allowed.
func (a *Auth) decide(find func(key) (*facts, error), q question) error {
	p, res := q.p, q.res
	sub, standing, err := a.subject(find, p)
	if err != nil {
		if r, ok := errors.AsType[*Refusal](err); ok {
			r.Action, r.Resource = q.action, res
		}
		return err
	}
	attrs := policy.Attributes{
		Project: res.Project, Classification: res.Classification, Owner: res.Owner, Parties: res.Parties,
	}
	if q.collection {
		attrs = policy.Attributes{Collection: true, Owner: p.ID}
		if standing.Scoped && len(standing.Projects) > 0 {
			attrs.Project = standing.Projects[0]
		}
	}
	d := a.o.Policies.Decide(policy.Request{
		Subject: sub, Action: q.action, ResourceType: res.Type, Resource: res.ID, Attrs: attrs, Context: q.further,
	})
	if d.Allow {
		return nil
	}
	return &Refusal{Principal: p, Action: q.action, Resource: res, Decision: d, Err: explain(q.action, d)}
}

// subject is the principal as the account is now: what was taken away since the request
// began is gone, what was given since does not count yet.
func (a *Auth) subject(find func(key) (*facts, error), p caos.Principal) (*policy.Subject, policy.Standing, error) {
	if system := caos.SystemPrincipal(); p.ID == system.ID && p.Token == "" {
		st := policy.Standing{Clearances: clearances()}
		return a.o.Policies.NewSubject(p, st).WithMFA(false), st, nil
	}
	k := key{token: p.Token}
	if p.Token == "" {
		k = key{user: p.ID}
	}
	f, err := find(k)
	if err != nil {
		return nil, policy.Standing{}, err
	}
	if f == nil || f.user != p.ID {
		return nil, policy.Standing{}, gone(p, failUnknown)
	}
	if reason := a.unusable(f); reason != "" {
		return nil, policy.Standing{}, gone(p, reason)
	}
	if p.EnabledBy != "" {
		by, err := find(key{user: p.EnabledBy})
		if err != nil {
			return nil, policy.Standing{}, err
		}
		if by == nil || !by.enabled {
			return nil, policy.Standing{}, gone(p, "the person who enabled the trigger has no enabled account")
		}
	}
	standing := f.standing
	if p.Token == "" && p.Project != "" {
		standing = limitTo(standing, p.Project)
	} else if p.EnabledBy == "" && slices.Equal(p.Roles, f.roles) {
		return f.subject.WithMFA(p.MFA != ""), standing, nil
	}
	now := p
	now.Roles = slices.DeleteFunc(slices.Clone(p.Roles), func(r string) bool { return !slices.Contains(f.roles, r) })
	return a.o.Policies.NewSubject(now, standing), standing, nil
}

func clearances() []string { return []string{"Confidential", "Regulated", "Restricted"} }

// RuleAccount is the rule of refusals because the account or its token is no longer what
// it was when the request began.
const RuleAccount = "account-not-usable"

func gone(p caos.Principal, reason string) error {
	return &Refusal{
		Principal: p, Decision: policy.Decision{Policies: []string{RuleAccount}, Reasons: []string{reason}},
		Err: caos.Errorf(caos.Unauthenticated, "the account or its token can no longer act").WithRule(RuleAccount).
			WithHint("ask an administrator"),
	}
}

func explain(action string, d policy.Decision) *caos.Error {
	if d.StepUp {
		return caos.Errorf(caos.StepUp, "%s needs a second factor in the same request", action).WithRule(d.Rule()).
			WithHint("repeat the request with the header CAOS-MFA: totp and the current six digits")
	}
	e := caos.Errorf(caos.Denied, "%s is refused: %s", action, strings.Join(d.Reasons, "; ")).WithRule(d.Rule())
	if d.Rule() == policy.RuleDefault {
		return e.WithHint("someone with a suitable role can do it: caos user roles --action %s shows which roles may", action)
	}
	return e.WithHint("policy %s refuses it; GET /v1/policies shows its text", d.Rule())
}

// Visibility says which items of a kind a principal may see, for WHERE clauses.
type Visibility struct {
	Owner           string   // not "": only items of this owner
	Scoped          bool     // true: only items of Projects
	Projects        []string // meaningful if Scoped; none means nothing at all
	Classifications []string // always meaningful
}

// Sees reports whether an item with these columns is visible.
func (v Visibility) Sees(owner, project, classification string) bool {
	return (v.Owner == "" || v.Owner == owner) && (!v.Scoped || slices.Contains(v.Projects, project)) &&
		slices.Contains(v.Classifications, classification)
}

// Where returns v as a condition over the three named columns with its arguments, the
// first of which is $next: "TRUE" if everything is visible but by classification.
func (v Visibility) Where(next int, owner, project, classification string) (string, []any) {
	var args []any
	list := func(values []string) string {
		marks := make([]string, len(values))
		for i, s := range values {
			args = append(args, s)
			marks[i] = fmt.Sprintf("$%d", next+len(args)-1)
		}
		return strings.Join(marks, ", ")
	}
	where := []string{classification + " IN (" + list(v.Classifications) + ")"}
	if v.Scoped && len(v.Projects) == 0 {
		return "1 = 0", nil
	}
	if v.Scoped {
		where = append(where, project+" IN ("+list(v.Projects)+")")
	}
	if v.Owner != "" {
		where = append(where, owner+" = "+list([]string{v.Owner}))
	}
	return strings.Join(where, " AND "), args
}

// Visible returns which items of a type an action (usually a ":read") may see. It returns a
// *Refusal if that is none at all.
func (a *Auth) Visible(p caos.Principal, action, typ string) (Visibility, error) {
	if err := a.Allow(p, action, Resource{Type: typ}); err != nil {
		return Visibility{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), epochTimeout)
	defer cancel()
	sub, st, err := a.subject(func(k key) (*facts, error) { return a.cached(ctx, k) }, p)
	if err != nil {
		return Visibility{}, err
	}
	v := Visibility{
		Scoped: st.Scoped, Projects: st.Projects,
		Classifications: append([]string{"", "Public", "Internal"}, st.Clearances...),
	}
	attrs := policy.Attributes{} // an item of nobody's, in reach: do the roles alone suffice?
	if st.Scoped && len(st.Projects) > 0 {
		attrs.Project = st.Projects[0]
	}
	d := a.o.Policies.Decide(policy.Request{Subject: sub, Action: action, ResourceType: typ, Resource: "any", Attrs: attrs})
	if !d.Allow {
		v.Owner = p.ID
	}
	return v, nil
}
