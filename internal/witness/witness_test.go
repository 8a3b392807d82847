package witness

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	f_log "github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/verify"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		fmt.Fprintln(os.Stderr, serveChild(dir, os.Getenv(childKey)))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

const origin = "log.example/one"

// tree is a log of a test, with its key.
type tree struct {
	t      testing.TB
	signer note.Signer
	vkey   string
	hashes []tlog.Hash
	n      int64
}

func newTree(t testing.TB, name string) *tree {
	t.Helper()
	skey, vkey, err := note.GenerateKey(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return &tree{t: t, signer: signer, vkey: vkey}
}

// ReadHashes serves tlog.
func (l *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = l.hashes[x]
	}
	return out, nil
}

// grow adds leaves whose text begins with a word.
func (l *tree) grow(word string, to int64) {
	for ; l.n < to; l.n++ {
		hs, err := tlog.StoredHashes(l.n, fmt.Appendf(nil, "%s %d", word, l.n), l)
		if err != nil {
			l.t.Fatal(err)
		}
		l.hashes = append(l.hashes, hs...)
	}
}

func (l *tree) root(size int64) tlog.Hash {
	h, err := tlog.TreeHash(size, l)
	if err != nil {
		l.t.Fatal(err)
	}
	return h
}

func (l *tree) checkpoint(size int64) []byte {
	return l.sign(verify.Checkpoint{Origin: l.signer.Name(), Size: size, Root: l.root(size)}.Text())
}

func (l *tree) sign(text string) []byte {
	signed, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		l.t.Fatal(err)
	}
	return signed
}

func (l *tree) request(from, to int64) []byte {
	r := Request{Old: from, Checkpoint: l.checkpoint(to)}
	if from > 0 {
		p, err := tlog.ProveTree(to, from, l)
		if err != nil {
			l.t.Fatal(err)
		}
		r.Proof = p
	}
	return r.Format()
}

type fixed struct {
	mu sync.Mutex
	at time.Time
}

func (c *fixed) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }
func (c *fixed) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = t
}

func clock() *fixed { return &fixed{at: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)} }

