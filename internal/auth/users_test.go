package auth

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
)

func TestCreateUsers(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		u := NewUser{ID: "vera", Name: "Vera Name", Mail: "vera@example.org", Roles: []string{"vv-lead", "safety-engineer"},
			Scope: &Scope{Projects: []string{"alpha"}, Clearances: []string{"Restricted"}}, Token: &NewToken{Label: "first"}}
		_, err := e.CreateUser(ctx, e.as("root"), u)
		want(t, err, caos.StepUp)
		_, err = e.CreateUser(ctx, e.strong("qa"), u)
		want(t, err, caos.Denied, "deny-by-default")
		e.join(e.CreateUser(ctx, e.strong("root"), u))
		p := e.as("vera")
		if !slices.Equal(p.Roles, []string{"safety-engineer", "vv-lead"}) || p.Project != "alpha" {
			t.Errorf("%+v", p)
		}
		got, err := e.GetUser(ctx, p, "vera")
		ok(t, err)
		if got.Name != "Vera Name" || got.MFA || !got.Enabled || got.Scope.AllProjects || !slices.Equal(got.Scope.Clearances, []string{"Restricted"}) || got.CreatedBy != "root" {
			t.Errorf("%+v", got)
		}
		_, err = e.GetUser(ctx, p, "root")
		want(t, err, caos.Denied)
		_, err = e.CreateUser(ctx, e.strong("root"), u)
		want(t, err, caos.Conflict)
		mine, err := e.ListUsers(ctx, p, "", 10)
		if err != nil || len(mine) != 1 || mine[0].ID != "vera" {
			t.Error(mine, err)
		}
		all, err := e.ListUsers(ctx, e.as("aud"), "", 3)
		ok(t, err)
		rest, err := e.ListUsers(ctx, e.as("aud"), all[2].ID, 100)
		if err != nil || len(all) != 3 || len(all)+len(rest) != 8 {
			t.Error(len(all), len(rest), err)
		}
		e.noNames()

		// All or nothing.
		before := len(e.log.events())
		strong := e.strong("root")
		for name, list := range map[string][]NewUser{
			"the second clashes":   {{ID: "fine", Name: "F"}, {ID: "vera", Name: "V"}},
			"roles that do not go": {{ID: "fine", Name: "F", Roles: []string{"chief-engineer", "qa-lead"}}},
			"admin who approves":   {{ID: "fine", Name: "F", Roles: []string{"prr-board", "admin"}}},
			"service with roles":   {{ID: "fine", Kind: Service, Name: "F", Roles: []string{"mlops-engineer"}}},
			"person as service":    {{ID: "fine", Name: "F", Roles: []string{"service"}}},
			"unknown role":         {{ID: "fine", Name: "F", Roles: []string{"king"}}},
			"unknown clearance":    {{ID: "fine", Name: "F", Scope: &Scope{Clearances: []string{"Secret"}}}},
			"odd project":          {{ID: "fine", Name: "F", Scope: &Scope{Projects: []string{"a,b"}}}},
			"all and some":         {{ID: "fine", Name: "F", Scope: &Scope{AllProjects: true, Projects: []string{"a"}}}},
			"endless token":        {{ID: "fine", Name: "F", Token: &NewToken{Life: 1000 * 24 * time.Hour}}},
			"reserved":             {{ID: "caos", Name: "F"}},
			"odd id":               {{ID: "Fine", Name: "F"}},
			"no name":              {{ID: "fine"}},
			"odd kind":             {{ID: "fine", Name: "F", Kind: "robot"}},
			"none":                 {},
		} {
			if _, err := e.CreateUsers(ctx, strong, list); err == nil {
				t.Errorf("%s: made", name)
			}
		}
		_, err = e.GetUser(ctx, e.as("root"), "fine")
		want(t, err, caos.NotFound)
		for _, ev := range e.log.events()[before:] {
			if ev == "users-created" {
				t.Error("a refused creation was recorded as done")
			}
		}
	})
}

