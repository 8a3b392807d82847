package readiness

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/verify"
)

// released is a version whose review was approved; rita asks for its release.
var released = Subject{ModelID: "NN-DLY-001", Version: "1.0.0", BaselineID: "BL-DLY-1.0.0", RootDigest: "SHA256:" + strings.Repeat("a", 64), SafetyLevel: "DAL-D",
	Project: "demo", Classification: "Internal"}

func (k *desk) principal(id string) caos.Principal {
	return caos.Principal{ID: id, Roles: k.people.roles[id], MFA: "totp"}
}

// change runs fn and returns what it made of an authorisation.
func (k *desk) change(fn func(tx *db.Tx) (*ReleaseAuthorization, error)) (a *ReleaseAuthorization, err error) {
	return a, k.d.Update(context.Background(), func(tx *db.Tx) error {
		a, err = fn(tx)
		return err
	})
}

func (k *desk) made(fn func(tx *db.Tx) (*ReleaseAuthorization, error)) *ReleaseAuthorization {
	k.t.Helper()
	a, err := k.change(fn)
	k.ok(err)
	return a
}

// draft opens an authorisation as a review does.
func (k *desk) draft(execution string) *ReleaseAuthorization {
	k.t.Helper()
	return k.made(func(tx *db.Tx) (*ReleaseAuthorization, error) {
		return k.OpenAuthorization(tx, released, "PRR-NN-DLY-001-1.0.0", []string{"edge-1"}, By{Actor: "caos", RecordedBy: "caos", Execution: execution})
	})
}

// requested opens one and asks for it.
func (k *desk) requested() *ReleaseAuthorization {
	k.t.Helper()
	a := k.draft("")
	until, why, strategies := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC), "first use", []string{"CANARY"}
	k.made(func(tx *db.Tx) (*ReleaseAuthorization, error) {
		return k.UpdateScope(tx, a.AuthorizationID, ScopeChange{Strategies: &strategies, NotAfter: &until, Rationale: &why}, a.Revision, By{Actor: "rita"})
	})
	return k.made(func(tx *db.Tx) (*ReleaseAuthorization, error) {
		return k.Request(tx, a.AuthorizationID, k.principal("rita"), By{Actor: "rita"})
	})
}

func (k *desk) sign(id, role, person string) (*ReleaseAuthorization, error) {
	return k.change(func(tx *db.Tx) (*ReleaseAuthorization, error) {
		return k.Approve(tx, id, role, Proof{}, k.principal(person))
	})
}

func (k *desk) revoke(id, person string) (*ReleaseAuthorization, error) {
	return k.change(func(tx *db.Tx) (*ReleaseAuthorization, error) {
		return k.Revoke(tx, id, "a problem was found", Proof{}, k.principal(person))
	})
}

// state is all that a refusal must leave as it is.
func (k *desk) state() string {
	k.t.Helper()
	var out []string
	for _, q := range []string{`SELECT COUNT(*) FROM decisions`, `SELECT COUNT(*) FROM row_history`, `SELECT COUNT(*) FROM audit_records`,
		`SELECT COALESCE(SUM(revision), 0) FROM release_authorizations`} {
		var n string
		k.ok(k.d.QueryRow(context.Background(), q).Scan(&n))
		out = append(out, n)
	}
	return strings.Join(out, " ")
}

func TestReleaseTakesTwoPeople(t *testing.T) {
	eachDesk(t, func(t *testing.T, k *desk) {
		k.hands.Store(&[]Hand{{Person: "olga", Part: "OWNER", Source: "NN-DLY-001"}})
		a := k.requested()
		if a.Status != AuthorizationRequested || a.ScopeDigest != verify.StatementHash([]byte(a.Scope)) || !slices.Contains(a.Requesters, "rita") {
			t.Fatalf("requested: %+v", a)
		}
		for _, c := range []struct{ person, role, rule string }{
			{"rita", "", RuleReleaseRole},
			{"chief", "qa-lead", RuleReleaseRole},
			{"quill", "qa-lead", RuleSeparation}, // the model's owner made the account
			{"eve", "chief-engineer", RuleReleaseRole},
			{"nobody", "chief-engineer", RuleReleaseRole},
		} {
			before := k.state()
			if _, err := k.sign(a.AuthorizationID, c.role, c.person); caos.AsError(err).Rule != c.rule {
				t.Errorf("%s as %q: %v, want the rule %s", c.person, c.role, err, c.rule)
			}
			if after := k.state(); after != before {
				t.Errorf("%s as %q changed something: %s, was %s", c.person, c.role, after, before)
			}
		}
		a, err := k.sign(a.AuthorizationID, "", "chief")
		k.ok(err)
		if a.Status != AuthorizationRequested || len(a.Missing) != 1 || !strings.Contains(a.Missing[0], "qa-lead") {
			t.Fatalf("after one approval: %s, missing %v", a.Status, a.Missing)
		}
		// The same person again, also once they hold the other role.
		k.people.roles["chief"] = []string{"qa-lead"}
		before := k.state()
		if _, err := k.sign(a.AuthorizationID, "qa-lead", "chief"); caos.AsError(err).Rule != RuleTwoPeople {
			t.Errorf("the same person in the other role: %v", err)
		}
		if k.state() != before {
			t.Error("the second approval of one person changed something")
		}
		a, err = k.sign(a.AuthorizationID, "qa-lead", "quinn")
		k.ok(err)
		if a.Status != AuthorizationAuthorised || a.RecordID == "" || a.EndedAt == nil {
			t.Fatalf("after two approvals: %+v", a)
		}
		if _, err := k.sign(a.AuthorizationID, "qa-lead", "quinn"); caos.AsError(err).Rule != "release-state" {
			t.Errorf("a third approval: %v", err)
		}
		k.outcome(a)
	})
}

