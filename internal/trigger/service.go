package trigger

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/event"
)

// Recorder is the audit log.
type Recorder interface {
	Append(tx *db.Tx, r auditlog.Record) (auditlog.Receipt, error)
}

// Submission asks for an execution of a hook.
type Submission struct {
	Hook  string
	Input json.RawMessage
	Key   string // idempotency key, the same for every attempt
	By    caos.Principal
}

// Hooks is what triggers start: the hook service, which validates and authorises a
// submission like anybody's.
type Hooks interface {
	// Submit returns the id of the execution; the one that is there already if the key was
	// used for the same submission.
	Submit(ctx context.Context, sub Submission) (execution string, err error)

	// Known reports whether this binary has a hook.
	Known(id string) bool
}

// Sealer encrypts webhook secrets at rest; context says whose, so that a sealed value that
// was moved to another row does not open. It is auth.Sealer's interface.
type Sealer interface {
	Seal(context string, secret []byte) ([]byte, error)
	Open(context string, sealed []byte) ([]byte, error)
}

// Options are what a Service is made of. DB, Log, Events, Alerts, Auth, Hooks and Sealer are
// required.
type Options struct {
	DB     *db.DB
	Log    Recorder
	Events *event.Outbox // not started yet: New subscribes to it
	Alerts *alert.Store
	Auth   *auth.Auth
	Hooks  Hooks
	Sealer Sealer
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: slog.Default()
	Random io.Reader        // of secrets; nil: crypto/rand

	// MaxPerMinute is how often one trigger may fire in a minute; 0 means 600. A webhook
	// that is called more often is told to wait; any other trigger is stopped.
	MaxPerMinute int
}

// Service keeps the triggers of an installation and lets them fire. Its methods may be
// called from any goroutine, and any number of nodes may run one on the same database.
type Service struct {
	o Options

	mu      sync.Mutex
	cache   map[string]cached // by trigger name
	cancel  context.CancelFunc
	closed  bool
	running sync.WaitGroup
	wake    chan struct{} // holds one: there may be a firing to submit
}

// cached is a compiled row.
type cached struct {
	revision int64
	created  time.Time
	compiled *compiled
}

// Times of the work in the background.
const (
	pollEvery     = time.Second // other nodes' firings, retries, schedules
	sweepEvery    = time.Hour   // old firings
	keepFirings   = 30 * 24 * time.Hour
	submitTime    = 30 * time.Second // that one submission may take
	settleTime    = 10 * time.Second // that it may take to write down what came of it
	lease         = time.Minute      // after which a silent attempt is taken over
	workers       = 8                // submissions at once on a node
	maxAttempts   = 12               // of a submission that fails for a passing reason: about twenty minutes
	firstPause    = time.Second
	longestPause  = 5 * time.Minute
	clockDoubt    = time.Minute // how far the clocks of nodes may differ
	subscriber    = "trigger"
	defaultMaxPer = 600
)

// New makes a Service and subscribes it to the events. It does nothing before Start.
func New(o Options) (*Service, error) {
	if o.DB == nil || o.Log == nil || o.Events == nil || o.Alerts == nil || o.Auth == nil || o.Hooks == nil || o.Sealer == nil {
		return nil, errors.New("trigger: DB, Log, Events, Alerts, Auth, Hooks and Sealer are required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.MaxPerMinute <= 0 {
		o.MaxPerMinute = defaultMaxPer
	}
	s := &Service{o: o, cache: map[string]cached{}, wake: make(chan struct{}, 1)}
	// The subscriber's place is kept from the first start on: no event is missed while
	// nobody runs.
	if err := o.Events.Subscribe(event.Subscription{Name: subscriber, Pattern: "*", InTx: s.onEvent}); err != nil {
		return nil, err
	}
	return s, nil
}

// Start begins to submit what fires. The context bounds the start only; Close stops.
func (s *Service) Start(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil || s.closed {
		return errors.New("trigger: Start is called once")
	}
	run, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.running.Go(func() { s.work(run) })
	s.running.Go(func() { s.retain(run) })
	return nil
}

// Close stops the work in the background and waits for it. It may be called more than once,
// and without Start.
func (s *Service) Close() {
	s.mu.Lock()
	s.closed = true
	cancel := s.cancel
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	s.running.Wait()
}

func (s *Service) now() time.Time { return s.o.Now().UTC() }

// kick makes the worker look for firings now.
func (s *Service) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// work submits what has fired, and lets schedules fire, until ctx ends.
func (s *Service) work(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if err := s.schedules(ctx); err != nil && ctx.Err() == nil {
			s.o.Logger.Warn("schedules of triggers", "error", err)
		}
		more, err := s.dispatch(ctx)
		if err != nil && ctx.Err() == nil {
			s.o.Logger.Warn("submissions of triggers", "error", err)
		}
		if more && err == nil && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.wake:
		}
	}
}

// retain removes firings that ended long ago.
func (s *Service) retain(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		err := s.o.DB.Write(ctx, func(tx *db.Tx) error {
			tx.Exec(`DELETE FROM trigger_firings WHERE state <> 'PENDING' AND ended_at < $1`, s.now().Add(-keepFirings).UnixMicro())
			return nil
		})
		if err != nil && ctx.Err() == nil {
			s.o.Logger.Warn("old firings of triggers were not removed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// compiledOf returns the ready form of a row.
func (s *Service) compiledOf(t *Trigger) (*compiled, error) {
	s.mu.Lock()
	c, ok := s.cache[t.Name]
	s.mu.Unlock()
	if ok && c.revision == t.Revision && c.created.Equal(t.CreatedAt) {
		return c.compiled, nil
	}
	made, err := t.Definition.compile()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache[t.Name] = cached{t.Revision, t.CreatedAt, made}
	return made, nil
}
