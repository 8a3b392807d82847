package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"caos"
	"caos/internal/alert"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits for something that must happen; it is not a time anything takes.
const patience = 30 * time.Second

// roster is who holds what; it is read inside transactions, like the real one.
type roster map[string][]string

func (r roster) WithRole(_ *db.Tx, role, _, _ string) ([]string, error) {
	if role == "broken" {
		return nil, errors.New("no such table")
	}
	return r[role], nil
}

// box is a sink that keeps what it is given. fail may refuse a message.
type box struct {
	name string
	fail func(Message) error

	mu  sync.Mutex
	got []Message
	c   chan struct{}
}

func newBox(name string) *box { return &box{name: name, c: make(chan struct{}, 1)} }

func (b *box) Name() string { return b.name }

func (b *box) Deliver(_ context.Context, m Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		if err := b.fail(m); err != nil {
			return err
		}
	}
	b.got = append(b.got, m)
	select {
	case b.c <- struct{}{}:
	default:
	}
	return nil
}

// wait returns what arrived, by key, when there are at least n messages.
func (b *box) wait(t *testing.T, n int) []Message {
	t.Helper()
	limit := time.After(patience)
	for {
		b.mu.Lock()
		got := slices.Clone(b.got)
		b.mu.Unlock()
		if len(got) >= n {
			slices.SortFunc(got, func(a, b Message) int { return strings.Compare(a.Key, b.Key) })
			return got
		}
		select {
		case <-b.c:
		case <-limit:
			t.Fatalf("%d messages arrived, want %d", len(got), n)
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// open makes a notifier that looks for messages without pause while any is left, so that
// nothing depends on the clock.
func open(t *testing.T, d *db.DB, change func(*Options)) *Notifier {
	t.Helper()
	opt := Options{
		DB: d, Stamps: caos.NewStamper(time.Now, time.Time{}, 0, 1), Log: quiet(), First: time.Microsecond, Max: time.Microsecond,
		People: roster{"qa-lead": {"mira", "tom"}, "certification": {"tom", "ada"}, "admin": {"ada"}},
		after:  func(time.Duration) <-chan time.Time { return time.After(time.Millisecond) },
	}
	if change != nil {
		change(&opt)
	}
	n, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

func send(t *testing.T, n *Notifier, notice Notice) Delivery {
	t.Helper()
	var d Delivery
	err := n.db.Update(context.Background(), func(tx *db.Tx) (err error) { d, err = n.Send(tx, notice); return err })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// counted waits until the outbox has the given number of messages in a state.
func counted(t *testing.T, n *Notifier, state string, want int64) {
	t.Helper()
	limit := time.After(patience)
	for {
		counts, err := n.Pending(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if counts[state] == want {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-limit:
			t.Fatalf("outbox %v, want %d %s", counts, want, state)
		}
	}
}

func TestSendFindsItsPeople(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		n := open(t, d, nil)
		for _, c := range []struct {
			notice   Notice
			people   string
			findings string
		}{
			{Notice{Roles: []string{"qa-lead", "certification"}, People: []string{"mira", "zoe", ""}}, "ada mira tom zoe", ""},
			{Notice{Roles: []string{"prr-board", "admin"}}, "ada", "notice-role-vacant"},
			{Notice{Roles: []string{"prr-board"}}, "", "notice-role-vacant notice-reaches-nobody"},
			{Notice{}, "", "notice-reaches-nobody"},
		} {
			c.notice.Subject, c.notice.Source = "Frozen", "EXEC-1"
			got := send(t, n, c.notice)
			var rules []string
			for _, f := range got.Findings {
				rules = append(rules, f.Rule)
				if f.Message == "" || f.Remedy == "" || f.Subject == "" {
					t.Errorf("a finding that does not help: %+v", f)
				}
			}
			if strings.Join(got.People, " ") != c.people || got.Reached != len(got.People) || strings.Join(rules, " ") != c.findings {
				t.Errorf("%+v: %+v", c.notice, got)
			}
			if (got.NoticeID == "") != (got.Reached == 0) {
				t.Errorf("notice %q for %d people", got.NoticeID, got.Reached)
			}
		}
	})
}

func TestSendRefuses(t *testing.T) {
	n := open(t, dbtest.Open(t, db.SQLite), nil)
	for field, notice := range map[string]Notice{
		"subject": {Subject: " \n", Source: "s", People: []string{"ada"}},
		"source":  {Subject: "x", People: []string{"ada"}},
		"":        {Subject: "x", Source: "s", Roles: []string{"broken"}},
	} {
		err := n.db.Update(context.Background(), func(tx *db.Tx) error { _, err := n.Send(tx, notice); return err })
		if err == nil || field != "" && caos.AsError(err).Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	send(t, n, Notice{Subject: "a\r\nBcc: everybody@example.com", Body: strings.Repeat("ü", 9000) + "\x00", Source: "s", People: []string{"ada"}})
	page, _, err := n.List(context.Background(), "ada", Filter{}, "")
	if err != nil || len(page) != 1 || strings.ContainsAny(page[0].Subject, "\r\n") || len(page[0].Body) > maxBody+8 {
		t.Errorf("hostile text: %+v, %v", page, err)
	}
}

func TestNoticesAreReadable(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		n := open(t, d, nil)
		var ids []string
		for i := range 5 {
			ids = append(ids, send(t, n, Notice{Subject: fmt.Sprint(i), Body: "b", Link: "/v1/x", Source: "EXEC-1", Project: "fcs", People: []string{"ada", "tom"}}).NoticeID)
		}
		var seen string
		cursor := ""
		for {
			page, next, err := n.List(context.Background(), "ada", Filter{Limit: 2, Project: "fcs"}, cursor)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				seen += r.Subject
			}
			if cursor = next; next == "" {
				break
			}
		}
		if seen != "43210" {
			t.Errorf("pages give %s", seen)
		}
		for range 2 { // twice is once
			if err := n.MarkRead(context.Background(), "ada", ids[3]); err != nil {
				t.Fatal(err)
			}
		}
		for person, want := range map[string]int64{"ada": 4, "tom": 5, "zoe": 0} {
			if got, err := n.Unread(context.Background(), person); err != nil || got != want {
				t.Errorf("%s has %d unread, want %d, %v", person, got, want, err)
			}
		}
		page, _, err := n.List(context.Background(), "ada", Filter{Unread: true}, "")
		if err != nil || len(page) != 4 || page[1].Subject != "2" || page[0].ReadAt != nil {
			t.Errorf("unread: %+v, %v", page, err)
		}
		if err := n.MarkRead(context.Background(), "zoe", ids[3]); caos.KindOf(err) != caos.NotFound {
			t.Errorf("somebody else's notice: %v", err)
		}
		if _, _, err := n.List(context.Background(), "ada", Filter{}, "!"); caos.KindOf(err) != caos.Invalid {
			t.Errorf("a made-up cursor: %v", err)
		}
	})
}

func TestOutboxCarriesToEverySink(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		mail, chat := newBox("mail"), newBox("chat")
		n := open(t, d, func(o *Options) { o.Sinks = []Sink{mail, chat} })
		send(t, n, Notice{Subject: "early", Body: "b", Link: "/l", Source: "s", People: []string{"ada"}})
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		if err := n.Start(); err == nil {
			t.Error("started twice")
		}
		id := send(t, n, Notice{Subject: "late", Source: "s", Roles: []string{"qa-lead"}}).NoticeID
		for _, b := range []*box{mail, chat} {
			got := b.wait(t, 3)
			if len(got) != 3 || got[0].Subject != "early" || got[0].Person != "ada" || got[0].Link != "/l" || got[0].SentAt.IsZero() ||
				got[1].Key != id+"/mira/"+b.name || got[2].Person != "tom" {
				t.Errorf("%s got %+v", b.name, got)
			}
		}
		counted(t, n, "SENT", 6)
	})
}