func TestRoles(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		want(t, e.GrantRole(ctx, e.as("root"), "ml", "vv-lead"), caos.StepUp)
		root := e.strong("root")
		want(t, e.GrantRole(ctx, root, "root", "mlops-engineer"), caos.Denied, "no-self-service-power")
		want(t, e.GrantRole(ctx, root, "ce", "qa-lead"), caos.Denied, "separation-release")
		want(t, e.GrantRole(ctx, root, "qa", "admin"), caos.Denied, "separation-admin")
		want(t, e.GrantRole(ctx, root, "aud", "vv-lead"), caos.Denied, "separation-auditor")
		want(t, e.GrantRole(ctx, root, "robot", "vv-lead"), caos.Denied, "separation-service")
		want(t, e.GrantRole(ctx, root, "ml", "service"), caos.Denied, "separation-service")
		want(t, e.GrantRole(ctx, root, "ml", "king"), caos.Invalid)
		want(t, e.GrantRole(ctx, root, "nobody-here", "vv-lead"), caos.NotFound)
		want(t, e.GrantRole(ctx, root, "", "vv-lead"), caos.Invalid)
		want(t, e.GrantRole(ctx, e.strong("qa"), "ml", "vv-lead"), caos.Denied, "deny-by-default")
		ok(t, e.GrantRole(ctx, root, "ml", "vv-lead"))
		ok(t, e.RevokeRole(ctx, root, "ml", "vv-lead"))
		want(t, e.RevokeRole(ctx, root, "ml", "vv-lead"), caos.NotFound)

		// The last administrator stays one.
		ok(t, e.GrantRole(ctx, root, "ml", "admin"))
		e.clock.move(30 * time.Second)
		ml := e.strong("ml")
		want(t, e.RevokeRole(ctx, ml, "ml", "admin"), caos.Denied, "no-self-service-power")
		ok(t, e.RevokeRole(ctx, ml, "root", "admin"))
		want(t, e.DisableUser(ctx, ml, "ml"), caos.Denied, "no-self-service-power")
		ok(t, e.GrantRole(ctx, ml, "root", "admin"))
		ok(t, e.DisableUser(ctx, ml, "root"))
		want(t, e.inTx(root, "user:read", account("ml")), caos.Unauthenticated, RuleAccount)
		// Two who take it from each other at once cannot both succeed: seen by the rule.
		err := e.d.Update(ctx, func(tx *db.Tx) error { return e.keepAdmin(tx, "ml") })
		want(t, err, caos.Conflict, "last-admin")
		e.noNames()
	})
}

func TestScope(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		evidence := func(project, class string) Resource {
			return Resource{Type: "Evidence", ID: "EVID-1", Project: project, Classification: class}
		}
		cert := e.as("cert")
		ok(t, e.inTx(cert, "evidence:read", evidence("beta", "Internal")))
		want(t, e.inTx(cert, "evidence:read", evidence("beta", "Restricted")), caos.Denied, "need-to-know-classification")
		want(t, e.SetScope(ctx, e.strong("root"), "root", Scope{AllProjects: true, Clearances: clearances()}), caos.Denied, "no-self-service-power")
		ok(t, e.SetScope(ctx, e.strong("root"), "cert", Scope{Projects: []string{"alpha"}, Clearances: []string{"Restricted"}}))
		want(t, e.inTx(cert, "evidence:read", evidence("beta", "Internal")), caos.Denied, "need-to-know-project")
		ok(t, e.inTx(cert, "evidence:read", evidence("alpha", "Restricted")))
		want(t, e.inTx(cert, "evidence:read", evidence("alpha", "Regulated")), caos.Denied, "need-to-know-classification")
		want(t, e.inTx(cert, "evidence:read", evidence("", "")), caos.Denied, "need-to-know-project")
		// At the route a collection is open; in a transaction there is no collection.
		ok(t, e.Allow(cert, "evidence:read", Resource{Type: "Evidence"}))
		want(t, e.inTx(cert, "evidence:read", Resource{Type: "Evidence"}), caos.Denied, "need-to-know-project")
		v, err := e.Visible(cert, "evidence:read", "Evidence")
		ok(t, err)
		if !v.Sees("x", "alpha", "Restricted") || v.Sees("x", "beta", "") || v.Sees("x", "alpha", "Regulated") {
			t.Errorf("%+v", v)
		}
		where, args := v.Where(3, "owner", "project", "classification")
		if where != "classification IN ($3, $4, $5, $6) AND project IN ($7)" || len(args) != 5 {
			t.Error(where, args)
		}
		// A service sees its own things alone.
		v, err = e.Visible(e.as("robot"), "evidence:read", "Evidence")
		if err != nil || v.Owner != "robot" || !v.Sees("robot", "p", "") || v.Sees("x", "p", "") {
			t.Error(v, err)
		}
		_, err = e.Visible(e.as("root"), "package:read", "Package")
		want(t, err, caos.Denied)
	})
}

