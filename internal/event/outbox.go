package event

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"caos"
	"caos/internal/db"
)

// Options are what an Outbox is made of. DB and Stamps are required.
type Options struct {
	DB     *db.DB
	Stamps *caos.Stamper
	Now    func() time.Time // the clock of event times; nil means time.Now
	Log    *slog.Logger     // nil means slog.Default()
	Node   string           // this node's id; "" means "local"
	Source string           // CloudEvents source of events that name none; "" means "/caos"

	Retry Retry         // pauses between attempts; the zero value means DefaultRetry
	Lease time.Duration // how long a silent node keeps a subscriber; 0 means 10 s
	Poll  time.Duration // how often other nodes' events are looked for; 0 means 1 s

	// Keep is how long an event is kept after everybody had it; 0 means 30 days.
	Keep time.Duration

	// OnPark is called in the transaction that parks an event; nil means the log alone says
	// so. Its error undoes the parking, which is tried again.
	OnPark func(tx *db.Tx, p Parked) error

	after func(time.Duration) <-chan time.Time // tests wait in no time
}

// Parked is an event that one subscriber could not take.
type Parked struct {
	Subscriber string    `json:"subscriber"`
	Event      Event     `json:"event"`
	Attempts   int       `json:"attempts"`
	Error      string    `json:"error"` // the last one's message; its cause is in the log
	At         time.Time `json:"at"`
}

// Subscription is a durable subscriber. Exactly one of Handle and InTx is set. An error of
// a kind that no retry can help (caos.Kind.Retryable) parks the event at once.
type Subscription struct {
	Name      string // unique and never reused: the cursor belongs to it
	Pattern   string // see Match
	FromStart bool   // a new subscriber begins with the oldest event kept, not with the next

	// Handle gets each event at least once: after a crash the last few come again. Use
	// Event.ID to make the effect idempotent.
	Handle func(ctx context.Context, e Event) error

	// InTx gets each event in the audited transaction that moves the cursor: its effect in
	// the database happens exactly once. It may be called for events of a transaction that
	// is then undone, so it changes nothing but the database.
	InTx func(tx *db.Tx, e Event) error
}

