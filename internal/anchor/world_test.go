package anchor

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"go.uber.org/goleak"

	"caos"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
	"caos/internal/sign"
	"caos/internal/witness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const origin = "log.example/caos"

// watch is a clock that tests set.
type watch struct {
	mu sync.Mutex
	at time.Time
}

func (w *watch) now() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.at }
func (w *watch) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

// world is an installation with an audit log.
type world struct {
	t      testing.TB
	d      *db.DB
	log    *auditlog.Log
	keys   string
	stamps *caos.Stamper
	alerts *alert.Store
	events *event.Outbox
	clock  *watch
	chain  *ledger
	url    string
}

type worldOptions struct {
	url   string // of an existing database
	keys  string // folder
	fault *db.Fault
	slot  int
}

func newWorld(t testing.TB, dialect db.Dialect, o worldOptions) *world {
	t.Helper()
	if o.url == "" {
		o.url = dbtest.URL(t, dialect)
	}
	if o.keys == "" {
		o.keys = filepath.Join(t.TempDir(), "keys")
	}
	w := &world{t: t, clock: &watch{at: time.Now().UTC().Truncate(time.Microsecond)}, keys: o.keys, url: o.url}
	quiet := slog.New(slog.DiscardHandler)
	w.d = dbtest.OpenWith(t, db.Options{URL: o.url, Log: quiet, Fault: o.fault})
	keys, err := sign.OpenKeys(o.keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	if len(keys.List()) == 0 {
		if _, err := keys.Create(t.Context(), sign.Checkpoint, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	floor, err := auditlog.LastTime(t.Context(), w.d)
	if err != nil {
		t.Fatal(err)
	}
	w.stamps = caos.NewStamper(time.Now, floor, o.slot, 2)
	if w.log, err = auditlog.Open(t.Context(), auditlog.Options{DB: w.d, Keys: keys, Origin: origin, Stamps: w.stamps, Log: quiet, PublishEvery: time.Hour}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.log.Close() })
	if w.events, err = event.Open(event.Options{DB: w.d, Stamps: w.stamps, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	w.alerts = alert.New(w.d, w.events, w.stamps, w.clock.now)
	w.chain = &ledger{subjects: map[string]chain.Subject{}}
	return w
}

// open makes a Service of some settings.
func (w *world) open(set Settings, change func(*Options)) *Service {
	w.t.Helper()
	o := Options{DB: w.d, Log: w.log, Stamps: w.stamps, Alerts: w.alerts, Events: w.events, Chain: w.chain, Settings: set, Now: w.clock.now,
		Logger: slog.New(slog.DiscardHandler), Patience: 10 * time.Second}
	if change != nil {
		change(&o)
	}
	s, err := Open(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// happen appends records that are not about anchors.
func (w *world) happen(n int) {
	w.t.Helper()
	err := w.d.Update(context.Background(), func(tx *db.Tx) error {
		for range n {
			if _, err := w.log.Append(tx, auditlog.Record{Type: auditlog.ConfigChange, Actor: "ada", Resources: []string{"NN-FCS-001"}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) size() int64 {
	w.t.Helper()
	n, _, err := w.log.Root(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// now asks for anchors, and gives how it stands by kind.
func (w *world) now(s *Service, kinds ...string) map[string]Destination {
	w.t.Helper()
	list, err := s.Now(context.Background(), caos.Principal{ID: "ada"}, kinds...)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]Destination{}
	for _, d := range list {
		out[d.Kind] = d
	}
	return out
}

// tick lets every destination look whether it is due.
func (w *world) tick(s *Service) {
	for _, p := range s.dest {
		s.tick(context.Background(), p)
	}
}

func (w *world) anchors(s *Service, f Filter) []*Anchor {
	w.t.Helper()
	f.Limit = 1000
	list, _, err := s.List(context.Background(), f, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func (w *world) openAlerts() []alert.Alert {
	w.t.Helper()
	list, _, err := w.alerts.List(context.Background(), alert.Filter{Unclosed: true}, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// ledger stands for package chain: it keeps subjects in memory, written when the transaction
// commits.
type ledger struct {
	mu       sync.Mutex
	subjects map[string]chain.Subject
}

const registry = "0x5FbDB2315678afecb367f032d93F642f64180aa3"

func (l *ledger) Settings() chain.Settings { return chain.Settings{ChainID: 1337, Registry: registry} }

func (l *ledger) Want(tx *db.Tx, s chain.Subject) error {
	tx.AfterCommit(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if _, there := l.subjects[s.ID]; !there {
			s.State = chain.Wanted
			l.subjects[s.ID] = s
		}
	})
	return nil
}

func (l *ledger) Again(tx *db.Tx, _ chain.SubjectKind, id string, _ chain.By) (*chain.Subject, error) {
	tx.AfterCommit(func() { l.set(id, func(s *chain.Subject) { s.State = chain.Wanted; s.Round++ }) })
	return &chain.Subject{}, nil
}

func (l *ledger) SubjectsOf(_ context.Context, _ chain.SubjectKind, ids []string) (map[string]chain.Subject, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]chain.Subject{}
	for _, id := range ids {
		if s, ok := l.subjects[id]; ok {
			out[id] = s
		}
	}
	return out, nil
}

func (l *ledger) set(id string, change func(*chain.Subject)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.subjects[id]
	change(&s)
	l.subjects[id] = s
}

// server is a witness or a time-stamp server that fails as a test says.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	asked int
	first func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	lose  bool                                              // the answer is lost, the effect is not
}

func serve(t testing.TB, h http.Handler) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked++
		first, lose := s.first, s.lose
		s.mu.Unlock()
		if first != nil && first(w, r) {
			return
		}
		if lose {
			h.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(s.Close)
	return s
}

func (s *server) set(change func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *server) count() int { s.mu.Lock(); defer s.mu.Unlock(); return s.asked }

// witnessOf starts a witness of the world's log.
func (w *world) witnessOf(dir, name string) (*server, Witness) {
	w.t.Helper()
	key, err := witness.Create(dir, name)
	if err != nil {
		w.t.Fatal(err)
	}
	trust, err := w.log.Trust(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := witness.LogOf(trust)
	if err != nil {
		w.t.Fatal(err)
	}
	f, err := witness.Open(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = f.Close() })
	h, err := witness.NewServer(f, []witness.Log{l}, w.clock.now, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	srv := serve(w.t, h)
	return srv, Witness{Name: name, URL: srv.URL, Key: key.String()}
}

// authority is a time-stamp server with its own authority.
type authority struct {
	*server
	pem   []byte // of the authority's certificate
	spoil func(*timestamp.Timestamp)
}

func newAuthority(t testing.TB, clock *watch) *authority {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	year := 365 * 24 * time.Hour
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Time Root"}, NotBefore: clock.now().Add(-year), NotAfter: clock.now().Add(10 * year),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	must(err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Time Server"}, NotBefore: clock.now().Add(-year), NotAfter: clock.now().Add(10 * year),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}}}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), rootKey)
	must(err)
	cert, err := x509.ParseCertificate(leafDER)
	must(err)
	a := &authority{pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})}
	a.server = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
			http.Error(w, "not a query", http.StatusBadRequest)
			return
		}
		q, err := timestamp.ParseRequest(body)
		if err != nil || q.HashAlgorithm != crypto.SHA256 || q.Nonce == nil || !q.Certificates {
			http.Error(w, "not a query that is understood", http.StatusBadRequest)
			return
		}
		ts := timestamp.Timestamp{HashAlgorithm: q.HashAlgorithm, HashedMessage: q.HashedMessage, Nonce: q.Nonce, Time: clock.now(), Policy: asn1.ObjectIdentifier{1, 2, 3}, AddTSACertificate: true}
		if a.spoil != nil {
			a.spoil(&ts)
		}
		answer, err := ts.CreateResponseWithOpts(cert, key, crypto.SHA256)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		_, _ = w.Write(answer)
	}))
	return a
}

func lines(b []byte) int { return bytes.Count(b, []byte("\n")) }

func contains(t testing.TB, what, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("%s: %q does not speak of %q", what, text, want)
	}
}
