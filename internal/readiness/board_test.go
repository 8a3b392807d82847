package readiness_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/event"
	"caos/internal/object"
	"caos/internal/policy"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/verify"
)

const (
	fcs        = "NN-FCS-001"
	v210       = "2.1.0"
	prr        = "PRR-NN-FCS-001-2.1.0"
	freezeHook = "CAOS.PROD.MODEL.FREEZE"
	origin     = "log.example/caos"
	zeroes     = "SHA256:0000000000000000000000000000000000000000000000000000000000000000"
)

// house is an installation's real parts, as far as decisions need them: accounts, models,
// executions of freezes, the log. Its clock moves a millisecond with each look.
type house struct {
	*readiness.Readiness
	t       testing.TB
	d       *db.DB
	auth    *auth.Auth
	reg     *registry.Registry
	eng     *engine.Engine
	objects *object.Store
	clock   atomic.Int64
	cast    map[string]auth.Created
	docs    int
}

// freezeState is that of a freeze that does nothing: who asked for it is what counts.
type freezeState struct{}

func freezeFlow() *engine.Flow {
	return engine.Plan[freezeState]{Hook: freezeHook, Version: "1.0.0", Revision: 1, Schema: 1,
		Begin:  func(*engine.Run, json.RawMessage) (*freezeState, error) { return &freezeState{}, nil },
		Steps:  []engine.Step[freezeState]{engine.InTx(1, "Validate", "validate", func(*db.Tx, *engine.Run, *freezeState) error { return nil })},
		Output: func(s *freezeState) any { return s },
	}.Flow()
}

