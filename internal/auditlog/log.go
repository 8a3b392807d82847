package auditlog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/db"
	"caos/internal/sign"
	"caos/internal/verify"
)

// Options say what a log is made of. DB, Origin and Stamps are required.
type Options struct {
	DB     *db.DB
	Keys   *sign.Keys    // nil: nothing is signed
	Origin string        // first line of checkpoints; successors append /2, /3, …
	Stamps *caos.Stamper // its floor must not be below LastTime
	Sink   Sink          // where checkpoints are published; nil: nowhere
	Now    func() time.Time
	Log    *slog.Logger
	// Outsiders are those beside the operator whom its trust files name: witnesses,
	// time-stamp servers, chains.
	Outsiders verify.Outsiders
	// PublishEvery is how often a checkpoint that changed is published; 0 means 1 s.
	PublishEvery time.Duration
}

// Log is an open audit log. Its methods may be called from any goroutine.
type Log struct {
	db     *db.DB
	keys   *sign.Keys
	base   string // origin of the first generation
	stamps *caos.Stamper
	sink   Sink
	beside verify.Outsiders
	now    func() time.Time
	log    *slog.Logger

	unpublished bool // when it was opened; written by start alone

	mu       sync.Mutex
	head     head                // as of the last commit this node saw
	edge     *edge               // of head; nil: read it again
	next     *sealed             // what the transaction under way makes of it
	given    map[string]struct{} // ids that callers chose, in the transaction under way
	recovery string              // why the log is in recovery mode, "" if it is not
	dispute  *Dispute            // why recovery was entered, if not for what was published
	damage   string              // why nothing at all can be appended, "" if it can

	noteMu  sync.Mutex // held while signing
	noteOf  head
	note    []byte
	changed chan struct{} // has room for one: something was committed
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once
}

// head is the one row that says how long the log is.
type head struct {
	generation int64
	origin     string
	size       int64
	root       tlog.Hash
	lastTime   int64 // microseconds
}

// Receipt is what the caller of Append learns at once.
type Receipt struct {
	ID   string // of the record
	Hash string // "SHA256:" and hex of the leaf's RFC 6962 hash
}

// indexBits is the room for leaf indices in a position.
const indexBits = 40

// position is where a leaf stands among those of all generations.
func position(generation, index int64) int64 { return generation<<indexBits | index }

func splitPosition(seq int64) (generation, index int64) {
	return seq >> indexBits, seq & (1<<indexBits - 1)
}

// originOf is the origin of a generation.
func originOf(base string, generation int64) string {
	if generation <= 1 {
		return base
	}
	return fmt.Sprintf("%s/%d", base, generation)
}

// LastTime returns the latest moment that was given to a record, the floor for the
// Stamper that Open wants. It is 1970 for an empty log.
func LastTime(ctx context.Context, d *db.DB) (time.Time, error) {
	h, err := readHead(ctx, d)
	if err != nil && !errors.Is(err, errNoLog) {
		return time.Time{}, err
	}
	return time.UnixMicro(h.lastTime).UTC(), nil
}

// Kept reports whether the log of a database has a record of an id that was minted for one
// transaction: whether that was committed, where its answer was lost.
func Kept(ctx context.Context, d *db.DB, id string) (bool, error) {
	var n int
	err := d.QueryRow(ctx, `SELECT COUNT(*) FROM audit_records WHERE id = $1`, id).Scan(&n)
	return n > 0, err
}

