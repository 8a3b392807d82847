package dataset

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
)

// receiver is an OpenLineage server as the specification has it: it takes POSTs of valid
// events with the right token, and keeps them in order of arrival.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	got   []string                      // "<execution> <type>"
	odd   []string                      // what was wrong with a request
	say   func(n int, about string) int // status of the n-th request; 0 for what is right
	token string                        // that is asked for
	hang  chan struct{}                 // a status of -1 waits for it
	n     int
	more  chan struct{} // holds one: something came
}

func openReceiver(t *testing.T) *receiver {
	valid := official(t)
	r := &receiver{hang: make(chan struct{}), more: make(chan struct{}, 1), token: "Bearer s3cret"}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var e struct {
			EventType string
			Run       struct{ RunID string }
			Job       struct{ Name string }
		}
		r.mu.Lock()
		r.n++
		n, say, token := r.n, r.say, r.token
		if err != nil || req.Method != http.MethodPost || req.URL.Path != "/api/v1/lineage" || req.Header.Get("Content-Type") != "application/json" || valid(body) != nil || json.Unmarshal(body, &e) != nil {
			r.odd = append(r.odd, fmt.Sprint(req.Method, req.URL, err, valid(body)))
		}
		r.mu.Unlock()
		about, status := e.Job.Name+" "+e.EventType, 0
		if say != nil {
			status = say(n, about)
		}
		switch {
		case status == -1:
			select {
			case <-r.hang:
			case <-req.Context().Done():
			}
			return
		case req.Header.Get("Authorization") != token:
			status = http.StatusUnauthorized
		case status == 0:
			status = http.StatusCreated
			r.mu.Lock()
			r.got = append(r.got, about)
			r.mu.Unlock()
		}
		w.WriteHeader(status)
		fmt.Fprint(w, "so it is")
		select {
		case r.more <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(func() { close(r.hang); r.Close() })
	return r
}

func (r *receiver) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *receiver) answers(fn func(n int, about string) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.say = fn
}

// wants waits until exactly these events were taken in this order.
func (r *receiver) wants(t *testing.T, want ...string) {
	t.Helper()
	over := time.After(20 * time.Second)
	for !slices.Equal(r.taken(), want) {
		select {
		case <-r.more:
		case <-over:
			t.Fatalf("taken: %q, want %q", r.taken(), want)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.odd) > 0 {
		t.Errorf("requests that are none: %q", r.odd)
	}
}

// post is a store that sends, and what it parked.
type post struct {
	*loom
	parked chan event.Parked
}

func openPost(t *testing.T, d *db.DB, r *receiver, opt SenderOptions) *post {
	p := &post{parked: make(chan event.Parked, 100)}
	p.loom = openLoom(t, d, event.Options{Poll: 10 * time.Millisecond, Retry: event.Retry{Attempts: 3, First: time.Millisecond, Max: time.Millisecond, Factor: 1},
		OnPark: func(_ *db.Tx, x event.Parked) error { p.parked <- x; return nil }})
	opt.URL, opt.HTTP = r.URL, r.Client()
	if opt.Token == nil {
		opt.Token = func(context.Context) (string, error) { return "s3cret", nil }
	}
	s, err := p.NewSender(opt)
	p.ok(err)
	p.ok(p.events.Subscribe(s.Subscription()))
	p.ok(p.events.Start(context.Background()))
	return p
}

// tell keeps events of runs, in one commit for each.
func (p *post) tell(classification string, about ...string) {
	p.t.Helper()
	for _, s := range about {
		var job, kind string
		_, err := fmt.Sscan(s, &job, &kind)
		p.ok(err)
		r := LineageRun{Namespace: "https://caos.example", ExecutionID: "EXEC-" + job, Job: job}
		p.ok(p.do(func(tx *db.Tx) error {
			return p.RecordRunEvent(tx, r.event(kind, p.now(), ""), "delay", classification)
		}))
	}
}

func (p *post) wantsParked(t *testing.T) event.Parked {
	t.Helper()
	select {
	case x := <-p.parked:
		return x
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is parked")
		return event.Parked{}
	}
}

func (p *post) kept(job string) []KeptRunEvent {
	kept, err := p.RunEvents(context.Background(), "EXEC-"+job)
	p.ok(err)
	return kept
}

func TestSenderSendsInOrder(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		r := openReceiver(t)
		// Everything is first answered by a failure that passes, or not at all.
		r.answers(func(n int, _ string) int {
			return []int{-1, 503, 0, 429, 0, 500, 408, 0}[(n-1)%8]
		})
		p := openPost(t, d, r, SenderOptions{Timeout: 100 * time.Millisecond})
		p.tell("Internal", "a START", "b START", "a COMPLETE", "b FAIL", "c START")
		r.wants(t, "a START", "b START", "a COMPLETE", "b FAIL", "c START")
	})
}

func TestSenderKeepsWhatIsAboveItsReceiver(t *testing.T) {
	r := openReceiver(t)
	p := openPost(t, dbtest.Open(t, db.SQLite), r, SenderOptions{})
	p.tell("Restricted", "s START")
	p.tell("Public", "a START")
	p.tell("", "a COMPLETE")
	r.wants(t, "a START", "a COMPLETE")
	if kept := p.kept("s"); kept[0].SentAt != nil || kept[0].Refusal == "" {
		t.Errorf("%+v", kept)
	}
}