func newHouse(t testing.TB, d *db.DB) *house {
	t.Helper()
	h := &house{t: t, d: d, cast: map[string]auth.Created{}}
	h.clock.Store(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).UnixMicro())
	now := func() time.Time { return time.UnixMicro(h.clock.Add(1000)) }
	stamps := caos.NewStamper(now, time.Time{}, 0, 1)
	quiet := slog.New(slog.DiscardHandler)
	log, err := auditlog.Open(context.Background(), auditlog.Options{DB: d, Origin: origin, Stamps: stamps, Now: now, Log: quiet, PublishEvery: time.Hour})
	h.ok(err)
	events, err := event.Open(event.Options{DB: d, Stamps: stamps, Now: now, Log: quiet, Poll: time.Hour})
	h.ok(err)
	h.objects, err = object.Open(filepath.Join(t.TempDir(), "objects"), d, time.Now)
	h.ok(err)
	policies, err := policy.Load()
	h.ok(err)
	sealer, err := auth.OpenFileSealer(t.TempDir())
	h.ok(err)
	h.auth, err = auth.New(auth.Options{DB: d, Log: log, Policies: policies, Sealer: sealer, Origin: origin, Now: now})
	h.ok(err)
	h.reg, err = registry.Open(registry.Options{DB: d, Objects: h.objects, Log: log, Events: events, Now: now})
	h.ok(err)
	h.eng, err = engine.New(engine.Options{DB: d, Log: log, Stamps: stamps, Flows: []*engine.Flow{freezeFlow()}})
	h.ok(err)
	h.ok(h.eng.Start(context.Background()))
	h.Readiness, err = readiness.Open(readiness.Options{DB: d, Log: log, Events: events, Stamps: stamps, Now: now, People: h.auth, Keys: h.auth, Origin: origin,
		Hands: h.hands, Known: func(_ *db.Tx, _ readiness.Subject, ids []string) ([]string, error) {
			return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return strings.HasPrefix(id, "EVID-") }), nil
		}})
	h.ok(err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := h.eng.Stop(ctx); err != nil {
			t.Error(err)
		}
		events.Close()
		h.objects.Close()
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// hands asks the registry and the engine, as the application does.
func (h *house) hands(tx *db.Tx, modelID, version string) ([]readiness.Hand, error) {
	known, err := h.reg.Hands(tx, modelID, version)
	if err != nil {
		return nil, err
	}
	var out []readiness.Hand
	for _, one := range known {
		out = append(out, readiness.Hand(one))
	}
	asked, err := engine.Requesters(tx, freezeHook, modelID)
	for _, r := range asked {
		var in struct {
			Version string `json:"model_version"`
		}
		if err := json.Unmarshal(r.Input, &in); err != nil {
			return nil, err
		}
		if in.Version == version {
			for _, person := range []string{r.RequestedBy, r.By, r.EnabledBy} {
				out = append(out, readiness.Hand{Person: person, Part: "FREEZE_REQUESTER", Source: r.ExecutionID})
			}
		}
	}
	return out, err
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) do(fn func(tx *db.Tx) error) error { return h.d.Update(context.Background(), fn) }

func (h *house) must(fn func(tx *db.Tx) error) {
	h.t.Helper()
	h.ok(h.do(fn))
}

func (h *house) move(d time.Duration) { h.clock.Add(d.Microseconds()) }

func (h *house) now() time.Time { return time.UnixMicro(h.clock.Load()).UTC() }

// bootstrap makes the first people. The first is the administrator.
func (h *house) bootstrap(users ...auth.NewUser) {
	h.t.Helper()
	for i := range users {
		users[i].Name = strings.ToUpper(users[i].ID)
	}
	made, err := h.auth.Bootstrap(context.Background(), users)
	h.ok(err)
	for _, c := range made {
		h.cast[c.User] = c
	}
}

// as authenticates a person by their first token, with a second factor that was just given.
func (h *house) as(id string) caos.Principal {
	h.t.Helper()
	p, err := h.auth.Authenticate(context.Background(), h.cast[id].Token.Value, "", nil)
	h.ok(err)
	p.MFA = "totp"
	return p
}

// create makes a person, and a first token, both by somebody.
func (h *house) create(by, id string, roles ...string) {
	h.t.Helper()
	made, err := h.auth.CreateUser(context.Background(), h.as(by), auth.NewUser{ID: id, Name: strings.ToUpper(id), Roles: roles, Token: &auth.NewToken{Label: "first"}})
	h.ok(err)
	h.cast[id] = made
}

// model makes a model and one version of it.
func (h *house) model(id, owner, level string) {
	h.t.Helper()
	by := registry.By{Actor: owner}
	h.must(func(tx *db.Tx) error {
		if _, err := h.reg.CreateModel(tx, registry.Model{ModelID: id, Name: "A model", Family: "MLP", SafetyLevel: level, Regime: "EASA_CS-25", Owner: owner,
			Project: "demo", Classification: "Internal"}, by); err != nil {
			return err
		}
		_, err := h.reg.CreateVersion(tx, registry.Version{ModelID: id, Version: v210, Framework: "PyTorch 2.9", SafetyImpact: "none", CertificationImpact: "minor"}, by)
		return err
	})
}

func (h *house) give(id, owner string) {
	h.t.Helper()
	h.must(func(tx *db.Tx) error {
		_, err := h.reg.UpdateModel(tx, id, registry.ModelChange{Owner: &owner}, 0, registry.By{Actor: "root"})
		return err
	})
}

// report registers a version of a V&V report, which supersedes the one before.
func (h *house) report(id string, by registry.By) {
	h.t.Helper()
	h.docs++
	number := strings.Split(id, "-")[2]
	body := fmt.Sprintf(`{"document_id":"95-00-07-01-%s","model_id":%q,"model_version":%q,"status":"PASSED","performed_on":"2026-11-20","tests":[
		{"test_id":"T%d","title":"t","requirement_ids":[],"result":"PASSED"}]}`, number, id, v210, h.docs)
	ref, err := h.objects.Put(context.Background(), strings.NewReader(body), object.PutOptions{})
	h.ok(err)
	doc := registry.Document{DocumentID: "95-00-07-01-" + number, Kind: registry.KindVVReport, Digest: ref.Digest, Version: fmt.Sprintf("1.%d", h.docs), Title: "V&V"}
	parsed, err := h.reg.ReadDocument(context.Background(), doc.Kind, doc.Digest)
	h.ok(err)
	h.must(func(tx *db.Tx) error { _, err := h.reg.RegisterDocument(tx, doc, parsed, by); return err })
}

// freeze submits a freeze.
func (h *house) freeze(id, requester string, by caos.Principal) {
	h.t.Helper()
	_, err := h.eng.Submit(context.Background(), engine.Submission{Hook: freezeHook, By: by, RequestedBy: requester, ModelID: id,
		Input: json.RawMessage(`{"model_id":"` + id + `","model_version":"2.1\u002e0"}`)}) // an escape is another spelling of the same version
	h.ok(err)
}

func subject(id, level string) readiness.Subject {
	return readiness.Subject{ModelID: id, Version: v210, BaselineID: "BL-" + caos.ShortID(id) + "-" + v210, RootDigest: zeroes, SafetyLevel: level,
		Project: "demo", Classification: "Internal"}
}

// review opens a review.
func (h *house) review(s readiness.Subject, by readiness.By, enabledBy string, members ...string) (v *readiness.Review, err error) {
	err = h.do(func(tx *db.Tx) (err error) {
		v, err = h.OpenReview(tx, readiness.Review{ExecutionID: "EXEC-1", Subject: s, ChecklistID: "CHK-FCS-2.1.0", Members: members, PRRDate: "2030-11-30",
			ClosesAt: time.Date(2030, 12, 1, 0, 0, 0, 0, time.UTC), EnabledBy: enabledBy}, by)
		return err
	})
	return v, err
}

// prepared gives a review its report.
func (h *house) prepared(id, best string) (v *readiness.Review, err error) {
	err = h.do(func(tx *db.Tx) (err error) {
		v, err = h.Prepared(tx, id, readiness.ReviewReport{ReportID: "95-00-09-02-001", Version: "1.0", Digest: zeroes, PDFDigest: zeroes, FactsDigest: zeroes}, best,
			readiness.By{Actor: "caos"})
		return err
	})
	return v, err
}

func (h *house) vote(id string, b readiness.Ballot, proof readiness.Proof, p caos.Principal) (v *readiness.Vote, err error) {
	err = h.do(func(tx *db.Tx) (err error) { v, err = h.Vote(tx, id, b, proof, p); return err })
	return v, err
}

func (h *house) proposal(id string, b readiness.Ballot, p caos.Principal) (out readiness.Proposal, err error) {
	err = h.do(func(tx *db.Tx) (err error) { out, err = h.ProposeVote(tx, id, b, p); return err })
	return out, err
}

func (h *house) show(id string) *readiness.Review {
	h.t.Helper()
	v, err := h.Review(context.Background(), id)
	h.ok(err)
	return v
}

// tables are those in which a refused decision could leave something.
var tables = []string{"decisions", "reviews", "review_votes", "review_conditions", "row_history", "release_authorizations", "audit_records", "events"}

// prints is the number of rows and the sum of revisions, which a refusal must not change.
func (h *house) prints() string {
	h.t.Helper()
	var b strings.Builder
	q := h.d.Reader(context.Background())
	ask := func(sql string) {
		var n int64
		h.ok(q(sql, nil, func(scan func(...any) error) error { return scan(&n) }))
		fmt.Fprintf(&b, "%s: %d\n", sql, n)
	}
	for _, table := range tables {
		ask("SELECT COUNT(*) FROM " + table)
	}
	ask("SELECT COALESCE(SUM(revision), 0) FROM reviews")
	ask("SELECT COALESCE(SUM(revision), 0) FROM review_conditions")
	ask("SELECT COALESCE(SUM(revision), 0) FROM release_authorizations")
	return b.String()
}

// refused expects a refusal by a rule that leaves nothing behind.
func (h *house) refused(name string, kind caos.Kind, rule string, try func() error) {
	h.t.Helper()
	before := h.prints()
	err := try()
	var e *caos.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Rule != rule {
		h.t.Errorf("%s: got %v (%+v), want %s by %q", name, err, e, kind, rule)
		return
	}
	if e.Hint == "" && kind != caos.NotFound {
		h.t.Errorf("%s: %v says nothing of a remedy", name, err)
	}
	if after := h.prints(); after != before {
		h.t.Errorf("%s was refused and left something:\n%s\n%s", name, before, after)
	}
}

// pen is a key that a person holds.
type pen struct {
	signer ssh.Signer
	public string
}

func newPen(t testing.TB) pen {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pen{s, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey())))}
}