// Open opens the log, makes it the database's sealer and begins an empty one with the
// births of its keys. If the log is shorter than its last published checkpoint, or
// differs from it, it opens in recovery mode, which is no error.
func Open(ctx context.Context, opt Options) (*Log, error) {
	l := &Log{
		db: opt.DB, keys: opt.Keys, base: opt.Origin, stamps: opt.Stamps, sink: opt.Sink, beside: opt.Outsiders,
		now: opt.Now, log: opt.Log,
		changed: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.log == nil {
		l.log = slog.Default()
	}
	if err := verify.CheckOrigin(opt.Origin); err != nil {
		return nil, err
	}
	if err := (&verify.Trust{Origin: opt.Origin}).Admit(opt.Outsiders); err != nil {
		return nil, err // here, and not when somebody asks for the trust file
	}
	if err := l.start(ctx); err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	every := opt.PublishEvery
	if every <= 0 {
		every = time.Second
	}
	go l.publishLoop(every)
	return l, nil
}

// start reads the head, making it first if need be, and compares it with what was
// published.
func (l *Log) start(ctx context.Context) error {
	empty := emptyRoot()
	err := l.db.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`INSERT INTO log_head (one, generation, origin, size, root, last_time)
			VALUES (1, 1, $1, 0, $2, 0) ON CONFLICT (one) DO NOTHING`, l.base, empty[:])
		return nil
	})
	if err != nil {
		return err
	}
	h, err := readHead(ctx, l.db)
	if err != nil {
		return err
	}
	if want := originOf(l.base, h.generation); h.origin != want {
		return caos.Errorf(caos.Conflict, "the log's origin is %q, the configuration says %q", h.origin, want).
			WithField("origin").WithHint("an origin is for ever: configure the one the log has")
	}
	if l.recovery, err = l.compare(ctx, h); err != nil {
		return err
	}
	if l.unpublished, err = l.neverPublished(ctx, h); err != nil {
		return err
	}
	if l.unpublished {
		l.log.Warn("no checkpoint of this log is published where it should be: that it was not cut short cannot be told", slog.Int64("leaves", h.size))
	}
	l.head.generation = h.generation // so that Begin notices a successor; it reads the rest
	if l.recovery != "" {
		l.log.Error("the audit log is in recovery mode", slog.String("reason", l.recovery))
	}
	l.db.SetSealer(l)
	if l.recovery == "" && l.keys != nil {
		return l.recordBirths(ctx)
	}
	return nil
}

var errNoLog = errors.New("auditlog: the database holds no log")

// Close publishes a last checkpoint and ends the log's own work. The database must still
// be open.
func (l *Log) Close() error {
	var err error
	l.once.Do(func() {
		close(l.stop)
		<-l.stopped
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = l.Publish(ctx)
	})
	return err
}

// Append adds a record to the log with the transaction that tx belongs to. The record's
// index is known only once that is committed; its id and hash are known at once. An error
// means that nothing may happen: return it from the function.
func (l *Log) Append(tx *db.Tx, r Record) (Receipt, error) {
	if err := l.refusal(r.Type); err != nil {
		return Receipt{}, err
	}
	if err := r.check(); err != nil {
		return Receipt{}, err
	}
	given := r.ID
	e, err := l.prepare(r)
	if err != nil {
		return Receipt{}, err
	}
	if given != "" && !r.Minted {
		if err := l.reserve(tx, given); err != nil {
			return Receipt{}, err
		}
	}
	tx.Emit(e)
	return Receipt{ID: e.id, Hash: verify.FormatHash(e.hash)}, nil
}

// entry is a record on its way into the log.
type entry struct {
	record *Record // with the id and time that it got
	id     string
	text   []byte // the record in canonical JSON
	leaf   []byte
	salt   [32]byte
	hash   tlog.Hash
	at     int64       // moment of Append, microseconds
	opens  *succession // not nil: first leaf of a successor log
}

// prepare gives a checked record its id and time and makes its leaf.
func (l *Log) prepare(r Record) (*entry, error) {
	// A stamp is taken even if it is not needed: the head's last time must not be below
	// any moment that this node gave to an id before.
	at := l.stamps.Next()
	if r.ID == "" {
		r.ID = "AUDIT-" + caos.Stamp(at)
	}
	if r.Time.IsZero() {
		r.Time = at
	}
	r.Time = r.Time.UTC().Truncate(time.Microsecond)
	e := &entry{id: r.ID, record: &r, at: at.UnixMicro()}
	var err error
	if e.text, err = r.encode(make([]byte, 0, 1024)); err != nil {
		return nil, err
	}
	if _, err := rand.Read(e.salt[:]); err != nil {
		return nil, caos.Wrap(caos.Internal, err, "no random numbers")
	}
	e.leaf = verify.LeafBytes(r.ID, caos.FormatTime(r.Time), string(r.Type), verify.Commitment(e.salt, e.text))
	if e.leaf == nil {
		return nil, caos.Errorf(caos.Internal, "the leaf of %s cannot be written", r.ID)
	}
	e.hash = verify.RecordHash(e.leaf)
	return e, nil
}

// reserve refuses an id that a caller chose if it is taken. A duplicate found only at the
// seal would fail everybody's transaction.
func (l *Log) reserve(tx *db.Tx, id string) error {
	var n int64
	if err := tx.QueryRow(`SELECT count(*) FROM audit_records WHERE id = $1`, id).Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return caos.Errorf(caos.Conflict, "the record %s exists", id).WithField("id").
			WithHint("leave the id empty: the log gives one")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, taken := l.given[id]; taken {
		return caos.Errorf(caos.Unavailable, "the record %s is just being written", id).WithField("id").WithHint("try again")
	}
	if l.given == nil {
		l.given = map[string]struct{}{}
	}
	l.given[id] = struct{}{}
	return nil
}