func TestFailingSink(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		stamps := caos.NewStamper(time.Now, time.Time{}, 0, 1)
		outbox, err := event.Open(event.Options{DB: d, Stamps: stamps})
		if err != nil {
			t.Fatal(err)
		}
		alerts := alert.New(d, outbox, stamps, nil)
		mail, chat := newBox("mail"), newBox("chat")
		var attempts []int
		mail.fail = func(m Message) error {
			switch m.Subject {
			case "slow":
				if attempts = append(attempts, m.Attempt); len(attempts) == 2 {
					panic("seeded")
				}
				if len(attempts) < 4 {
					return caos.Errorf(caos.Unavailable, "greylisted")
				}
			case "hopeless":
				return caos.Errorf(caos.Invalid, "no such address")
			case "never":
				return errors.New("down")
			}
			return nil
		}
		n := open(t, d, func(o *Options) { o.Sinks, o.Alerts, o.Attempts = []Sink{mail, chat}, alerts, 5 })
		for _, s := range []string{"slow", "hopeless", "never", "fine"} {
			send(t, n, Notice{Subject: s, Source: "s", People: []string{"ada"}})
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		chat.wait(t, 4)
		counted(t, n, "PARKED", 2)
		counted(t, n, "SENT", 6)
		if len(mail.wait(t, 2)) != 2 || !slices.Equal(attempts, []int{1, 2, 3, 4}) {
			t.Errorf("mail got %+v, attempts %v", mail.got, attempts)
		}
		list, _, err := alerts.List(context.Background(), alert.Filter{Source: "notify"}, "")
		if err != nil || len(list) != 1 || list[0].Count != 2 || list[0].Subject != "sink:mail" || !strings.HasPrefix(list[0].AlertID, "ALERT-NOTIFY-") {
			t.Errorf("alerts %+v, %v", list, err)
		}
	})
}

