package auth

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

func TestBootstrapOnce(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		_, err := e.Bootstrap(context.Background(), []NewUser{{ID: "second", Name: "Second"}})
		want(t, err, caos.Conflict)
		done, err := e.Bootstrapped(context.Background())
		if err != nil || !done {
			t.Error(done, err)
		}
		root := e.as("root")
		if !slices.Equal(root.Roles, []string{"admin"}) || root.MFA != "" || root.Token == "" {
			t.Errorf("%+v", root)
		}
		// Wiping the accounts does not break the seal.
		ok(t, e.d.Write(context.Background(), func(tx *db.Tx) error { tx.Exec(`DELETE FROM users`); return nil }))
		_, err = e.Bootstrap(context.Background(), []NewUser{{ID: "second", Name: "Second"}})
		want(t, err, caos.Conflict)
		e.noNames()
	})
}

func TestBootstrapSeparates(t *testing.T) {
	run(t, func(t *testing.T, d *db.DB) {
		e := node(t, d, &clock{t: time.Unix(1e9, 0)}, t.TempDir(), 0)
		for _, users := range [][]NewUser{
			{{ID: "root", Name: "R", Roles: []string{"qa-lead"}}},
			{{ID: "root", Name: "R"}, {ID: "x", Name: "X", Roles: []string{"chief-engineer", "qa-lead"}}},
			{{ID: "root", Name: "R"}, {ID: "x", Name: "X", Roles: []string{"service"}}},
			{{ID: "root", Name: "R"}, {ID: "x", Kind: Service, Name: "X", Roles: []string{"admin"}}},
			{{ID: "root", Name: "R"}, {ID: "root", Name: "X"}},
			{{ID: "caos", Name: "R"}}, {{ID: "Root", Name: "R"}}, {{ID: "root"}}, {{ID: "root", Name: "R", Mail: "x"}}, {},
			{{ID: "root", Name: "R", Roles: []string{"king"}}}, {{ID: "root", Name: "a\nb"}},
		} {
			if _, err := e.Bootstrap(context.Background(), users); err == nil {
				t.Errorf("%+v was made", users)
			}
		}
		if done, _ := e.Bootstrapped(context.Background()); done {
			t.Error("a refused bootstrap sealed the installation")
		}
		e.bootstrap()
	})
}

func TestBadTokens(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := WithSource(context.Background(), "192.0.2.7")
		good := e.cast["ml"].Token.Value
		other := e.cast["qa"].Token.Value
		last := "a"
		if strings.HasSuffix(good, "a") {
			last = "b"
		}
		for name, token := range map[string]string{
			"none":         "",
			"garbage":      "hunter2",
			"long garbage": strings.Repeat("x", 1<<20),
			"prefix":       "CAOS" + good[4:],
			"cut":          good[:len(good)-1],
			"longer":       good + "a",
			"upper case":   strings.ToUpper(good),
			"unknown":      "caos_aaaaaaaaaaaaaaaa_" + good[tokenChars-secretChars:],
			"wrong secret": good[:len(good)-1] + last,
			"mixed":        good[:tokenChars-secretChars] + other[tokenChars-secretChars:],
			"with newline": good[:len(good)-1] + "\n",
			"bearer twice": "Bearer " + good,
		} {
			_, err := e.Authenticate(ctx, token, "", nil)
			if caos.KindOf(err) != caos.Unauthenticated {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil && token != "" && strings.Contains(err.Error(), token) {
				t.Errorf("%s: the error repeats the token", name)
			}
		}
		if f := e.Failures()["192.0.2.7"]; f[failMalformed] != 8 || f[failUnknown] != 3 || f[failMissing] != 1 {
			t.Errorf("counted %v", f)
		}
		// Expired: at the very moment, and again after the clock went back it counts again.
		p := e.as("ml")
		e.clock.move(defaultLife - time.Microsecond)
		e.as("ml")
		e.clock.move(time.Microsecond)
		_, err := e.Authenticate(ctx, good, "", nil)
		want(t, err, caos.Unauthenticated)
		want(t, e.inTx(p, "hook:read", Resource{Type: "Hook", ID: "H"}), caos.Unauthenticated, RuleAccount)
		want(t, e.Allow(p, "hook:read", Resource{Type: "Hook", ID: "H"}), caos.Unauthenticated, RuleAccount)
		e.clock.move(-24 * time.Hour)
		e.as("ml")
	})
}