func TestTokens(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		use := func(i Issued) caos.Principal {
			p, err := e.Authenticate(ctx, i.Value, "", nil)
			ok(t, err)
			return p
		}
		_, err := e.CreateToken(ctx, e.as("ml"), "ml", NewToken{})
		want(t, err, caos.StepUp)
		narrow, err := e.CreateToken(ctx, e.strong("ml"), "ml", NewToken{Roles: []string{"data-engineer"}, Project: "alpha", Life: time.Hour})
		ok(t, err)
		p := use(narrow)
		if !slices.Equal(p.Roles, []string{"data-engineer"}) || p.Project != "alpha" {
			t.Errorf("%+v", p)
		}
		want(t, e.inTx(p, "hook:submit", Resource{Type: "Hook", ID: "CAOS.PROD.CERT.AUDIT"}), caos.Denied)
		ok(t, e.inTx(p, "hook:submit", Resource{Type: "Hook", ID: "CAOS.PROD.CERT.EVIDENCE", Project: "alpha"}))
		want(t, e.inTx(p, "hook:submit", Resource{Type: "Hook", ID: "CAOS.PROD.CERT.EVIDENCE", Project: "beta"}), caos.Denied, "need-to-know-submission")
		// Roles claimed beyond the token do not help.
		wide := p
		wide.Roles = []string{"data-engineer", "mlops-engineer"}
		want(t, e.inTx(wide, "hook:submit", Resource{Type: "Hook", ID: "CAOS.PROD.CERT.AUDIT"}), caos.Denied)
		other := p
		other.ID = "root"
		want(t, e.inTx(other, "hook:read", Resource{Type: "Hook", ID: "H"}), caos.Unauthenticated, RuleAccount)

		// A narrowed token makes no wider one.
		e.clock.move(30 * time.Second)
		p, err = e.Authenticate(ctx, narrow.Value, "totp "+e.code("ml"), nil)
		ok(t, err)
		_, err = e.CreateToken(ctx, p, "ml", NewToken{Roles: []string{"mlops-engineer"}})
		want(t, err, caos.Denied, "token-no-wider")
		_, err = e.CreateToken(ctx, p, "ml", NewToken{Project: "beta"})
		want(t, err, caos.Denied, "token-no-wider")
		child, err := e.CreateToken(ctx, p, "ml", NewToken{})
		ok(t, err)
		if c := use(child); !slices.Equal(c.Roles, []string{"data-engineer"}) || c.Project != "alpha" {
			t.Errorf("the child is wider: %+v", c)
		}
		e.clock.move(time.Hour)
		_, err = e.Authenticate(ctx, narrow.Value, "", nil)
		want(t, err, caos.Unauthenticated)

		// Others' tokens: an administrator, for services and first ways in only.
		root := e.strong("root")
		_, err = e.CreateToken(ctx, root, "ml", NewToken{})
		want(t, err, caos.Denied, "tokens-for-others")
		svc, err := e.CreateToken(ctx, root, "robot", NewToken{})
		ok(t, err)
		use(svc)
		_, err = e.CreateToken(ctx, e.strong("qa"), "robot", NewToken{})
		want(t, err, caos.Denied)
		_, err = e.CreateToken(ctx, root, "nobody-here", NewToken{})
		want(t, err, caos.NotFound)
		e.join(e.CreateUser(ctx, e.strong("root"), NewUser{ID: "new", Name: "N"}))
		_, err = e.CreateToken(ctx, root, "new", NewToken{Roles: []string{"admin"}})
		want(t, err, caos.Invalid)
		first, err := e.CreateToken(ctx, root, "new", NewToken{})
		ok(t, err)
		_, err = e.CreateToken(ctx, root, "new", NewToken{})
		want(t, err, caos.Denied, "tokens-for-others")
		// An account without roles looks after itself and does nothing else.
		p = use(first)
		ok(t, e.inTx(p, "user:read", account("new")))
		want(t, e.inTx(p, "hook:read", Resource{Type: "Hook", ID: "H"}), caos.Denied, "deny-by-default")
		e.noNames()
	})
}

