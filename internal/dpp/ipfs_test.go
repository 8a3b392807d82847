package dpp

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
	"caos/internal/verify"
)

// kubo answers the two calls that are used as Kubo 0.43.1 does, with its header fields, its
// trailer and its errors; the answers were taken from one. say changes an answer.
type kubo struct {
	*httptest.Server
	mu     sync.Mutex
	blocks map[string][]byte
	calls  []string
	say    func(w http.ResponseWriter, call string) bool // true: it has answered
}

func newKubo(t testing.TB) *kubo {
	k := &kubo{blocks: map[string][]byte{}}
	k.Server = httptest.NewServer(http.HandlerFunc(k.serve))
	t.Cleanup(k.Close)
	return k
}

func (k *kubo) serve(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	call := strings.TrimPrefix(r.URL.Path, "/api/v0/")
	k.calls = append(k.calls, call)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "OPTIONS, POST")
		http.Error(w, "405 - Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	if k.say != nil && k.say(w, call) {
		return
	}
	fails := func(text string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_ = json.NewEncoder(w).Encode(map[string]any{"Message": text, "Code": 0, "Type": "error"})
	}
	q := r.URL.Query()
	w.Header().Set("Trailer", "X-Stream-Error")
	switch call {
	case "add":
		f, head, err := r.FormFile("file")
		if err != nil {
			http.Error(w, "file argument 'path' is required", http.StatusBadRequest)
			return
		}
		body, err := io.ReadAll(f)
		if err != nil || q.Get("cid-version") != "1" || q.Get("raw-leaves") != "true" || q.Get("pin") != "true" || len(body) > MaxPin {
			fails("this test server makes CIDs of one raw leaf alone")
			return
		}
		cid := verify.CID(sha256.Sum256(body))
		k.blocks[cid] = body
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Chunked-Output", "1")
		_ = json.NewEncoder(w).Encode(map[string]string{"Name": head.Filename, "Hash": cid, "Size": fmt.Sprint(len(body))})
	case "block/get":
		body, ok := k.blocks[q.Get("arg")]
		if !ok {
			fails("block was not found locally (offline): ipld: could not find " + q.Get("arg"))
			return
		}
		w.Header().Set("Content-Type", "application/vnd.ipld.raw")
		w.Header().Set("X-Stream-Output", "1")
		_, _ = w.Write(body)
	default:
		http.NotFound(w, r)
	}
}

func (k *kubo) answers(fn func(w http.ResponseWriter, call string) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.say = fn
}

func (k *kubo) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.calls)
}

func (w *world) pinner(url string) *Pinner {
	w.t.Helper()
	n, err := w.NewPinner(PinOptions{URL: url, HTTP: http.DefaultClient, Timeout: 5 * time.Second})
	w.ok(err)
	return n
}

func (w *world) pin(row *Passport) *Pin {
	w.t.Helper()
	pin, err := w.PinOf(context.Background(), row)
	w.ok(err)
	return pin
}

func TestPin(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		k := newKubo(t)
		n := w.pinner(k.URL + "/")
		row := w.issued(Freeze)
		if pin := w.pin(row); pin != nil {
			t.Errorf("%+v", pin)
		}
		for range 3 { // an event may come again
			w.ok(n.Pin(ctx, row.PassportID))
		}
		if k.count() != 2 {
			t.Errorf("%d calls", k.count())
		}
		pin := w.pin(row)
		if pin == nil || pin.State != PinDone || pin.PinnedAt == nil || pin.Attempts != 1 || pin.Error != "" || pin.URI != row.URI {
			t.Errorf("%+v", pin)
		}
		raw, err := w.Credential(row)
		w.ok(err)
		if !slices.Equal(k.blocks[row.CID], raw) {
			t.Error("the node has other bytes")
		}
		entries, _, err := w.History(ctx, row.PassportID, 0, "")
		if err != nil || len(entries) != 2 || entries[0].Kind != KindPinned || entries[0].Subject != row.URI {
			t.Errorf("%+v %v", entries, err)
		}
		page, err := w.log.List(ctx, auditlog.Filter{Resource: row.PassportID}, "")
		if err != nil || len(page.Records) != 3 {
			t.Errorf("%d records %v", len(page.Records), err)
		}
		w.ok(n.Pin(ctx, "DPP-NN-FCS-001-9.9.9-FREEZE"))
	})
}