// outcome checks the record from which a verifier computes the authorisation again.
func (k *desk) outcome(a *ReleaseAuthorization) {
	k.t.Helper()
	var text string
	k.ok(k.d.QueryRow(context.Background(), `SELECT record FROM audit_records WHERE id = $1`, a.RecordID).Scan(&text))
	var rec struct {
		Type    string
		Details verify.OutcomeDetails
	}
	k.ok(json.Unmarshal([]byte(text), &rec))
	d := rec.Details
	if rec.Type != "AUTHORISATION" || d.OutcomeOf != verify.OutcomeOfRelease || d.Outcome != verify.OutcomeAuthorised || d.SubjectDigest != a.ScopeDigest || d.Scope != a.Scope ||
		len(d.Votes) != 2 || !slices.Contains(d.Barred, "rita") || !slices.Contains(d.Barred, "olga") {
		k.t.Errorf("the record of the outcome is %s", text)
	}
}

func TestReleaseIsTakenBack(t *testing.T) {
	eachDesk(t, func(t *testing.T, k *desk) {
		a := k.requested()
		_, err := k.sign(a.AuthorizationID, "", "chief")
		k.ok(err)
		if _, err := k.revoke(a.AuthorizationID, "rita"); err != nil { // stopping is anybody's who may
			t.Fatal(err)
		}
		if _, err := k.sign(a.AuthorizationID, "", "quinn"); caos.AsError(err).Rule != "release-state" {
			t.Errorf("an approval after the revocation: %v", err)
		}
		if _, err := k.revoke(a.AuthorizationID, "sam"); caos.AsError(err).Rule != "release-state" {
			t.Errorf("a second revocation: %v", err)
		}
		got, err := k.Authorization(context.Background(), a.AuthorizationID)
		k.ok(err)
		if got.Status != AuthorizationRevoked || got.RevokedBy != "rita" || len(got.Approvals) != 1 {
			t.Errorf("after the revocation: %+v", got)
		}
		next := k.draft("EXEC-2")
		if next.AuthorizationID != a.AuthorizationID+"-2" || next.Status != AuthorizationDraft {
			t.Errorf("the next one is %s, %s", next.AuthorizationID, next.Status)
		}
		if again := k.draft("EXEC-2"); again.AuthorizationID != next.AuthorizationID {
			t.Errorf("the same execution opened %s", again.AuthorizationID)
		}
		_, err = k.change(func(tx *db.Tx) (*ReleaseAuthorization, error) {
			return k.OpenAuthorization(tx, released, "PRR-NN-DLY-001-1.0.0", nil, By{Actor: "rita"})
		})
		if caos.AsError(err).Rule != "release-open" {
			t.Errorf("one beside it: %v", err)
		}
	})
}

