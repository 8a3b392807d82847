package auth

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/policy"
)

// clock is a clock that tests move by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// journal is the real log, and remembers what was committed through it.
type journal struct {
	log  *auditlog.Log
	fail error // returned by Append instead of appending

	mu   sync.Mutex
	done []auditlog.Record
}

func (j *journal) Append(tx *db.Tx, r auditlog.Record) (auditlog.Receipt, error) {
	if j.fail != nil {
		return auditlog.Receipt{}, j.fail
	}
	receipt, err := j.log.Append(tx, r)
	tx.AfterCommit(func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.done = append(j.done, r)
	})
	return receipt, err
}

// events returns the events of the records, in the order of their commits.
func (j *journal) events() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []string
	for _, r := range j.done {
		out = append(out, eventOf(r))
	}
	return out
}

func eventOf(r auditlog.Record) string {
	m, _ := r.Details.(map[string]any)
	s, _ := m["event"].(string)
	return s
}

func (j *journal) last(t testing.TB) (auditlog.Record, string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.done) == 0 {
		t.Fatal("nothing was recorded")
	}
	r := j.done[len(j.done)-1]
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(text)
}

// env is one node of an installation with a cast of people.
type env struct {
	*Auth
	t     testing.TB
	d     *db.DB
	clock *clock
	log   *journal
	cast  map[string]Created
}

const origin = "test.example/log"

func policies(t testing.TB) *policy.Set {
	t.Helper()
	s, err := policy.Load()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// node opens one node on a database. slot keeps the record ids of several nodes apart.
func node(t testing.TB, d *db.DB, c *clock, keys string, slot int) *env {
	t.Helper()
	log, err := auditlog.Open(context.Background(), auditlog.Options{
		DB: d, Origin: origin, Stamps: caos.NewStamper(c.now, time.Time{}, slot, 4), Now: c.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	sealer, err := OpenFileSealer(keys)
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{log: log}
	a, err := New(Options{DB: d, Log: j, Policies: policies(t), Sealer: sealer, Origin: origin, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return &env{Auth: a, t: t, d: d, clock: c, log: j, cast: map[string]Created{}}
}

// start opens a node and bootstraps the cast: root (admin), ce, qa, cert, ml, aud, robot.
func start(t testing.TB, d *db.DB) *env {
	t.Helper()
	e := node(t, d, &clock{t: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}, t.TempDir(), 0)
	e.bootstrap()
	return e
}

func (e *env) bootstrap() {
	e.t.Helper()
	users := []NewUser{
		{ID: "root", Name: "Admin Name"},
		{ID: "ce", Name: "Chief Name", Roles: []string{"chief-engineer"}},
		{ID: "qa", Name: "Quality Name", Roles: []string{"qa-lead"}},
		{ID: "cert", Name: "Cert Name", Roles: []string{"certification"}},
		{ID: "ml", Name: "Ml Name", Roles: []string{"mlops-engineer", "data-engineer"}},
		{ID: "aud", Name: "Auditor Name", Roles: []string{"auditor"}},
		{ID: "robot", Kind: Service, Name: "Pipeline", Roles: []string{"service"}},
	}
	made, err := e.Bootstrap(context.Background(), users)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, c := range made {
		e.cast[c.User] = c
	}
}

// as authenticates one of the cast without a second factor.
func (e *env) as(user string) caos.Principal {
	e.t.Helper()
	p, err := e.Authenticate(context.Background(), e.cast[user].Token.Value, "", nil)
	if err != nil {
		e.t.Fatalf("%s: %v", user, err)
	}
	return p
}

// code returns the current code of one of the cast.
func (e *env) code(user string) string {
	e.t.Helper()
	c, err := totp.GenerateCode(e.cast[user].TOTP.Secret, e.clock.now())
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}

// strong authenticates with a second factor, and waits for the next code first.
func (e *env) strong(user string) caos.Principal {
	e.t.Helper()
	e.clock.move(30 * time.Second)
	p, err := e.Authenticate(context.Background(), e.cast[user].Token.Value, "totp "+e.code(user), []byte("request"))
	if err != nil {
		e.t.Fatalf("%s: %v", user, err)
	}
	return p
}

// join keeps a created user in the cast.
func (e *env) join(c Created, err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
	e.cast[c.User] = c
}

// inTx authorises inside an audited transaction that does nothing else.
func (e *env) inTx(p caos.Principal, action string, r Resource) error {
	return e.d.Update(context.Background(), func(tx *db.Tx) error { return e.Authorize(tx, p, action, r, nil) })
}

// want fails unless err is a *caos.Error of a kind (and, if given, with a rule).
func want(t testing.TB, err error, kind caos.Kind, rule ...string) {
	t.Helper()
	if caos.KindOf(err) != kind {
		t.Fatalf("got %v (kind %q), want kind %q", err, caos.KindOf(err), kind)
	}
	if err == nil {
		return
	}
	var e *caos.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no *caos.Error", err)
	}
	if len(rule) > 0 && e.Rule != rule[0] {
		t.Fatalf("got rule %q in %v, want %q", e.Rule, err, rule[0])
	}
	if e.Hint == "" && kind != caos.NotFound && kind != caos.Conflict && kind != caos.Internal && len(rule) == 0 {
		t.Errorf("%v has no hint", err)
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// names must never be in a record.
func (e *env) noNames() {
	e.t.Helper()
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	for _, r := range e.log.done {
		text, err := json.Marshal(r)
		ok(e.t, err)
		for _, c := range e.cast {
			if c.Token != nil && strings.Contains(string(text), c.Token.Value) || c.TOTP != nil && strings.Contains(string(text), c.TOTP.Secret) {
				e.t.Errorf("a secret is in the record %s", text)
			}
		}
		if strings.Contains(string(text), " Name") || strings.Contains(string(text), "@example") {
			e.t.Errorf("a name is in the record %s", text)
		}
	}
}

func each(t *testing.T, fn func(t *testing.T, e *env)) {
	run(t, func(t *testing.T, d *db.DB) { fn(t, start(t, d)) })
}

// run is dbtest.Run with patience: these tests are about who may do what, not how fast on
// a busy machine.
func run(t *testing.T, fn func(t *testing.T, d *db.DB)) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) { fn(t, open(t, dbtest.URL(t, dialect))) })
}

func open(t testing.TB, url string) *db.DB {
	return dbtest.OpenWith(t, db.Options{URL: url, Budget: 10 * time.Second, Log: slog.New(slog.DiscardHandler)})
}
