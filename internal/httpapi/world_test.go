package httpapi

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/pquerna/otp/totp"

	"caos"
	"caos/internal/alert"
	"caos/internal/anchor"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/baseline"
	"caos/internal/chain"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/dpp"
	"caos/internal/engine"
	"caos/internal/event"
	"caos/internal/evidence"
	"caos/internal/hook"
	"caos/internal/location"
	"caos/internal/notify"
	"caos/internal/object"
	"caos/internal/policy"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/secret"
	"caos/internal/sign"
	"caos/internal/trigger"
)

// world is the real stack on SQLite behind the real server, with a clock that can be put
// forward: a code of a second factor counts once in thirty seconds.
type world struct {
	t      testing.TB
	api    *API
	db     *db.DB
	log    *auditlog.Log
	auth   *auth.Auth
	eng    *engine.Engine
	hooks  *hook.Service
	alerts *alert.Store
	objdir string
	dir    string // that the stores lie in

	objects  *object.Store
	evidence *evidence.Repository
	notices  *notify.Notifier
	registry *registry.Registry
	frozen   *baseline.Store
	dpp      *dpp.Passports
	ready    *readiness.Readiness
	datasets *dataset.Datasets
	keys     *sign.Keys

	url    string
	client *http.Client
	lines  *lines
	tokens map[string]string
	totp   map[string]string
	shift  atomic.Int64 // of the clock, nanoseconds
	hold   chan struct{}
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.shift.Load())) }

// people are the accounts of every world, by what they are for.
func people() []auth.NewUser {
	p1 := &auth.Scope{Projects: []string{"P1"}}
	return []auth.NewUser{
		{ID: "root", Name: "Root"},
		{ID: "mo", Name: "Mo", Roles: []string{"mlops-engineer"}},
		{ID: "cora", Name: "Cora", Roles: []string{"configuration-manager"}},
		{ID: "cert", Name: "Cert", Roles: []string{"certification"}},
		{ID: "vera", Name: "Vera", Roles: []string{"vv-lead"}},
		{ID: "aud", Name: "Aud", Roles: []string{"auditor"}},
		{ID: "ira", Name: "Ira", Roles: []string{"incident-responder"}},
		{ID: "qa", Name: "Qa", Roles: []string{"qa-lead"}},
		{ID: "chief", Name: "Chief", Roles: []string{"chief-engineer"}},
		{ID: "owen", Name: "Owen", Roles: []string{"model-owner"}},
		{ID: "sam", Name: "Sam", Roles: []string{"safety-engineer"}},
		{ID: "dana", Name: "Dana", Roles: []string{"data-engineer"}},
		{ID: "bea", Name: "Bea", Roles: []string{"prr-board"}},
		{ID: "ben", Name: "Ben", Roles: []string{"prr-board"}},
		{ID: "b1", Name: "Board of P1", Roles: []string{"prr-board", "qa-lead"}, Scope: p1},
		{ID: "rel", Name: "Rel", Roles: []string{"release-manager"}},
		{ID: "both", Name: "Both", Roles: []string{"model-owner", "vv-lead", "qa-lead"}},
		{ID: "o1", Name: "Owner of P1", Roles: []string{"model-owner"}, Scope: p1},
		{ID: "c1", Name: "Certification of P1", Roles: []string{"certification"}, Scope: p1},
		{ID: "newbie", Name: "Newbie"},
		{ID: "d1", Name: "Data engineer of P1", Roles: []string{"data-engineer"}, Scope: p1},
		{ID: "p1", Name: "Scoped", Roles: []string{"mlops-engineer"}, Scope: p1},
		{ID: "bot", Name: "Bot", Kind: auth.Service, Roles: []string{"service"}},
	}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOn(t, dbtest.Open(t, db.SQLite))
}