func TestSenderTakesAlongWhatWasLeftBehind(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		r := openReceiver(t)
		r.mu.Lock()
		r.token = "Bearer new"
		r.mu.Unlock()
		p := openPost(t, d, r, SenderOptions{})
		p.tell("Internal", "a START", "b START") // the token is wrong: parked at once, both
		if first, second := p.wantsParked(t), p.wantsParked(t); first.Attempts != 1 || second.Event.Subject != "EXEC-b" {
			t.Errorf("parked: %+v, %+v", first, second)
		}
		r.mu.Lock()
		r.token = "Bearer s3cret"
		r.mu.Unlock()
		r.answers(func(int, string) int { return 500 })
		p.tell("Internal", "a COMPLETE") // nobody is there: parked after three attempts
		if x := p.wantsParked(t); x.Attempts != 3 || x.Event.Subject != "EXEC-a" {
			t.Errorf("parked: %+v", x)
		}
		r.answers(nil)
		p.tell("Internal", "b COMPLETE")
		r.wants(t, "a START", "b START", "a COMPLETE", "b COMPLETE")
	})
}

func TestSenderLeavesWhatIsRefused(t *testing.T) {
	r := openReceiver(t)
	r.answers(func(_ int, about string) int {
		if about == "a START" {
			return http.StatusUnprocessableEntity
		}
		return 0
	})
	p := openPost(t, dbtest.Open(t, db.SQLite), r, SenderOptions{})
	p.tell("Internal", "a START", "a COMPLETE")
	if x := p.wantsParked(t); x.Attempts != 1 || x.Event.Subject != "EXEC-a" {
		t.Errorf("parked: %+v", x)
	}
	r.wants(t, "a COMPLETE")
	if kept := p.kept("a"); kept[0].SentAt != nil || kept[0].Refusal != "it answered 422: so it is" || kept[1].SentAt == nil && kept[1].Refusal != "" {
		t.Errorf("%+v", kept)
	}
}

// TestSenderDiesBetween is the crash after the receiver took an event and before that was
// noted: the event comes again, and not out of order.
func TestSenderDiesBetween(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		r := openReceiver(t)
		k := openLoom(t, d, event.Options{})
		s, err := k.NewSender(SenderOptions{URL: r.URL, HTTP: r.Client(), Token: func(context.Context) (string, error) { return "s3cret", nil }})
		k.ok(err)
		p := &post{loom: k}
		p.tell("Internal", "a START", "a COMPLETE")
		about := func(seq int) event.Event { return event.Event{ID: "x", Data: map[string]any{"seq": seq}} }
		ctx, cancel := context.WithCancel(context.Background())
		r.answers(func(int, string) int { cancel(); return 0 }) // the process is told to stop while it sends
		if err := s.handle(ctx, about(1)); err == nil {
			t.Fatal("nothing was lost, so that nothing is shown")
		}
		r.answers(nil)
		k.ok(s.handle(context.Background(), about(1)))
		k.ok(s.handle(context.Background(), about(2)))
		k.ok(s.handle(context.Background(), about(2))) // delivered again: it is sent already
		r.wants(t, "a START", "a START", "a COMPLETE")
	})
}

func TestSenderRefusesAddresses(t *testing.T) {
	k := openLoom(t, dbtest.Open(t, db.SQLite), event.Options{})
	for _, address := range []string{"", "lineage.example", "ftp://x/", "https://u:p@lineage.example/", "https://", "://"} {
		if _, err := k.NewSender(SenderOptions{URL: address, HTTP: http.DefaultClient}); caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field != "openlineage_url" {
			t.Errorf("%q: %v", address, err)
		}
	}
	// A redirect would carry the token elsewhere.
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	there := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer there.Close()
	s, err := k.NewSender(SenderOptions{URL: there.URL + "/x", HTTP: there.Client()})
	k.ok(err)
	if err := s.post(context.Background(), "{}"); caos.KindOf(err) != caos.Denied {
		t.Errorf("a redirect: %v", err)
	}
}

// A receiver that repeats in its error what it was sent does not get the token into the
// refusal, which is stored, shown and mailed.
func TestSenderTokenIsNotRepeated(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusBadGateway} {
		r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.WriteHeader(status)
			fmt.Fprintf(w, "you sent Authorization: %s", req.Header.Get("Authorization"))
		}))
		s, err := (&Datasets{}).NewSender(SenderOptions{URL: r.URL, HTTP: r.Client(), Token: func(context.Context) (string, error) { return "s3cret", nil }})
		if err != nil {
			t.Fatal(err)
		}
		err = s.post(t.Context(), "{}")
		if err == nil || strings.Contains(fmt.Sprintf("%+v %v", err, err), "s3cret") || !strings.Contains(err.Error(), "(token)") {
			t.Errorf("%d: %v", status, err)
		}
		r.Close()
	}
}