// start opens a witness of some trees in a folder, and closes it when the test ends.
func start(t testing.TB, dir string, c *fixed, trees ...*tree) *Server {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, keyFile)); errors.Is(err, os.ErrNotExist) {
		if _, err := Create(dir, "witness.example/w1"); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	var logs []Log
	for _, l := range trees {
		logs = append(logs, Log{Origin: l.signer.Name(), Keys: []string{l.vkey}})
	}
	s, err := NewServer(f, logs, c.now, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func post(s http.Handler, body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/add-checkpoint", bytes.NewReader(body)))
	return w
}

// oracle is another implementation's idea of who signed a note.
func oracle(t testing.TB, s *Server) note.Verifier {
	t.Helper()
	v, err := f_note.NewVerifierForCosignatureV1(s.folder.Key())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A checkpoint that extends the last one is cosigned, as another implementation reads it.
func TestCosigns(t *testing.T) {
	l, c := newTree(t, origin), clock()
	l.grow("a", 300)
	s := start(t, t.TempDir(), c, l)
	logKey, err := note.NewVerifier(l.vkey)
	if err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	for _, size := range []int64{1, 1, 2, 7, 256, 256, 300} {
		w := post(s, l.request(last, size))
		if w.Code != 200 || !strings.HasPrefix(w.Body.String(), "— witness.example/w1 ") || strings.Count(w.Body.String(), "\n") != 1 {
			t.Fatalf("from %d to %d: %d %q", last, size, w.Code, w.Body)
		}
		signed := append(l.checkpoint(size), w.Body.Bytes()...)
		cp, _, n, err := f_log.ParseCheckpoint(signed, origin, logKey, oracle(t, s))
		if err != nil || int64(cp.Size) != size || len(n.Sigs) != 2 {
			t.Fatalf("the other implementation: %v", err)
		}
		at, err := f_note.CoSigV1Timestamp(n.Sigs[1])
		if err != nil || !at.Equal(c.now()) {
			t.Errorf("cosigned at %s, %v", at, err)
		}
		c.set(c.now().Add(time.Minute))
		last = size
	}
}

// A private key of ours signs in another implementation as here.
func TestKeyIsInterchangeable(t *testing.T) {
	k, err := NewKey("witness.example/w1")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := f_note.NewSignerForCosignatureV1(strings.TrimSpace(k.secret()))
	if err != nil {
		t.Fatal(err)
	}
	text := "log.example/one\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(k)); err != nil {
		t.Error(err)
	}
	again, err := parsePrivate(k.secret())
	if err != nil || again.String() != k.String() {
		t.Errorf("read again: %v", err)
	}
	for _, bad := range []string{"", "PRIVATE+KEY+x", strings.Replace(k.secret(), "w1", "w2", 1), strings.TrimSuffix(k.secret(), "\n"), k.String(),
		strings.Replace(k.secret(), "PRIVATE+KEY+", "", 1)} {
		if _, err := parsePrivate(bad); err == nil {
			t.Errorf("%q was taken for a key", bad)
		}
	}
}

// What the specification has refused, with its status, in its order; nothing of it changes
// what the witness remembers.
func TestRefuses(t *testing.T) {
	l, other, stranger := newTree(t, origin), newTree(t, origin), newTree(t, "log.example/strange")
	l.grow("a", 20)
	other.grow("b", 20)
	stranger.grow("c", 5)
	fork := newTree(t, origin)
	fork.signer, fork.vkey = l.signer, l.vkey // the log itself, with two histories
	fork.grow("f", 20)
	s := start(t, t.TempDir(), clock(), l)
	if w := post(s, l.request(0, 10)); w.Code != 200 {
		t.Fatal(w.Body)
	}
	good := string(l.request(10, 15))
	lines := strings.Split(good, "\n")
	wrongSig := []byte(strings.Replace(string(l.request(10, 15)), string(l.root(15).String()), string(l.root(14).String()), 1))
	emptyRoot := l.sign(verify.Checkpoint{Origin: origin, Size: 0, Root: l.root(1)}.Text())
	for _, c := range []struct {
		name string
		body string
		code int
	}{
		{"nothing", "", 400},
		{"no old line", strings.Join(lines[1:], "\n"), 400},
		{"leading zero", "old 010" + good[len("old 10"):], 400},
		{"plus sign", "old +10" + good[len("old 10"):], 400},
		{"two spaces", "old  10" + good[len("old 10"):], 400},
		{"carriage return", strings.Replace(good, "\n", "\r\n", 1), 400},
		{"short hash", strings.Replace(good, lines[1], "AAAA", 1), 400},
		{"spelled otherwise", strings.Replace(good, lines[1], strings.TrimSuffix(lines[1], "="), 1), 400},
		{"64 hashes", "old 10\n" + strings.Repeat(lines[1]+"\n", 64) + "\n" + string(l.checkpoint(15)), 400},
		{"no checkpoint", "old 10\n\n", 404}, // its origin is that of no log
		{"unknown log", string(stranger.request(0, 5)), 404},
		{"signed by a stranger", string(other.request(10, 15)), 403},
		{"signature over another text", string(wrongSig), 403},
		{"unsigned", "old 10\n\n" + strings.SplitAfter(string(l.checkpoint(15)), "\n\n")[0], 400},
		{"not a note", "old 10\n\n" + origin + "\nabc", 400},
		{"signed nonsense", "old 10\n\n" + string(l.sign(origin+"\nmany\nAAAA\n")), 400},
		{"negative size", "old 10\n\n" + string(l.sign(origin+"\n-5\n"+l.root(15).String()+"\n")), 400},
		{"old larger than new", string(l.request(0, 5)[:0]) + "old 15\n\n" + string(l.checkpoint(12)), 400},
		{"old too small", string(l.request(7, 15)), 409},
		{"old zero", string(l.request(0, 15)), 409},
		{"old zero, smaller tree", string(l.request(0, 5)), 409},
		{"old too large", string(l.request(12, 15)), 409},
		{"empty tree, wrong root, wrong old", "old 0\n\n" + string(emptyRoot), 409},
		{"no proof", "old 10\n\n" + string(l.checkpoint(15)), 422},
		{"proof for another size", strings.Replace(string(l.request(9, 15)), "old 9", "old 10", 1), 422},
		{"one hash too many", strings.Replace(good, lines[1]+"\n", lines[1]+"\n"+lines[1]+"\n", 1), 422},
		{"fork of the same size", "old 10\n\n" + string(fork.checkpoint(10)), 422},
		{"fork", string(fork.request(10, 15)), 422},
		{"same size with a proof", "old 10\n" + lines[1] + "\n\n" + string(l.checkpoint(10)), 422},
		{"too long", "old 10\n\n" + strings.Repeat("x", maxRequest), 413},
	} {
		w := post(s, []byte(c.body))
		if w.Code != c.code {
			t.Errorf("%s: %d %q, want %d", c.name, w.Code, w.Body, c.code)
		}
		if c.code == 409 && (w.Body.String() != "10\n" || w.Header().Get("Content-Type") != "text/x.tlog.size") {
			t.Errorf("%s: %q as %s", c.name, w.Body, w.Header().Get("Content-Type"))
		}
	}
	if w := post(s, []byte(good)); w.Code != 200 {
		t.Errorf("a refusal changed something: %d %s", w.Code, w.Body)
	}
	for _, r := range []struct{ method, path string }{{"GET", "/add-checkpoint"}, {"PUT", "/add-checkpoint"}} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(r.method, r.path, nil))
		if w.Code != 405 {
			t.Errorf("%s %s: %d", r.method, r.path, w.Code)
		}
	}
}