// Outbox is the store of events and the delivery of them. Its methods may be called from
// any goroutine.
type Outbox struct {
	opt Options
	db  *db.DB
	now string // SQL of the database server's clock in microseconds

	mu       sync.Mutex
	workers  []*worker
	watchers map[string]map[*watcher]bool // by subject; "" hears everything
	started  bool
	closed   bool
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// Open makes an Outbox. It delivers nothing before Start.
func Open(opt Options) (*Outbox, error) {
	if opt.DB == nil || opt.Stamps == nil {
		return nil, errors.New("event: Options.DB and Options.Stamps are required")
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	if opt.Node == "" {
		opt.Node = "local"
	}
	if opt.Source == "" {
		opt.Source = "/caos"
	}
	if opt.Retry == (Retry{}) {
		opt.Retry = DefaultRetry()
	}
	if opt.Lease <= 0 {
		opt.Lease = 10 * time.Second
	}
	if opt.Poll <= 0 {
		opt.Poll = time.Second
	}
	if opt.Keep <= 0 {
		opt.Keep = 30 * 24 * time.Hour
	}
	if opt.after == nil {
		opt.after = time.After
	}
	o := &Outbox{opt: opt, db: opt.DB, watchers: map[string]map[*watcher]bool{}, now: "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"}
	if opt.DB.Dialect() == db.PostgreSQL {
		o.now = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"
	}
	return o, nil
}

// sql puts the server's clock into a statement.
func (o *Outbox) sql(text string) string { return strings.ReplaceAll(text, "{{now}}", o.now) }

// Emit writes an event in the caller's transaction, which is an audited one (db.Update).
// All emitters of the installation take turns from here to their commit. Audited
// transactions take turns anyway; in a db.Write nothing may be locked before Emit that
// somebody else locks after it, or PostgreSQL ends one of the two.
func (o *Outbox) Emit(tx *db.Tx, e Event) error {
	if e.ID == "" {
		e.ID = o.opt.Stamps.ID("EVENT-")
	}
	if e.Source == "" {
		e.Source = o.opt.Source
	}
	if e.Time.IsZero() {
		e.Time = o.opt.Now()
	}
	e.Sequence = 0
	if err := e.check(); err != nil {
		return err
	}
	if e.Data != nil {
		data, err := json.Marshal(e.Data)
		if err != nil {
			return fmt.Errorf("event %s: encode data: %w", e.Type, err)
		}
		if len(data) > MaxData {
			return caos.Errorf(caos.Internal, "event %s: %d bytes of data, %d allowed: name the subject instead", e.Type, len(data), MaxData)
		}
		e.Data = json.RawMessage(data)
	}
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("event %s: %w", e.Type, err)
	}
	tx.ExecOne(nil, `UPDATE event_head SET seq = seq + 1 WHERE id = 1`)
	tx.Exec(`INSERT INTO events (seq, event_id, type, subject, project, classification, time, envelope)
		VALUES ((SELECT seq FROM event_head WHERE id = 1), $1, $2, $3, $4, $5, $6, $7)`,
		e.ID, e.Type, e.Subject, e.Project, e.Classification, e.Time.UnixMicro(), string(text))
	tx.AfterCommit(func() { o.announce([]string{e.Subject}) })
	return nil
}

// Query chooses events for Since.
type Query struct {
	After   int64  // sequence of the last event seen, 0 for the oldest
	Pattern string // see Match; "" for all
	Subject string // "" for all
	Project string // "" for all
	Limit   int    // at most this many; 0 means 100, the most is 1000
}

// Since reads committed events in order. The second result is where to go on: the last
// sequence looked at, which is beyond the last event returned when later ones did not fit
// the pattern.
func (o *Outbox) Since(ctx context.Context, q Query) ([]Event, int64, error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit = min(q.Limit, 1000)
	where, args := []string{"seq > $1"}, []any{q.After}
	if q.Subject != "" {
		args = append(args, q.Subject)
		where = append(where, fmt.Sprintf("subject = $%d", len(args)))
	}
	if q.Project != "" {
		args = append(args, q.Project)
		where = append(where, fmt.Sprintf("project = $%d", len(args)))
	}
	args = append(args, q.Limit)
	events, err := o.read(ctx, fmt.Sprintf(`SELECT seq, envelope FROM events WHERE %s ORDER BY seq LIMIT $%d`, strings.Join(where, " AND "), len(args)), args...)
	if err != nil {
		return nil, q.After, err
	}
	last := q.After
	var fit []Event
	for _, e := range events {
		last = e.Sequence
		if q.Pattern == "" || Match(q.Pattern, e.Type) {
			fit = append(fit, e)
		}
	}
	return fit, last, nil
}

func (o *Outbox) read(ctx context.Context, query string, args ...any) ([]Event, error) {
	rows, err := o.db.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close()
	var events []Event
	for rows.Next() {
		var seq int64
		var text string
		if err := rows.Scan(&seq, &text); err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		var e Event
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			return nil, fmt.Errorf("read event %d: %w", seq, err)
		}
		e.Sequence = seq
		events = append(events, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return events, nil
}

// Subscribe adds a durable subscriber. It is called before Start.
func (o *Outbox) Subscribe(s Subscription) error {
	if err := CheckPattern("pattern", s.Pattern); err != nil {
		return err
	}
	if s.Name == "" || len(s.Name) > maxType || (s.Handle == nil) == (s.InTx == nil) {
		return errors.New("event: a subscription has a name, and either Handle or InTx")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.started {
		return errors.New("event: Subscribe after Start")
	}
	for _, w := range o.workers {
		if w.sub.Name == s.Name {
			return fmt.Errorf("event: two subscribers are called %q", s.Name)
		}
	}
	o.workers = append(o.workers, &worker{o: o, sub: s, wake: make(chan struct{}, 1)})
	return nil
}

// Start makes the subscribers known and begins to deliver, first what they missed. The
// context bounds the start only; Close stops.
func (o *Outbox) Start(ctx context.Context) error {
	o.mu.Lock()
	if o.started || o.closed {
		o.mu.Unlock()
		return errors.New("event: Start is called once")
	}
	o.started = true // from here on nobody subscribes
	o.mu.Unlock()
	// Whoever commits an event announces it under mu, and the commits that are asked for
	// here come after that one: mu is not held while they are waited for.
	var head int64
	if err := o.db.QueryRow(ctx, `SELECT seq FROM event_head WHERE id = 1`).Scan(&head); err != nil {
		return fmt.Errorf("read event head: %w", err)
	}
	for _, w := range o.workers {
		if err := w.register(ctx); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return errors.New("event: closed while it was started")
	}
	run, cancel := context.WithCancel(context.Background())
	o.cancel = cancel
	for _, w := range o.workers {
		o.running.Go(func() { w.run(run) })
	}
	o.running.Go(func() { o.pump(run, head) })
	o.running.Go(func() { o.retain(run) })
	return nil
}

// Close stops delivery, waits for handlers under way (their context ends) and gives the
// leases back. It may be called more than once, and without Start.
func (o *Outbox) Close() {
	o.mu.Lock()
	o.closed = true
	cancel := o.cancel
	o.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	o.running.Wait()
}