func newWorldOn(t testing.TB, d *db.DB) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t, lines: &lines{}, tokens: map[string]string{}, totp: map[string]string{}, hold: make(chan struct{})}
	logger := slog.New(slog.NewJSONHandler(w.lines, &slog.HandlerOptions{Level: slog.LevelInfo}))
	w.db = d
	dir := t.TempDir()
	t.Cleanup(func() { _ = baseline.RemoveAll(filepath.Join(dir, "baselines")) }) // read-only, which t.TempDir cannot remove
	w.dir = dir
	keys := must(sign.OpenKeys(filepath.Join(dir, "keys")))(t)
	for _, p := range []sign.Purpose{sign.Checkpoint, sign.Evidence, sign.Baseline, sign.Passport} {
		must(keys.Create(ctx, p, time.Now()))(t)
	}
	w.keys = keys
	stamps := caos.NewStamper(w.now, time.Time{}, 0, 1)
	w.log = must(auditlog.Open(ctx, auditlog.Options{DB: w.db, Keys: keys, Origin: "caos.test/log", Stamps: stamps, Now: w.now, Log: logger}))(t)
	policies := must(policy.Load())(t)
	sealer := must(auth.OpenFileSealer(filepath.Join(dir, "keys")))(t)
	w.auth = must(auth.New(auth.Options{DB: w.db, Log: w.log, Policies: policies, Sealer: sealer, Origin: "caos.test/log", Now: w.now, Logger: logger}))(t)
	for _, c := range must(w.auth.Bootstrap(ctx, people()))(t) {
		w.tokens[c.User] = c.Token.Value
		if c.TOTP != nil {
			w.totp[c.User] = c.TOTP.Secret
		}
	}
	outbox := must(event.Open(event.Options{DB: w.db, Stamps: stamps, Now: w.now}))(t)
	w.alerts = alert.New(w.db, outbox, stamps, w.now)
	w.objdir = filepath.Join(dir, "objects")
	w.objects = must(object.Open(w.objdir, w.db, w.now))(t)
	w.evidence = must(evidence.New(evidence.Options{DB: w.db, Objects: w.objects, Log: w.log, Keys: keys, Stamps: stamps, Now: w.now}))(t)
	w.notices = must(notify.New(notify.Options{DB: w.db, People: w.auth, Alerts: w.alerts, Stamps: stamps, Now: w.now}))(t)
	w.registry = must(registry.Open(registry.Options{DB: w.db, Objects: w.objects, Log: w.log, Events: outbox, Now: w.now}))(t)
	w.frozen = must(baseline.Open(filepath.Join(dir, "baselines"), w.now))(t)
	w.dpp = must(dpp.Open(dpp.Options{DB: w.db, Objects: w.objects, Log: w.log, Keys: keys, Now: w.now, BaseURL: "https://caos.test", Origin: "caos.test/log"}))(t)
	w.ready = must(readiness.Open(readiness.Options{DB: w.db, Log: w.log, Events: outbox, Stamps: stamps, Now: w.now, People: w.auth, Keys: w.auth, Origin: "caos.test/log",
		Known: w.knownEvidence, Hands: w.hands}))(t)
	if err := w.ready.Ship(ctx); err != nil {
		t.Fatal(err)
	}
	w.datasets = must(dataset.Open(dataset.Options{DB: w.db, Log: w.log, Events: outbox, Stamps: stamps, Now: w.now, Ended: engine.Ended}))(t)
	places := must(location.Open(location.Options{Roots: []string{filepath.Join(dir, "in")}, TargetRoots: []string{filepath.Join(dir, "out")}}))(t)
	hooks := hook.Catalog(hook.Collaborators{Directory: directory{w.auth}, Policies: policies, Evidence: w.evidence, Objects: w.objects, Notifier: w.notices, BaseURL: "https://caos.test",
		People: w.auth, Registry: w.registry, Baselines: w.frozen, Readiness: w.ready, Passports: w.dpp, Keys: keys, DB: w.db, Log: w.log, Now: w.now})
	flows := []*engine.Flow{sample(w.hold), board(func() *readiness.Readiness { return w.ready })}
	for _, h := range hooks {
		flows = append(flows, h.Flow)
	}
	w.eng = must(engine.New(engine.Options{DB: w.db, Log: w.log, Stamps: stamps, Flows: flows, Logger: logger}))(t)
	if err := w.eng.Start(ctx); err != nil {
		t.Fatal(err)
	}
	w.hooks = must(hook.NewService(ctx, hook.ServiceOptions{DB: w.db, Engine: w.eng, Auth: hookGate{w.auth}, Log: w.log, Hooks: hooks, Now: w.now, Logger: logger}))(t)
	triggers := must(trigger.New(trigger.Options{DB: w.db, Log: w.log, Events: outbox, Alerts: w.alerts, Auth: w.auth, Hooks: starter{w.hooks}, Sealer: sealer, Now: w.now, Logger: logger}))(t)
	w.api = New(Options{
		Version: "test", BaseURL: "https://caos.test", Auth: w.auth, Origin: "caos.test/log", Now: w.now, Logger: logger, MaxObject: 8 << 20,
		DB: w.db, Log: w.log, Policies: policies, Engine: w.eng, Hooks: w.hooks, Objects: w.objects, Evidence: w.evidence,
		Alerts: w.alerts, Notices: w.notices, Events: outbox, Triggers: triggers,
		Registry: w.registry, Baselines: w.frozen, Passports: w.dpp, Readiness: w.ready, Integrity: w,
		Datasets: w.datasets, Locations: places, Secrets: must(secret.Open(ctx, secret.Options{DB: w.db, Keys: filepath.Join(dir, "keys"), Now: w.now}))(t),
		Chain: must(chain.Open(chain.Options{DB: w.db, Log: w.log, Events: outbox, Alerts: w.alerts, Stamps: stamps, Now: w.now, Logger: logger}))(t),
		Anchors: must(anchor.Open(anchor.Options{DB: w.db, Log: w.log, Events: outbox, Alerts: w.alerts, Stamps: stamps, Now: w.now, Logger: logger,
			Settings: anchor.Settings{Files: []string{filepath.Join(dir, "elsewhere", "checkpoints.txt")}}}))(t),
	})
	w.serve()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		if err := w.eng.Stop(ctx); err != nil {
			t.Error(err)
		}
		if err := w.log.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// serve starts the real server, TLS 1.3 and all, with a certificate of its own.