// sign makes an SSH signature, as OpenSSH's PROTOCOL.sshsig has it.
func (p pen) sign(t testing.TB, namespace, message string) string {
	t.Helper()
	put := func(to []byte, parts ...[]byte) []byte {
		for _, v := range parts {
			to = append(binary.BigEndian.AppendUint32(to, uint32(len(v))), v...)
		}
		return to
	}
	sum := sha512.Sum512([]byte(message))
	sig, err := p.signer.Sign(nil, put([]byte("SSHSIG"), []byte(namespace), nil, []byte("sha512"), sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	head := binary.BigEndian.AppendUint32([]byte("SSHSIG"), 1)
	return string(pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE",
		Bytes: put(head, p.signer.PublicKey().Marshal(), []byte(namespace), nil, []byte("sha512"), ssh.Marshal(sig))}))
}

// enrol gives a person a key, that counts if somebody countersigns it.
func (h *house) enrol(person, countersigner string) (pen, string) {
	h.t.Helper()
	p := newPen(h.t)
	st, err := auth.NewKeyStatement(origin, person, p.public, h.now())
	h.ok(err)
	k, err := h.auth.EnrolKey(context.Background(), h.as(person), st, []byte(p.sign(h.t, auth.KeyNamespace, string(st))))
	h.ok(err)
	if countersigner != "" {
		_, err = h.auth.CountersignKey(context.Background(), h.as(countersigner), k.ID)
		h.ok(err)
	}
	return p, k.ID
}