// What a node may say wrong: nothing of it becomes a pin, and the next attempt finds the
// passport where it was.
func TestNodeLiesOrFails(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	ctx := t.Context()
	row := w.issued(Freeze)
	k := newKubo(t)
	n := w.pinner(k.URL)
	at := func(call, text string, status int) func(http.ResponseWriter, string) bool {
		return func(rw http.ResponseWriter, c string) bool {
			if c != call {
				return false
			}
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, text)
			return true
		}
	}
	attempts := int64(0)
	for name, x := range map[string]struct {
		say  func(http.ResponseWriter, string) bool
		kind caos.Kind
		word string
	}{
		"another CID":     {at("add", `{"Hash":"bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"}`, 200), caos.Conflict, "bafkreigh2"},
		"no answer":       {at("add", `so it is`, 200), caos.Unavailable, "no answer"},
		"an empty one":    {at("add", `{}`, 200), caos.Unavailable, "no answer"},
		"a flood":         {at("add", strings.Repeat(" ", maxRPC+1), 200), caos.Unavailable, "more than"},
		"an error":        {at("add", `{"Message":"no space left on device","Code":0,"Type":"error"}`, 500), caos.Unavailable, "no space left"},
		"a command":       {at("add", "no\x1b]0;x\a \u009b2J\x00\xff", 500), caos.Unavailable, "no ]0;x"},
		"turned away":     {at("add", "403 - Forbidden", 403), caos.Denied, "403"},
		"another program": {at("add", "not found", 404), caos.Denied, "404"},
		"somewhere else": {func(rw http.ResponseWriter, _ string) bool {
			rw.Header().Set("Location", "http://elsewhere.invalid/")
			rw.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}, caos.Denied, "307"},
		"other bytes":  {at("block/get", strings.Repeat("x", 100), 200), caos.Conflict, "not those of the credential"},
		"more bytes":   {at("block/get", strings.Repeat("x", 100_000), 200), caos.Unavailable, "more than"},
		"lost at once": {at("block/get", `{"Message":"block was not found locally (offline)","Code":0,"Type":"error"}`, 500), caos.Unavailable, "not found"},
		"fails behind its answer": {func(rw http.ResponseWriter, call string) bool {
			if call != "add" {
				return false
			}
			rw.Header().Set("Trailer", "X-Stream-Error")
			_, _ = io.WriteString(rw, `{"Hash":"`+row.CID+`"}`)
			rw.Header().Set("X-Stream-Error", "pin failed")
			return true
		}, caos.Unavailable, "pin failed"},
		"cut off": {func(http.ResponseWriter, string) bool { panic(http.ErrAbortHandler) }, caos.Unavailable, "cannot be reached"},
	} {
		k.answers(x.say)
		attempts++
		err := n.Pin(ctx, row.PassportID)
		if caos.KindOf(err) != x.kind || !strings.Contains(caos.AsError(err).Message, x.word) {
			t.Errorf("%s: %v", name, err)
		}
		if pin := w.pin(row); pin == nil || pin.State != PinWaiting || pin.Attempts != attempts || pin.Error == "" || pin.PinnedAt != nil || strings.ContainsFunc(pin.Error, unicode.IsControl) {
			t.Errorf("%s: %+v", name, pin)
		}
	}
	k.answers(nil)
	w.ok(n.Pin(ctx, row.PassportID))
	if pin := w.pin(row); pin.State != PinDone || pin.Attempts != attempts+1 || pin.Error != "" {
		t.Errorf("%+v", pin)
	}
}

// A node that hangs is given up; one that is away for an hour gets what was left behind, and
// what was issued before there was a node.
func TestNodeAway(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		old := w.issued(Freeze)
		k := newKubo(t)
		hang := make(chan struct{})
		defer close(hang)
		k.answers(func(http.ResponseWriter, string) bool { <-hang; return true })
		n, err := w.NewPinner(PinOptions{URL: k.URL, HTTP: http.DefaultClient, Timeout: 20 * time.Millisecond})
		w.ok(err)
		if err := n.Pin(ctx, old.PassportID); caos.KindOf(err) != caos.Unavailable {
			t.Errorf("%v", err)
		}
		gone := httptest.NewServer(nil)
		gone.Close()
		away := w.pinner(gone.URL)
		for range 10 {
			if err := away.Pin(ctx, old.PassportID); caos.KindOf(err) != caos.Unavailable {
				t.Errorf("%v", err)
			}
		}
		later := w.issued(Deployment)
		back := newKubo(t)
		n = w.pinner(back.URL)
		w.ok(n.Sweep(ctx)) // the old one is not due for an hour
		if w.pin(old).State != PinWaiting || w.pin(later).State != PinDone {
			t.Errorf("%+v %+v", w.pin(old), w.pin(later))
		}
		w.now.Add((time.Hour + time.Minute).Microseconds())
		w.ok(n.Sweep(ctx))
		if pin := w.pin(old); pin.State != PinDone || pin.Attempts != 12 {
			t.Errorf("%+v", pin)
		}
		ending, cancel := context.WithCancel(ctx)
		cancel()
		third := w.issued(Deployment)
		if err := n.Pin(ending, third.PassportID); err == nil {
			t.Error("no error although the program ends")
		}
		if pin := w.pin(third); pin != nil {
			t.Errorf("the end of the program counts as an attempt: %+v", pin)
		}
	})
}