func (w *world) serve() {
	w.t.Helper()
	cert, pool := selfSigned(w.t)
	l := must(net.Listen("tcp", "127.0.0.1:0"))(w.t)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	srv := Server{Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }, Handler: w.api}
	go func() { done <- srv.Serve(ctx, l, 2*time.Second) }()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "caos.test"}, ForceAttemptHTTP2: false, MaxIdleConnsPerHost: 128, DisableCompression: true}
	w.url, w.client = "https://"+l.Addr().String(), &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	w.t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
}

func selfSigned(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "caos.test"}, DNSNames: []string{"caos.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key))(t)
	pool := x509.NewCertPool()
	pool.AddCert(must(x509.ParseCertificate(der))(t))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   []byte
	proto  string
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return v
}

// wants fails the test unless the answer has a status.
func (a answer) wants(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// do sends a request as somebody ("" for nobody). Further strings are header names and
// values. The header MFA with any value is replaced by a fresh code.
func (w *world) do(who, method, path string, body any, headers ...string) answer {
	w.t.Helper()
	a, err := w.try(who, method, path, body, headers...)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (w *world) try(who, method, path string, body any, headers ...string) (answer, error) {
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case []byte:
		r = bytes.NewReader(b)
	case io.Reader:
		r = b
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return answer{}, err
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, r)
	if err != nil {
		return answer{}, err
	}
	if r != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+w.tokens[who])
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "MFA" {
			req.Header.Set("CAOS-MFA", "totp "+w.code(who))
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, text, resp.Proto}, err
}

// code returns a code that was not used yet.
func (w *world) code(who string) string {
	w.shift.Add(int64(31 * time.Second))
	code, err := totp.GenerateCode(w.totp[who], w.now())
	if err != nil {
		w.t.Fatal(err)
	}
	return code
}

// directory is what the audit hook asks about the world.
type directory struct{ *auth.Auth }

func (directory) UnknownResources(*db.Tx, []string) ([]string, error) { return nil, nil }
func (directory) Authorization(*db.Tx, string, string, []string) (bool, bool, []string, error) {
	return true, true, []string{"chief"}, nil
}
func (d directory) MayActFor(tx *db.Tx, p caos.Principal, hookID string) bool {
	return d.Authorize(tx, p, "on-behalf", auth.Resource{Type: "Hook", ID: hookID}, nil) == nil
}

// starter is the hook service as triggers see it.
type starter struct{ hooks *hook.Service }

func (s starter) Known(id string) bool { return s.hooks.Lookup(id) != nil }