func TestRevokedAndDisabled(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		ml := e.as("ml")
		hook := Resource{Type: "Hook", ID: "CAOS.PROD.CERT.AUDIT"}
		ok(t, e.Allow(ml, "hook:submit", hook))
		ok(t, e.inTx(ml, "hook:submit", hook))

		// One's own token, no second factor needed to lose power.
		ok(t, e.RevokeToken(ctx, ml, ml.Token))
		_, err := e.Authenticate(ctx, e.cast["ml"].Token.Value, "", nil)
		want(t, err, caos.Unauthenticated)
		want(t, e.inTx(ml, "hook:submit", hook), caos.Unauthenticated, RuleAccount)
		want(t, e.RevokeToken(ctx, e.as("root"), ml.Token), caos.Conflict)

		cert := e.as("cert")
		want(t, e.DisableUser(ctx, e.as("root"), "cert"), caos.StepUp)
		ok(t, e.DisableUser(ctx, e.strong("root"), "cert"))
		_, err = e.Authenticate(ctx, e.cast["cert"].Token.Value, "", nil)
		want(t, err, caos.Unauthenticated)
		want(t, e.inTx(cert, "hook:submit", hook), caos.Unauthenticated, RuleAccount)
		ok(t, e.EnableUser(ctx, e.strong("root"), "cert"))
		ok(t, e.inTx(e.as("cert"), "hook:submit", hook))

		want(t, e.DisableUser(ctx, e.strong("root"), "nobody-here"), caos.NotFound)
		want(t, e.RevokeToken(ctx, e.as("root"), "aaaaaaaaaaaaaaaa"), caos.NotFound)
		want(t, e.RevokeToken(ctx, e.as("aud"), "aaaaaaaaaaaaaaaa"), caos.Denied)
		want(t, e.RevokeToken(ctx, e.as("aud"), "../../etc"), caos.Invalid)
		e.noNames()
	})
}

// A role that is taken away between the route and the transaction no longer helps, and one
// that is given does not help yet.
func TestRoleRevokedInBetween(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		hook := Resource{Type: "Hook", ID: "CAOS.PROD.CERT.AUDIT"}
		p := e.as("ml")
		ok(t, e.Allow(p, "hook:submit", hook))
		ok(t, e.RevokeRole(ctx, e.strong("root"), "ml", "mlops-engineer"))
		want(t, e.inTx(p, "hook:submit", hook), caos.Denied, "deny-by-default")
		want(t, e.Allow(p, "hook:submit", hook), caos.Denied)
		ok(t, e.GrantRole(ctx, e.strong("root"), "ml", "release-manager"))
		want(t, e.inTx(p, "hook:submit", hook), caos.Denied)
		ok(t, e.inTx(e.as("ml"), "hook:submit", hook))

		// Also within one transaction, before anything is committed.
		p = e.as("ml")
		err := e.d.Update(ctx, func(tx *db.Tx) error {
			if err := e.Authorize(tx, p, "hook:submit", hook, nil); err != nil {
				t.Error(err)
			}
			tx.Exec(`DELETE FROM user_roles WHERE user_id = $1`, "ml")
			e.raise(tx)
			return e.Authorize(tx, p, "hook:submit", hook, nil)
		})
		want(t, err, caos.Denied)
		ok(t, e.inTx(p, "hook:submit", hook)) // it was rolled back
	})
}