func TestReleaseScopeStands(t *testing.T) {
	eachDesk(t, func(t *testing.T, k *desk) {
		a := k.draft("")
		for _, c := range []struct {
			name, field string
			change      ScopeChange
		}{
			{"an unknown strategy", "strategies[0]", ScopeChange{Strategies: &[]string{"BIG_BANG"}}},
			{"a strategy twice", "strategies[1]", ScopeChange{Strategies: &[]string{"CANARY", "CANARY"}}},
			{"a platform twice", "platforms[1]", ScopeChange{Platforms: &[]string{"edge-1", "edge-1"}}},
			{"a platform that is no name", "platforms[0]", ScopeChange{Platforms: &[]string{"../edge"}}},
			{"a year out of reach", "not_after", ScopeChange{NotAfter: new(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))}},
			{"a control character", "rationale", ScopeChange{Rationale: new("a\x00b")}},
		} {
			before := k.state()
			_, err := k.change(func(tx *db.Tx) (*ReleaseAuthorization, error) {
				return k.UpdateScope(tx, a.AuthorizationID, c.change, 0, By{Actor: "rita"})
			})
			if e := caos.AsError(err); err == nil || e.Field != c.field || k.state() != before {
				t.Errorf("%s: %v of %q", c.name, err, e.Field)
			}
		}
		ask := func() error {
			_, err := k.change(func(tx *db.Tx) (*ReleaseAuthorization, error) {
				return k.Request(tx, a.AuthorizationID, k.principal("rita"), By{Actor: "rita"})
			})
			return err
		}
		past, soon, far := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 12, 1, 0, 0, 0, 0, time.UTC)
		for _, c := range []struct {
			field  string // that the request is refused for before the change
			change ScopeChange
		}{
			{"strategies", ScopeChange{Strategies: &[]string{"CANARY", "ROLLING"}}},
			{"not_after", ScopeChange{NotAfter: &past}},
			{"not_after", ScopeChange{NotAfter: &far}},
			{"not_after", ScopeChange{NotAfter: &soon, NotBefore: &soon}},
			{"not_before", ScopeChange{NotBefore: new(time.Time)}},
			{"rationale", ScopeChange{Rationale: new("why not")}},
		} {
			if e := caos.AsError(ask()); e.Field != c.field || e.Rule != "release-scope" {
				t.Errorf("asked for without %s: %v", c.field, e)
			}
			k.made(func(tx *db.Tx) (*ReleaseAuthorization, error) {
				return k.UpdateScope(tx, a.AuthorizationID, c.change, 0, By{Actor: "rita"})
			})
		}
		k.ok(ask())
		_, err := k.change(func(tx *db.Tx) (*ReleaseAuthorization, error) {
			return k.UpdateScope(tx, a.AuthorizationID, ScopeChange{Platforms: &[]string{"edge-2"}}, 0, By{Actor: "rita"})
		})
		if caos.AsError(err).Rule != "release-state" {
			t.Errorf("another scope after the request: %v", err)
		}
		if e := caos.AsError(ask()); e.Rule != "release-state" {
			t.Errorf("a second request: %v", e)
		}
		k.clock.Store(soon.UnixMicro())
		if _, err := k.sign(a.AuthorizationID, "", "chief"); caos.AsError(err).Rule != RuleReleaseWindow {
			t.Errorf("an approval after the window: %v", err)
		}
		if got, err := k.Authorization(context.Background(), a.AuthorizationID); err != nil || got.Status != AuthorizationExpired {
			t.Errorf("after the window it is %v: %v", got, err)
		}
		if next := k.draft(""); next.AuthorizationID == a.AuthorizationID {
			t.Error("no other one can be opened after the window")
		}
	})
}

func TestReleaseRefusedElsewhere(t *testing.T) {
	eachDesk(t, func(t *testing.T, k *desk) {
		k.Readiness.released = func(*db.Tx, Subject, By) error {
			return caos.Errorf(caos.Conflict, "it is RETIRED").WithField("state")
		}
		a := k.requested()
		_, err := k.sign(a.AuthorizationID, "", "chief")
		k.ok(err)
		before := k.state()
		if _, err := k.sign(a.AuthorizationID, "", "quinn"); caos.KindOf(err) != caos.Conflict || k.state() != before {
			t.Errorf("a version that cannot be released was: %v", err)
		}
	})
}

// Approvals and revocations at the same moment: whatever the order, the state is the one
// that the decisions which were taken lead to.
func TestReleaseAtTheSameMoment(t *testing.T) {
	eachDesk(t, func(t *testing.T, k *desk) {
		for range 8 {
			a := k.requested()
			var wg sync.WaitGroup
			errs := make([]error, 3)
			for i, act := range []func() (*ReleaseAuthorization, error){
				func() (*ReleaseAuthorization, error) { return k.sign(a.AuthorizationID, "", "chief") },
				func() (*ReleaseAuthorization, error) { return k.sign(a.AuthorizationID, "", "quinn") },
				func() (*ReleaseAuthorization, error) { return k.revoke(a.AuthorizationID, "sam") },
			} {
				wg.Go(func() { _, errs[i] = act() })
			}
			wg.Wait()
			got, err := k.Authorization(context.Background(), a.AuthorizationID)
			k.ok(err)
			signed := 0
			for _, err := range errs[:2] {
				if err == nil {
					signed++
				} else if caos.AsError(err).Rule != "release-state" {
					t.Error(err)
				}
			}
			if errs[2] != nil || got.Status != AuthorizationRevoked || len(got.Approvals) != signed || (got.EndedAt != nil) != (signed == 2) {
				t.Errorf("%d signed, revoked %v: %s with %d approvals", signed, errors.Join(errs...), got.Status, len(got.Approvals))
			}
		}
	})
}