// What not everybody may know is not given to a node, and neither is what would have another
// address there.
func TestNotForIPFS(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		k := newKubo(t)
		n := w.pinner(k.URL)
		closed, err := w.issue(Freeze, func(d *Draft) { d.Classification = "Restricted" })
		w.ok(err)
		raised := w.issued(Deployment)
		level := "Confidential"
		w.Passports.level = func(_ context.Context, id string) (string, error) { return level, nil }
		w.ok(n.Sweep(ctx))
		for row, word := range map[*Passport]string{closed: "Confidential", raised: "Confidential"} {
			if pin := w.pin(row); pin.State != PinRefused || !strings.Contains(pin.Error, word) {
				t.Errorf("%+v", pin)
			}
		}
		level = "Internal"
		w.ok(n.Sweep(ctx)) // refused once is refused: nobody asks again
		large := w.issued(Deployment)
		w.ok(w.db.Write(ctx, func(tx *db.Tx) error {
			tx.Exec(`UPDATE passports SET size = $1 WHERE passport_id = $2`, MaxPin+1, large.PassportID)
			return tx.Err()
		}))
		w.ok(n.Sweep(ctx))
		if pin := w.pin(large); pin.State != PinRefused || !strings.Contains(pin.Error, "262145") || !strings.Contains(pin.Error, "262144") {
			t.Errorf("%+v", pin)
		}
		if k.count() != 0 {
			t.Errorf("%d calls", k.count())
		}
		w.Passports.level = func(context.Context, string) (string, error) { return "", caos.Errorf(caos.Unavailable, "down") }
		if err := n.Pin(ctx, w.issued(Deployment).PassportID); caos.KindOf(err) != caos.Unavailable {
			t.Errorf("%v", err)
		}
	})
}

func TestPinnerAddress(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	for _, bad := range []string{"", "127.0.0.1:5001", "ftp://x", "http://", "http://u:p@127.0.0.1:5001", "http://x?y=1", "http://x/#y", "\x00"} {
		if _, err := w.NewPinner(PinOptions{URL: bad, HTTP: http.DefaultClient}); caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field != "ipfs.api" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if n, err := w.NewPinner(PinOptions{URL: "http://127.0.0.1:5001/api/v0", HTTP: http.DefaultClient}); err != nil || n.url != "http://127.0.0.1:5001" {
		t.Errorf("%v %v", n, err)
	}
}

// Issued, heard, pinned: through the outbox, as it is wired, with a node that fails first.
func TestPinSubscriber(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		now := func() time.Time { return time.UnixMicro(w.now.Add(1)) }
		o, err := event.Open(event.Options{DB: w.db, Stamps: caos.NewStamper(now, time.Time{}, 2, 3), Now: now, Poll: 10 * time.Millisecond,
			Retry: event.Retry{Attempts: 5, First: time.Millisecond, Max: time.Millisecond, Factor: 1}})
		w.ok(err)
		w.Passports.events = o
		k := newKubo(t)
		pinned := make(chan struct{}, 10)
		failures := 2
		k.answers(func(rw http.ResponseWriter, call string) bool {
			if failures > 0 {
				failures--
				rw.WriteHeader(http.StatusInternalServerError)
				return true
			}
			if call == "block/get" {
				pinned <- struct{}{}
			}
			return false
		})
		w.ok(o.Subscribe(w.pinner(k.URL).Subscription()))
		w.ok(o.Start(ctx))
		row := w.issued(Freeze)
		select {
		case <-pinned:
		case <-time.After(20 * time.Second):
			t.Fatal("nobody pinned it")
		}
		o.Close()
		if pin := w.pin(row); pin == nil || pin.Attempts < 2 {
			t.Errorf("%+v", pin)
		}
	})
}

// TestRealNode does it with a node that CAOS_TEST_IPFS names, such as http://127.0.0.1:5001
// of ipfs daemon --offline.
func TestRealNode(t *testing.T) {
	url := os.Getenv("CAOS_TEST_IPFS")
	if url == "" {
		t.Skip("CAOS_TEST_IPFS names no IPFS node")
	}
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	row := w.issued(Freeze)
	n := w.pinner(url)
	w.ok(n.Pin(t.Context(), row.PassportID))
	if pin := w.pin(row); pin.State != PinDone {
		t.Errorf("%+v", pin)
	}
	// The bound is where a node's address of the bytes and ours part.
	for size, same := range map[int]bool{MaxPin: true, MaxPin + 1: false} {
		raw := []byte(strings.Repeat("x", size))
		err := n.give(t.Context(), &Passport{PassportID: "bound", CID: verify.CID(sha256.Sum256(raw)), Digest: digestOf(raw), Size: int64(size)}, raw)
		if (err == nil) != same {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