// Two nodes: a revocation counts at once inside transactions of the other node, and
// within a second for its authentications.
func TestRevocationReachesOtherNodes(t *testing.T) {
	run(t, func(t *testing.T, d *db.DB) {
		a := start(t, d)
		b := sameInstallation(t, a)
		ctx := context.Background()
		p := b.as("ml")
		b.as("ml") // cached
		ok(t, a.RevokeToken(ctx, a.as("ml"), p.Token))
		want(t, b.inTx(p, "hook:read", Resource{Type: "Hook", ID: "H"}), caos.Unauthenticated, RuleAccount)
		a.clock.move(time.Second)
		_, err := b.Authenticate(ctx, b.cast["ml"].Token.Value, "", nil)
		want(t, err, caos.Unauthenticated)

		// A clock that goes back must not keep the cache alive.
		q := b.as("qa")
		ok(t, a.RevokeToken(ctx, a.as("qa"), q.Token))
		a.clock.move(-time.Hour)
		_, err = b.Authenticate(ctx, b.cast["qa"].Token.Value, "", nil)
		want(t, err, caos.Unauthenticated)
	})
}

// sameInstallation opens a second Auth on the same database: another cache, like another
// node. (A second SQLite writer is not a thing that exists.)
func sameInstallation(t testing.TB, e *env) *env {
	t.Helper()
	o := e.o
	a, err := New(o)
	ok(t, err)
	return &env{Auth: a, t: t, d: e.d, clock: e.clock, log: e.log, cast: e.cast}
}

func TestLastUsed(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		e.as("ml")
		e.clock.move(time.Minute)
		p := e.as("ml")
		ok(t, e.Flush(ctx))
		list, err := e.ListTokens(ctx, p, "ml")
		ok(t, err)
		if len(list) != 1 || list[0].LastUsed == nil || !list[0].LastUsed.Equal(e.clock.now()) {
			t.Errorf("%+v", list)
		}
		_, err = e.ListTokens(ctx, p, "qa")
		want(t, err, caos.Denied)
		list, err = e.ListTokens(ctx, e.as("aud"), "ml")
		if err != nil || len(list) != 1 {
			t.Error(list, err)
		}
	})
}

// No database, no authentication: never on what a cache remembers.
func TestDatabaseGone(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	e := start(t, d)
	e.as("ml")
	ok(t, d.Close())
	e.clock.move(time.Second)
	_, err := e.Authenticate(context.Background(), e.cast["ml"].Token.Value, "", nil)
	want(t, err, caos.Unavailable)
}

func FuzzParseToken(f *testing.F) {
	f.Add("caos_aaaaaaaaaaaaaaaa_" + strings.Repeat("a", 52))
	f.Add("caos__")
	f.Add("caos_aaaaaaaaaaaaaaa\x00_" + strings.Repeat("7", 52))
	f.Fuzz(func(t *testing.T, s string) {
		id, good := parseToken(s)
		if good != (id != "") || good && (len(s) != tokenChars || "caos_"+id+"_"+s[22:] != s || strings.ToLower(s) != s) {
			t.Errorf("%q gives %q %v", s, id, good)
		}
	})
}

func FuzzParseMFA(f *testing.F) {
	f.Add("totp 123456")
	f.Add("totp  12345")
	f.Add("TOTP 123456")
	f.Add("totp ١٢٣")
	f.Fuzz(func(t *testing.T, s string) {
		code, err := parseMFA(s)
		if (err == nil) != (len(s) == 11 && s == "totp "+code && strings.Trim(code, "0123456789") == "") {
			t.Errorf("%q gives %q %v", s, code, err)
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	e := start(b, dbtest.Open(b, db.SQLite))
	token := e.cast["ml"].Token.Value
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Authenticate(ctx, token, "", nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAllow(b *testing.B) {
	e := start(b, dbtest.Open(b, db.SQLite))
	p := e.as("ml")
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Allow(p, "hook:submit", Resource{Type: "Hook", ID: "CAOS.PROD.CERT.AUDIT"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthorize(b *testing.B) {
	for _, dialect := range []db.Dialect{db.SQLite, db.PostgreSQL} {
		b.Run(string(dialect), func(b *testing.B) {
			e := start(b, dbtest.Open(b, dialect))
			p := e.as("ml")
			n := 0
			b.ResetTimer()
			for n < b.N {
				err := e.d.Update(context.Background(), func(tx *db.Tx) error {
					for range 100 {
						n++
						if err := e.Authorize(tx, p, "hook:submit", Resource{Type: "Hook", ID: "CAOS.PROD.CERT.AUDIT"}, nil); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
