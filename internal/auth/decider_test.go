package auth

import (
	"context"
	"slices"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
)

// with authenticates a token.
func (e *env) with(token string) caos.Principal {
	e.t.Helper()
	p, err := e.Authenticate(context.Background(), token, "", nil)
	ok(e.t, err)
	return p
}

func TestParties(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		parties := func(p caos.Principal) (out []string) {
			t.Helper()
			ok(t, e.d.Update(ctx, func(tx *db.Tx) (err error) { out, err = e.Parties(tx, p); return err }))
			return out
		}
		// ml becomes an administrator and makes an account; root hands out its token.
		ok(t, e.GrantRole(ctx, e.strong("root"), "ml", "admin"))
		_, err := e.CreateUser(ctx, e.strong("ml"), NewUser{ID: "vic", Name: "Vic"})
		ok(t, err)
		if got := parties(caos.Principal{ID: "vic"}); !slices.Equal(got, []string{"ml"}) {
			t.Errorf("who made the account: %q", got)
		}
		issued, err := e.CreateToken(ctx, e.strong("root"), "vic", NewToken{Label: "first", Life: time.Hour})
		ok(t, err)
		if got := parties(caos.Principal{ID: "vic", EnabledBy: "qa"}); !slices.Equal(got, []string{"ml", "qa", "root"}) {
			t.Errorf("who made it, gave it a token, enabled it: %q", got)
		}
		// A token that vic makes with root's is still root's doing, also when that one is gone.
		vic := e.with(issued.Value)
		vic.MFA = "totp"
		own, err := e.CreateToken(ctx, vic, "vic", NewToken{Label: "second"})
		ok(t, err)
		ok(t, e.RevokeToken(ctx, vic, issued.ID))
		if got := parties(e.with(own.Value)); !slices.Equal(got, []string{"ml", "root"}) {
			t.Errorf("after a token of their own: %q", got)
		}
		if got := parties(e.as("qa")); len(got) != 0 {
			t.Errorf("of one of the first accounts: %q", got)
		}
		if got := parties(caos.Principal{ID: "vanished"}); len(got) != 0 {
			t.Errorf("of nobody: %q", got)
		}
		err = e.d.Update(ctx, func(tx *db.Tx) error { _, err := e.Parties(tx, caos.Principal{ID: "no\x00one"}); return err })
		want(t, err, caos.Invalid)
	})
}

func TestRolesOf(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		roles := func(id string) (out []string) {
			t.Helper()
			ok(t, e.d.Update(ctx, func(tx *db.Tx) (err error) { out, err = e.RolesOf(tx, id); return err }))
			return out
		}
		if got := roles("qa"); !slices.Contains(got, "qa-lead") || !slices.IsSorted(got) {
			t.Errorf("%q", got)
		}
		ok(t, e.GrantRole(ctx, e.strong("root"), "qa", "prr-board"))
		if got := roles("qa"); !slices.Contains(got, "prr-board") || !slices.IsSorted(got) {
			t.Errorf("after a grant: %q", got)
		}
		ok(t, e.RevokeRole(ctx, e.strong("root"), "qa", "qa-lead"))
		if got := roles("qa"); slices.Contains(got, "qa-lead") {
			t.Errorf("after a revocation: %q", got)
		}
		ok(t, e.DisableUser(ctx, e.strong("root"), "qa"))
		for _, id := range []string{"qa", "vanished", "no\x00one"} {
			if got := roles(id); got == nil || len(got) != 0 {
				t.Errorf("%q: %q", id, got)
			}
		}
	})
}

func TestActiveKeyRefuses(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		active := func(person, key string) error {
			return e.d.Update(context.Background(), func(tx *db.Tx) error { _, err := e.ActiveKey(tx, person, key); return err })
		}
		p := newPen(t)
		want(t, active("ml", p.public), caos.NotFound)
		want(t, active("ml", "ssh-rsa AAAA"), caos.Invalid)
		want(t, active("ml", p.public+"\n"+p.public), caos.Invalid)
		st := e.statement("ml", p.public)
		k, err := e.EnrolKey(context.Background(), e.strong("ml"), st, p.sign(t, KeyNamespace, st))
		ok(t, err)
		want(t, active("ml", p.public), caos.Denied, "personal-key-active")
		ok(t, second(e.CountersignKey(context.Background(), e.strong("qa"), k.ID)))
		ok(t, active("ml", p.public+" comment"))
		want(t, active("qa", p.public), caos.Denied, "personal-key-active")
		want(t, active("vanished", p.public), caos.Denied, "personal-key-active")
		ok(t, second(e.RevokeKey(context.Background(), e.as("ml"), k.ID, time.Time{})))
		want(t, active("ml", p.public), caos.Denied, "personal-key-active")
	})
}