// TestCrashBetween breaks the transactions around a delivery, lost and kept although an
// error was reported: every message arrives at least once and ends as sent.
func TestCrashBetween(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		for _, point := range []db.Point{db.AtCommit, db.AtCommitted} {
			var armed atomic.Bool
			var hits atomic.Int64
			d := dbtest.OpenWith(t, db.Options{URL: dbtest.URL(t, dialect), Log: quiet(), Fault: &db.Fault{At: func(p db.Point) db.Action {
				if p != point || !armed.Load() {
					return db.Proceed
				}
				if n := hits.Add(1); n%5 == 1 || n%5 == 3 {
					return db.Fail
				}
				return db.Proceed
			}}})
			// A message whose outcome was lost is another's when its lease ends, so leases are
			// short here; they run by the server's clock.
			b := newBox("mail")
			n := open(t, d, func(o *Options) { o.Sinks, o.Timeout, o.Attempts = []Sink{b}, 20*time.Millisecond, 1000 })
			for i := range 6 {
				send(t, n, Notice{Subject: fmt.Sprint(i), Source: "s", People: []string{"ada"}})
			}
			armed.Store(true)
			if err := n.Start(); err != nil {
				t.Fatal(err)
			}
			counted(t, n, "SENT", 6)
			armed.Store(false)
			seen := map[string]bool{}
			for _, m := range b.wait(t, 6) {
				seen[m.Key] = true
			}
			if len(seen) != 6 {
				t.Errorf("%d of 6 messages arrived", len(seen))
			}
			n.Close()
		}
	})
}

// TestSendDiesWithItsTransaction shows that nothing is told that did not happen.
func TestSendDiesWithItsTransaction(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		b := newBox("mail")
		n := open(t, d, func(o *Options) { o.Sinks = []Sink{b} })
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		no := errors.New("no")
		err := d.Update(context.Background(), func(tx *db.Tx) error {
			if _, err := n.Send(tx, Notice{Subject: "lie", Source: "s", People: []string{"ada"}}); err != nil {
				return err
			}
			return no
		})
		if !errors.Is(err, no) {
			t.Fatal(err)
		}
		send(t, n, Notice{Subject: "truth", Source: "s", People: []string{"ada"}})
		if got := b.wait(t, 1); len(got) != 1 || got[0].Subject != "truth" {
			t.Errorf("arrived: %+v", got)
		}
		if count, err := n.Unread(context.Background(), "ada"); err != nil || count != 1 {
			t.Errorf("%d unread, %v", count, err)
		}
	})
}

// TestTwoNodesSendOnce runs two nodes on one database: no message goes out twice while
// both live.
func TestTwoNodesSendOnce(t *testing.T) {
	url := dbtest.URL(t, db.PostgreSQL)
	b := newBox("mail")
	var nodes []*Notifier
	for range 2 {
		d := dbtest.OpenWith(t, db.Options{URL: url})
		nodes = append(nodes, open(t, d, func(o *Options) { o.Sinks = []Sink{b} }))
	}
	const messages = 100
	for i := range messages {
		send(t, nodes[0], Notice{Subject: fmt.Sprint(i), Source: "s", People: []string{"ada"}})
	}
	for _, n := range nodes {
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
	}
	counted(t, nodes[0], "SENT", messages)
	keys := map[string]bool{}
	for _, m := range b.wait(t, messages) {
		if keys[m.Key] {
			t.Errorf("%s went out twice", m.Key)
		}
		keys[m.Key] = true
	}
}

func TestSweep(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		now := time.Now()
		n := open(t, d, func(o *Options) { o.Keep, o.Now = time.Hour, func() time.Time { return now } })
		send(t, n, Notice{Subject: "old", Source: "s", People: []string{"ada"}})
		if gone, err := n.Sweep(context.Background()); err != nil || gone != 0 {
			t.Fatalf("%d gone at once, %v", gone, err)
		}
		now = now.Add(2 * time.Hour)
		if gone, err := n.Sweep(context.Background()); err != nil || gone != 1 {
			t.Fatalf("%d gone, %v", gone, err)
		}
		if counts, err := n.Pending(context.Background()); err != nil || counts["PENDING"] != 0 {
			t.Errorf("left in the outbox: %v, %v", counts, err)
		}
	})
}

func TestLogSinkKeepsTheBodyOut(t *testing.T) {
	var out bytes.Buffer
	s := LogSink{Log: slog.New(slog.NewTextHandler(&out, nil))}
	if err := s.Deliver(context.Background(), Message{NoticeID: "N", Person: "ada", Subject: "Frozen", Body: "secret"}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "Frozen") || strings.Contains(text, "secret") || s.Name() != "log" {
		t.Errorf("logged %q", text)
	}
}

func TestPause(t *testing.T) {
	n := &Notifier{opt: Options{First: time.Second, Max: 10 * time.Second}}
	for attempts, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 5: 10 * time.Second, 5000: 10 * time.Second} {
		if got := n.pause(attempts, 0.5); got != want {
			t.Errorf("pause after %d failures: %v, want %v", attempts, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("made of nothing")
	}
	d := dbtest.Open(t, db.SQLite)
	if _, err := New(Options{DB: d, Stamps: caos.NewStamper(time.Now, time.Time{}, 0, 1), People: roster{}, Sinks: []Sink{newBox("a"), newBox("a")}}); err == nil {
		t.Error("two sinks of one name")
	}
}