func TestPeople(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		ok(t, e.DisableUser(ctx, e.strong("root"), "qa"))
		err := e.d.Update(ctx, func(tx *db.Tx) error {
			for id, w := range map[string][3]bool{ // known, enabled, person
				"ml": {true, true, true}, "robot": {true, true, false}, "qa": {true, false, false}, "caos": {true, true, false},
				"nobody-here": {}, "": {}, "ML": {}, "x'; DROP TABLE users": {},
			} {
				known, enabled, err := e.KnownActor(tx, id)
				person, err2 := e.KnownPerson(tx, id)
				if err = errors.Join(err, err2); err != nil || known != w[0] || enabled != w[1] || person != w[2] {
					t.Errorf("%q: %v %v %v %v", id, known, enabled, person, err)
				}
			}
			for role, w := range map[string][]string{"mlops-engineer": {"ml"}, "qa-lead": nil, "service": nil, "king": nil} {
				got, err := e.WithRole(tx, role, "", "")
				if err != nil || !slices.Equal(got, w) {
					t.Errorf("%s: %v %v", role, got, err)
				}
			}
			return nil
		})
		ok(t, err)
	})
}

// Who holds a role is told only of what they may know of.
func TestPeopleWhoMayKnow(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		ok(t, e.SetScope(ctx, e.strong("root"), "ml", Scope{Projects: []string{"alpha"}, Clearances: []string{"Restricted"}}))
		err := e.d.Update(ctx, func(tx *db.Tx) error {
			for _, c := range []struct {
				project, classification string
				told                    bool
			}{
				{"alpha", "", true}, {"alpha", "Internal", true}, {"alpha", "Restricted", true}, {"alpha", "Confidential", false}, {"alpha", "Unheard-of", false},
				{"beta", "", false}, {"beta", "Restricted", false}, {"", "", false},
			} {
				got, err := e.WithRole(tx, "mlops-engineer", c.project, c.classification)
				if err != nil || slices.Contains(got, "ml") != c.told {
					t.Errorf("%+v: %v %v", c, got, err)
				}
			}
			return nil
		})
		ok(t, err)
	})
}

// A trigger acts as a service, and only as long as whoever enabled it is there.
func TestTriggerIdentity(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		hook := Resource{Type: "Hook", ID: "CAOS.PROD.CERT.EVIDENCE"}
		var p caos.Principal
		err := e.d.Update(ctx, func(tx *db.Tx) (err error) {
			if _, err := e.PrincipalOf(tx, "ml", "ml"); caos.KindOf(err) != caos.Invalid {
				t.Errorf("a person as a trigger's identity: %v", err)
			}
			p, err = e.PrincipalOf(tx, "robot", "ml")
			return err
		})
		ok(t, err)
		ok(t, e.inTx(p, "hook:submit", hook))
		want(t, e.inTx(p, "trigger:write", Resource{Type: "Trigger", ID: "T"}), caos.Denied)
		ok(t, e.DisableUser(ctx, e.strong("root"), "ml"))
		want(t, e.inTx(p, "hook:submit", hook), caos.Unauthenticated, RuleAccount)
		ok(t, e.inTx(caos.SystemPrincipal(), "hook:submit", hook))
		want(t, e.inTx(caos.SystemPrincipal(), "user:create", account("x")), caos.Denied)
		want(t, e.inTx(caos.Principal{ID: "ghost", Roles: []string{"admin"}}, "hook:read", hook), caos.Unauthenticated, RuleAccount)
	})
}