func (s starter) Submit(ctx context.Context, sub trigger.Submission) (string, error) {
	x, err := s.hooks.Submit(ctx, hook.Request{Hook: sub.Hook, Body: sub.Input, ContentType: "application/json", IdemKey: sub.Key, By: sub.By})
	if err != nil {
		return "", err
	}
	return x.ID, nil
}

type hookGate struct{ *auth.Auth }

func (g hookGate) AuthorizeHook(tx *db.Tx, p caos.Principal, action, hookID, project string) error {
	return g.Authorize(tx, p, action, auth.Resource{Type: "Hook", ID: hookID, Project: project}, nil)
}

const sampleHook = "CAOS.PROD.TEST.SAMPLE"

// sample is a hook that does something outside, waits for a word, and ends.
func sample(hold chan struct{}) *engine.Flow {
	type state struct {
		Said string `json:"said"`
	}
	return engine.Plan[state]{
		Hook: sampleHook, Version: "1.0.0", Revision: 1, Schema: 1,
		Retry: engine.RetryPolicy{MaxAttempts: 1, InitialIntervalMS: 1, MaxIntervalMS: 1, Factor: 1},
		Begin: func(_ *engine.Run, _ json.RawMessage) (*state, error) { return &state{}, nil },
		Steps: []engine.Step[state]{
			engine.Call(1, "Ship", "ship", func(ctx context.Context, _ *engine.Run, _ *state) error {
				select {
				case <-hold:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}),
			engine.Wait(2, "Ask", "ask",
				func(*db.Tx, *engine.Run, *state) (engine.WaitSpec, error) { return engine.WaitSpec{Topic: "go"}, nil },
				func(_ *db.Tx, _ *engine.Run, s *state, w engine.Wake) (bool, error) {
					if err := json.Unmarshal(w.Decision.Payload, &s.Said); err != nil {
						return false, caos.Wrap(caos.Invalid, err, "say a word").WithField("payload")
					}
					return true, nil
				}),
		},
		Output: func(s *state) any { return s },
	}.Flow()
}

// lines collects log lines.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// report is a well-formed input of CERT.AUDIT.
func report() map[string]any {
	return map[string]any{
		"action_type": "DEPLOYMENT", "actor_id": "mo", "timestamp": caos.FormatTime(time.Now()),
		"affected_resources": []string{"NN-FCS-001"}, "action_details": map[string]any{"version": "2.1.0"}, "authorization_id": "AUTH-1",
	}
}

const auditPathURL = "/v1/hooks/CAOS.PROD.CERT.AUDIT/executions"

func realNow() time.Time { return time.Now() }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func noDoc() huma.Operation { return huma.Operation{} }

// CheckBaseline is what package app does with a baseline, as far as the API sees it.
func (w *world) CheckBaseline(ctx context.Context, id string, by registry.By) (*registry.Baseline, error) {
	signer, err := w.keys.Signer(sign.Baseline)
	if err != nil {
		return nil, err
	}
	problems, err := w.frozen.Verify(ctx, id, signer.Public(), nil)
	if err != nil {
		return nil, err
	}
	status, texts := registry.Intact, []string{}
	for _, p := range problems {
		status, texts = registry.Damaged, append(texts, p.Path+": "+p.Message)
	}
	if err := w.db.Update(ctx, func(tx *db.Tx) error { return w.registry.Checked(tx, id, status, texts, by) }); err != nil {
		return nil, err
	}
	return w.registry.Baseline(ctx, id)
}

// text is a value as JSON.
func text(t testing.TB, v any) string {
	t.Helper()
	return string(must(json.Marshal(v))(t))
}

// knownEvidence is what package app knows of evidence, as far as the API sees it.
func (w *world) knownEvidence(tx *db.Tx, s readiness.Subject, ids []string) (missing []string, err error) {
	for _, id := range ids {
		known, err := w.registry.KnownOf(tx, id, registry.Model{ModelID: s.ModelID, Project: s.Project}, s.Version)
		if err == nil && !known {
			known, err = w.evidence.KnownOf(tx, id, s.ModelID)
		}
		if err != nil {
			return nil, err
		}
		if !known {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// hands is who had a hand in a version, as the registry knows; package app asks the engine, too.
func (w *world) hands(tx *db.Tx, modelID, version string) (out []readiness.Hand, err error) {
	known, err := w.registry.Hands(tx, modelID, version)
	for _, h := range known {
		out = append(out, readiness.Hand(h))
	}
	return out, err
}