// An empty tree has the root of nothing: 422 and no other.
func TestEmptyTree(t *testing.T) {
	l := newTree(t, origin)
	l.grow("a", 3)
	s := start(t, t.TempDir(), clock(), l)
	if w := post(s, []byte("old 0\n\n"+string(l.sign(verify.Checkpoint{Origin: origin, Root: l.root(1)}.Text())))); w.Code != 422 {
		t.Errorf("another root: %d %s", w.Code, w.Body)
	}
	if w := post(s, l.request(0, 0)); w.Code != 200 {
		t.Errorf("the right root: %d %s", w.Code, w.Body)
	}
	proof := strings.Replace(string(l.request(0, 3)), "old 0\n", "old 0\n"+l.root(1).String()+"\n", 1)
	if w := post(s, []byte(proof)); w.Code != 422 {
		t.Errorf("a proof from nothing: %d %s", w.Code, w.Body)
	}
	if w := post(s, l.request(0, 3)); w.Code != 200 {
		t.Errorf("from nothing: %d %s", w.Code, w.Body)
	}
}

// The monitor's path has the checkpoint with the log's signature and ours; of a log that was
// never cosigned there is none.
func TestServesWhatItCosigned(t *testing.T) {
	l, idle := newTree(t, origin), newTree(t, "log.example/idle")
	l.grow("a", 9)
	s := start(t, t.TempDir(), clock(), l, idle)
	withStranger := l.checkpoint(9)
	other := newTree(t, "somebody.example/else")
	n, err := note.Open(withStranger, note.VerifierList(must(note.NewVerifier(l.vkey))))
	if err != nil {
		t.Fatal(err)
	}
	if withStranger, err = note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs}, other.signer); err != nil {
		t.Fatal(err)
	}
	if w := post(s, Request{Checkpoint: withStranger}.Format()); w.Code != 200 {
		t.Fatal(w.Body)
	}
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	hash := func(o string) string { sum := sha256.Sum256([]byte(o)); return hex.EncodeToString(sum[:]) }
	w := get("/" + hash(origin) + "/checkpoint")
	if _, err := note.Open(w.Body.Bytes(), note.VerifierList(must(note.NewVerifier(l.vkey)))); err != nil {
		t.Errorf("the log's signature: %v", err)
	}
	if _, err := note.Open(w.Body.Bytes(), note.VerifierList(oracle(t, s))); err != nil {
		t.Errorf("the cosignature: %v", err)
	}
	if strings.Contains(w.Body.String(), "somebody") {
		t.Error("a signature that nobody verified was handed on")
	}
	for _, path := range []string{"/" + hash("log.example/idle") + "/checkpoint", "/" + hash("other") + "/checkpoint", "/x/checkpoint", "/"} {
		if w := get(path); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := get("/metadata"); !strings.Contains(w.Body.String(), s.folder.Key()) || !strings.Contains(w.Body.String(), "9 leaves") {
		t.Errorf("metadata: %s", w.Body)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A witness that is killed at any moment has forgotten nothing that it handed out.
func TestStateOutlivesTheProcess(t *testing.T) {
	l, c, dir := newTree(t, origin), clock(), t.TempDir()
	l.grow("a", 40)
	s := start(t, dir, c, l)
	if w := post(s, l.request(0, 10)); w.Code != 200 {
		t.Fatal(w.Body)
	}
	// Before the rename: what was cosigned is not handed out, and not remembered.
	if err := os.Mkdir(filepath.Join(dir, ".new-"+stateFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if w := post(s, l.request(10, 20)); w.Code != 500 || strings.Contains(w.Body.String(), "—") {
		t.Errorf("a state that cannot be written: %d %q", w.Code, w.Body)
	}
	if err := os.Remove(filepath.Join(dir, ".new-"+stateFile)); err != nil {
		t.Fatal(err)
	}
	if w := post(s, l.request(10, 20)); w.Code != 200 {
		t.Errorf("after that: %d %s", w.Code, w.Body)
	}
	// After the rename: it is not known which state a power failure leaves. The larger one is
	// remembered, and still nothing is handed out.
	s.folder.sync = func(*os.Root) error { return errors.New("no space left on device") }
	if w := post(s, l.request(20, 30)); w.Code != 500 || strings.Contains(w.Body.String(), "—") {
		t.Errorf("a folder that cannot be synced: %d %q", w.Code, w.Body)
	}
	s.folder.sync = syncFolder
	if w := post(s, l.request(20, 30)); w.Code != 409 || w.Body.String() != "30\n" {
		t.Errorf("after that: %d %q", w.Code, w.Body)
	}
	if w := post(s, l.request(30, 30)); w.Code != 200 {
		t.Errorf("the same again: %d %q", w.Code, w.Body)
	}
	if _, err := Open(dir); caos.KindOf(err) != caos.Conflict {
		t.Errorf("two processes have one witness: %v", err)
	}
	if err := s.folder.Close(); err != nil {
		t.Fatal(err)
	}
	s = start(t, dir, c, l)
	if w := post(s, l.request(20, 40)); w.Code != 409 || w.Body.String() != "30\n" {
		t.Errorf("after a restart: %d %q", w.Code, w.Body)
	}
	if w := post(s, l.request(30, 40)); w.Code != 200 {
		t.Errorf("after a restart: %d %q", w.Code, w.Body)
	}
}

// A folder whose state is not what the witness left is refused.
func TestLostStateIsRefused(t *testing.T) {
	l, c := newTree(t, origin), clock()
	l.grow("a", 10)
	for name, spoil := range map[string]func(dir string) error{
		"gone":  func(dir string) error { return os.Remove(filepath.Join(dir, stateFile)) },
		"empty": func(dir string) error { return os.WriteFile(filepath.Join(dir, stateFile), nil, 0o600) },
		"begun anew": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, stateFile), []byte(`{"version":1,"key":"x","logs":{}}`), 0o600)
		},
		"smaller":     func(dir string) error { return replace(dir, "\\n10\\n", "\\n9\\n") },
		"another log": func(dir string) error { return replace(dir, `"log.example/one": {`, `"log.example/two": {`) },
	} {
		dir := t.TempDir()
		s := start(t, dir, c, l)
		if w := post(s, l.request(0, 10)); w.Code != 200 {
			t.Fatal(w.Body)
		}
		if err := s.folder.Close(); err != nil {
			t.Fatal(err)
		}
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); caos.KindOf(err) != caos.Conflict || caos.AsError(err).Rule != "witness-state" {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := t.TempDir()
	if _, err := Create(dir, "witness.example/w1"); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, "witness.example/w1"); caos.KindOf(err) != caos.Conflict {
		t.Errorf("a second key over the first: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, keyFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); caos.KindOf(err) != caos.Denied {
		t.Errorf("a key that others may read: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none")); caos.KindOf(err) != caos.NotFound {
		t.Errorf("no folder: %v", err)
	}
}

func replace(dir, from, to string) error {
	name := filepath.Join(dir, stateFile)
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !bytes.Contains(text, []byte(from)) {
		return fmt.Errorf("no %q in %s", from, text)
	}
	return os.WriteFile(name, bytes.Replace(text, []byte(from), []byte(to), 1), 0o600)
}

// Of many requests at once for trees that contradict each other, one is cosigned; the sizes
// never go back.
func TestAtOnce(t *testing.T) {
	l := newTree(t, origin)
	l.grow("a", 64)
	fork := newTree(t, origin)
	fork.signer, fork.vkey = l.signer, l.vkey
	fork.grow("f", 64)
	s := start(t, t.TempDir(), clock(), l)
	var mu sync.Mutex
	roots := map[string]bool{}
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			which := l
			if i%2 == 1 {
				which = fork
			}
			size := int64(1 + i/2)
			if w := post(s, which.request(0, size)); w.Code == 200 {
				mu.Lock()
				roots[which.root(size).String()] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(roots) != 1 {
		t.Errorf("%d different trees were cosigned from nothing", len(roots))
	}
}

// The clock of the witness may be put back; what it says of a log does not go back with it.
func TestClockPutBack(t *testing.T) {
	l, c := newTree(t, origin), clock()
	l.grow("a", 9)
	s := start(t, t.TempDir(), c, l)
	first := c.now()
	for _, size := range []int64{3, 9} {
		w := post(s, l.request(max(size-6, 0), size))
		n, err := note.Open(append(l.checkpoint(size), w.Body.Bytes()...), note.VerifierList(oracle(t, s)))
		if err != nil {
			t.Fatal(err)
		}
		if at, err := f_note.CoSigV1Timestamp(n.Sigs[0]); err != nil || !at.Equal(first) {
			t.Errorf("size %d at %s, %v", size, at, err)
		}
		c.set(c.now().Add(-time.Hour))
	}
}

func TestClient(t *testing.T) {
	l := newTree(t, origin)
	l.grow("a", 30)
	s := start(t, t.TempDir(), clock(), l)
	srv := httptest.NewServer(http.StripPrefix("/below", s))
	defer srv.Close()
	defer srv.Client().CloseIdleConnections()
	key, err := verify.ParseWitnessKey(s.folder.Key())
	if err != nil {
		t.Fatal(err)
	}
	c := Client{URL: srv.URL + "/below/", Key: key, HTTP: srv.Client()}
	got, err := c.Add(t.Context(), Request{Checkpoint: l.checkpoint(10)})
	if err != nil || !got.At.Equal(clock().now()) {
		t.Fatal(got, err)
	}
	if _, err := note.Open(append(l.checkpoint(10), got.Line...), note.VerifierList(key)); err != nil {
		t.Error(err)
	}
	var behind *Behind
	if _, err := c.Add(t.Context(), Request{Checkpoint: l.checkpoint(30)}); !errors.As(err, &behind) || behind.Size != 10 {
		t.Errorf("a forgotten size: %v", err)
	}
	proof := must(tlog.ProveTree(30, 10, l))
	if _, err := c.Add(t.Context(), Request{Old: 10, Proof: proof, Checkpoint: l.checkpoint(30)}); err != nil {
		t.Error(err)
	}
	if _, err := c.Add(t.Context(), Request{Old: 30, Proof: proof, Checkpoint: l.checkpoint(30)}); caos.AsError(err).Rule != RuleInconsistent {
		t.Errorf("a wrong proof: %v", err)
	}
	stranger := newTree(t, "log.example/strange")
	stranger.grow("s", 2)
	if _, err := c.Add(t.Context(), Request{Checkpoint: stranger.checkpoint(2)}); caos.AsError(err).Rule != RuleUnknownLog {
		t.Errorf("an unknown log: %v", err)
	}
	rotated := newTree(t, origin)
	rotated.grow("a", 30)
	if _, err := c.Add(t.Context(), Request{Old: 30, Checkpoint: rotated.checkpoint(30)}); caos.AsError(err).Rule != RuleUntrusted {
		t.Errorf("an unknown key: %v", err)
	}
}

// What a witness may not answer is refused, whatever it is.
func TestClientAgainstLiars(t *testing.T) {
	l := newTree(t, origin)
	l.grow("a", 30)
	honest := start(t, t.TempDir(), clock(), l)
	line := must(honest.Add(l.request(0, 10)))
	older := string(line)
	line20 := must(honest.Add(l.request(10, 20)))
	key := must(verify.ParseWitnessKey(honest.folder.Key()))
	stranger := must(NewKey("witness.example/w2"))
	strange, _, err := stranger.cosign(must(note.Open(l.checkpoint(20), note.VerifierList(must(note.NewVerifier(l.vkey))))), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		status int
		body   string
		kind   caos.Kind
		rule   string
	}{
		{"of an older checkpoint", 200, older, caos.Invalid, RuleAnswer},
		{"by another witness", 200, string(strange), caos.Invalid, RuleAnswer},
		{"nothing", 200, "", caos.Invalid, RuleAnswer},
		{"a page", 200, "<html>", caos.Invalid, RuleAnswer},
		{"a whole note", 200, "x\n\n" + string(line20), caos.Invalid, RuleAnswer},
		{"a flood", 200, strings.Repeat(string(line20), 2000), caos.Invalid, RuleAnswer},
		{"a size that is none", 409, "ten\n", caos.Invalid, RuleAnswer},
		{"a size without an end", 409, "10", caos.Invalid, RuleAnswer},
		{"the size that was sent", 409, "0\n", caos.Invalid, RuleAnswer},
		{"an enormous size", 409, "99999999999999999999\n", caos.Invalid, RuleAnswer},
		{"teapot", 418, "short\nand stout", caos.Invalid, RuleAnswer},
		{"sends elsewhere", 302, "", caos.Invalid, RuleAnswer},
		{"broken", 503, "", caos.Unavailable, ""},
		{"busy", 429, "", caos.Unavailable, ""},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		_, err := (&Client{URL: srv.URL, Key: key, HTTP: srv.Client()}).Add(t.Context(), Request{Checkpoint: l.checkpoint(20)})
		if e := caos.AsError(err); err == nil || e.Kind != c.kind || e.Rule != c.rule {
			t.Errorf("%s: %v (%+v)", c.name, err, e)
		}
		srv.Close()
	}
	// With strangers' lines around it, ours is found.
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(append(append(bytes.Clone(strange), line20...), strange...))
	}))
	defer srv.Close()
	if got, err := (&Client{URL: srv.URL, Key: key, HTTP: srv.Client()}).Add(t.Context(), Request{Checkpoint: l.checkpoint(20)}); err != nil || string(got.Line) != string(line20) {
		t.Errorf("among others: %v", err)
	}
}