// If the log cannot be written, nothing happens.
func TestNoRecordNoChange(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		root := e.strong("root")
		e.log.fail = caos.Errorf(caos.Unavailable, "the log is not writable").WithHint("later")
		want(t, e.GrantRole(ctx, root, "ml", "vv-lead"), caos.Unavailable)
		_, err := e.CreateUser(ctx, root, NewUser{ID: "new", Name: "N"})
		want(t, err, caos.Unavailable)
		want(t, e.RevokeToken(ctx, root, e.as("ml").Token), caos.Unavailable)
		e.log.fail = nil
		if p := e.as("ml"); slices.Contains(p.Roles, "vv-lead") {
			t.Error("the role was granted without a record")
		}
		_, err = e.GetUser(ctx, root, "new")
		want(t, err, caos.NotFound)
	})
}

func TestRefusalsAreRecorded(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		p := e.as("ml")
		n := len(e.log.events())
		refused := e.Allow(p, "package:close", Resource{Type: "Package", ID: "CERT-PKG-1", Project: "alpha"})
		want(t, refused, caos.Denied)
		for range 5 { // the same error is one refusal, however often it is reported
			ok(t, e.RecordRefusal(ctx, refused))
		}
		r, text := e.log.last(t)
		if len(e.log.events()) != n+1 || r.Actor != "ml" || r.Decision.Effect != "deny" || r.Decision.Policies[0] != "deny-by-default" || r.Project != "alpha" {
			t.Errorf("%s", text)
		}
		// Repetitions become a count.
		for range 7 {
			ok(t, e.RecordRefusal(ctx, e.Allow(p, "package:close", Resource{Type: "Package", ID: "CERT-PKG-1", Project: "alpha"})))
		}
		if len(e.log.events()) != n+1 {
			t.Error("repetitions flood the log")
		}
		ok(t, e.Flush(ctx))
		r, text = e.log.last(t)
		if len(e.log.events()) != n+2 || r.Details.(map[string]any)["repeated"] != 7 {
			t.Errorf("%s", text)
		}
		ok(t, e.Flush(ctx))
		// What is no refusal is not recorded: success, a challenge, another error.
		ok(t, e.RecordRefusal(ctx, nil))
		ok(t, e.RecordRefusal(ctx, e.Allow(e.as("root"), "user:create", account("x"))))
		ok(t, e.RecordRefusal(ctx, caos.Errorf(caos.Denied, "another rule")))
		if len(e.log.events()) != n+2 {
			t.Errorf("events %v", e.log.events()[n:])
		}
		// An id from a request goes into a record only if it is one.
		ok(t, e.RecordRefusal(ctx, e.Allow(p, "package:close", Resource{Type: "Package", ID: "x\ny"})))
		if r, _ := e.log.last(t); len(r.Resources) != 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestFailuresAreCounted(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		n := len(e.log.events())
		for i := range 3000 {
			source := "198.51.100." + string(rune('0'+i%10))
			if i >= 1000 {
				source = "flood-" + time.Duration(i).String()
			}
			_, err := e.Authenticate(WithSource(ctx, source), "caos_x", "", nil)
			want(t, err, caos.Unauthenticated)
		}
		ok(t, e.Flush(ctx))
		ok(t, e.Flush(ctx))
		if got := e.log.events()[n:]; len(got) != 1 || got[0] != "authentication-failures" {
			t.Errorf("events %v", got)
		}
		if len(e.Failures()) != 0 {
			t.Error("counted twice")
		}
		// What cannot be recorded is kept for the next minute.
		_, _ = e.Authenticate(ctx, "x", "", nil)
		e.log.fail = errors.New("not writable")
		if e.Flush(ctx) == nil {
			t.Error("no error")
		}
		e.log.fail = nil
		if e.Failures()["unknown"][failMalformed] != 1 {
			t.Error("the count is lost")
		}
	})
}

func TestPoliciesInForceAreRecorded(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		n := len(e.log.events())
		ok(t, e.Start(context.Background()))
		ok(t, e.Start(context.Background()))
		if got := e.log.events()[n:]; len(got) != 1 || got[0] != "policies-changed" {
			t.Errorf("events %v", got)
		}
	})
}