// signed proposes a vote and signs it.
func (h *house) signed(id string, b readiness.Ballot, p caos.Principal, with pen) readiness.Proof {
	h.t.Helper()
	proposal, err := h.proposal(id, b, p)
	h.ok(err)
	return readiness.Proof{Statement: proposal.Statement, Signature: with.sign(h.t, proposal.Namespace, proposal.Statement)}
}

// eachHouse runs a test on both databases with the usual people and a model of olga's.
func eachHouse(t *testing.T, level string, fn func(t *testing.T, h *house)) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		h.bootstrap(auth.NewUser{ID: "root"}, auth.NewUser{ID: "chief", Roles: []string{"chief-engineer"}}, auth.NewUser{ID: "quinn", Roles: []string{"qa-lead"}},
			auth.NewUser{ID: "bo", Roles: []string{"prr-board"}}, auth.NewUser{ID: "bea", Roles: []string{"prr-board"}}, auth.NewUser{ID: "ben", Roles: []string{"prr-board"}},
			auth.NewUser{ID: "olga", Roles: []string{"admin"}}, auth.NewUser{ID: "oleg", Roles: []string{"prr-board"}},
			auth.NewUser{ID: "vera", Roles: []string{"prr-board"}}, auth.NewUser{ID: "vic", Roles: []string{"prr-board"}}, auth.NewUser{ID: "fred", Roles: []string{"prr-board"}},
			auth.NewUser{ID: "fran", Roles: []string{"prr-board"}}, auth.NewUser{ID: "rita", Roles: []string{"prr-board", "release-manager"}},
			auth.NewUser{ID: "rolf", Roles: []string{"prr-board"}}, auth.NewUser{ID: "rex", Roles: []string{"prr-board"}}, auth.NewUser{ID: "ned", Roles: []string{"mlops-engineer"}},
			auth.NewUser{ID: "robot", Kind: auth.Service, Roles: []string{"service"}})
		h.create("olga", "quill", "prr-board") // as an administrator, which does not go with voting
		h.ok(h.auth.RevokeRole(context.Background(), h.as("root"), "olga", "admin"))
		h.ok(h.auth.GrantRole(context.Background(), h.as("root"), "olga", "prr-board"))
		h.model(fcs, "oleg", level)
		h.give(fcs, "olga")
		h.report(fcs, registry.By{Actor: "vera", RecordedBy: "vic"})
		h.report(fcs, registry.By{Actor: "vic"})
		h.freeze(fcs, "fred", h.as("fran"))
		fn(t, h)
	})
}

var board = []string{"bo", "bea", "ben", "olga", "oleg", "vera", "vic", "fred", "fran", "rita", "rolf", "rex", "quill"}

// voting opens a review of the model, asked for by rita through rolf, by a trigger of rex's.
func (h *house) voting(level, best string, members ...string) *readiness.Review {
	h.t.Helper()
	v, err := h.review(subject(fcs, level), readiness.By{Actor: "rita", RecordedBy: "rolf"}, "rex", members...)
	h.ok(err)
	v, err = h.prepared(v.PRRID, best)
	h.ok(err)
	return v
}

func ballot(outcome string) readiness.Ballot { return readiness.Ballot{Outcome: outcome} }

func conditional(text, owner string) readiness.Ballot {
	return readiness.Ballot{Outcome: verify.OutcomeConditional, Conditions: []readiness.ConditionDraft{{Text: text, Owner: owner, DueOn: "2026-12-24"}}}
}

// logged is a record of the log, as it is stored.
type logged struct {
	auditlog.Record
	details json.RawMessage
}

func (h *house) recordOf(id string) logged {
	h.t.Helper()
	var text string
	h.ok(h.d.Reader(context.Background())(`SELECT record FROM audit_records WHERE id = $1`, []any{id}, func(scan func(...any) error) error { return scan(&text) }))
	rec, err := auditlog.ParseRecord([]byte(text))
	h.ok(err)
	raw, err := json.Marshal(rec.Details)
	h.ok(err)
	return logged{rec, raw}
}