// A log of a trust file: the keys that count, and no other.
func TestLogOf(t *testing.T) {
	if _, err := LogOf(verify.Trust{Origin: origin}); caos.KindOf(err) != caos.Invalid {
		t.Errorf("no key: %v", err)
	}
	f, err := os.MkdirTemp(t.TempDir(), "w")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(f, "witness example"); caos.AsError(err).Field != "name" {
		t.Errorf("a name with a space: %v", err)
	}
	if _, err := NewServer(&Folder{}, []Log{{Origin: origin, Keys: []string{"nonsense"}}}, nil, nil); caos.AsError(err).Field != "log" {
		t.Errorf("a key that is none: %v", err)
	}
	if _, err := NewServer(&Folder{}, nil, nil, nil); caos.AsError(err).Field != "log" {
		t.Errorf("no log: %v", err)
	}
}

func FuzzRequest(f *testing.F) {
	l := newTree(f, origin)
	l.grow("a", 20)
	f.Add(l.request(0, 3))
	f.Add(l.request(7, 20))
	f.Add([]byte("old 0\n\n"))
	dir := f.TempDir()
	s := start(f, dir, clock(), l)
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRequest(body)
		if err == nil && !bytes.Equal(r.Format(), body) {
			t.Errorf("%q became %q", body, r.Format())
		}
		_, _ = s.Add(body) // whatever it says, it ends
	})
}

func BenchmarkAdd(b *testing.B) {
	l := newTree(b, origin)
	l.grow("a", 2000)
	s := start(b, b.TempDir(), clock(), l)
	body := l.request(0, 1000)
	if _, err := s.Add(body); err != nil {
		b.Fatal(err)
	}
	again := l.request(1000, 1000)
	b.ResetTimer()
	for b.Loop() {
		if _, err := s.Add(again); err != nil {
			b.Fatal(err)
		}
	}
}
