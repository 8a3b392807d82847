package anchor

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/event"
	"caos/internal/location"
	"caos/internal/outbound"
	"caos/internal/verify"
)

// Settings are the destinations, as anchors in caos.yaml has them.
type Settings struct {
	Every      time.Duration // at most one anchor in so long; 0 means 1 h
	Chain      bool          // record checkpoints on the chain of Options.Chain
	Files      []string      // absolute paths
	S3         string        // s3://bucket/prefix, "" for none
	Retain     time.Duration // for which objects are locked; 0 means ten years
	Timestamps []Timestamp
	Witnesses  []Witness
	Quorum     int // witnesses that must have cosigned what is served; 0: the newest is served, with what cosignatures it has
}

// Timestamp is a time-stamp server (RFC 3161).
type Timestamp struct {
	URL         string
	Certificate []byte // PEM of the certificate that its tokens must lead to
}

// Witness is a witness (C2SP tlog-witness).
type Witness struct {
	Name string // what it is called in lists and alerts; that of Key if empty
	URL  string // its submission prefix
	Key  string // verifier key, <name>+<id>+<base64> with signature type 4
}

// Chain records subjects; *chain.Chain is one.
type Chain interface {
	Settings() chain.Settings
	Want(tx *db.Tx, s chain.Subject) error
	SubjectsOf(ctx context.Context, kind chain.SubjectKind, ids []string) (map[string]chain.Subject, error)
	Again(tx *db.Tx, kind chain.SubjectKind, id string, by chain.By) (*chain.Subject, error)
}

// Alerter raises alerts and closes them; *alert.Store is one.
type Alerter interface {
	Raise(tx *db.Tx, a alert.Alert) (string, error)
	Close(tx *db.Tx, id, by, reason string) (alert.Alert, error)
}

// Emitter announces events; *event.Outbox is one.
type Emitter interface {
	Emit(tx *db.Tx, e event.Event) error
}

// The events of an anchor. Their subject is the anchor's id, their data the anchor without its
// checkpoint and proof.
const (
	EventConfirmed = "caos.anchor.confirmed"
	EventFailed    = "caos.anchor.failed"
)

// Options say what a Service is made of. DB, Log, Stamps and Alerts are required.
type Options struct {
	DB        *db.DB
	Log       *auditlog.Log
	Stamps    *caos.Stamper
	Alerts    Alerter
	Events    Emitter             // nil: anchors are not announced
	Locations *location.Locations // for Settings.S3
	Chain     Chain               // for Settings.Chain
	Registry  Registry            // what Chain's contract has; nil: it is not looked at
	// Why tells with which error an execution ended, or nil if it ended well; over is false while
	// it goes on. It may be nil: then only Chain's own words are known.
	Why      func(ctx context.Context, executionID string) (over bool, failure *caos.Error, err error)
	HTTP     *http.Client // to servers and witnesses; nil: outbound's, to the addresses in Settings alone
	Settings Settings
	Now      func() time.Time
	Logger   *slog.Logger
	Node     string // name of this node among several

	// AlertAfter is for how long a destination may fail before somebody is alerted; 0 means 1 h.
	AlertAfter time.Duration
	// Patience is how long one destination may take; 0 means 1 min.
	Patience time.Duration
}

// Service anchors the log. Its methods may be called from any goroutine.
type Service struct {
	opt  Options
	node string
	dest []*place
	// what witnesses have cosigned, the newest first; nil until it was read
	cosigned atomic.Pointer[[]cosigned]
}

// place is a configured destination, and who is at it in this process.
type place struct {
	destination
	busy  sync.Mutex
	asked atomic.Bool          // it has not answered yet, however long ago that was
	quiet atomic.Pointer[span] // that was found to hold nothing but what anchoring itself recorded
	nudge chan struct{}        // holds one at most: look now, not at the next tick
}

// span is leaves from to to-1 of a log.
type span struct {
	origin   string
	from, to int64
}

// destination is somebody who can be given a checkpoint.
type destination interface {
	kind() string
	name() string
	// give gives it a checkpoint. What it answers was checked.
	give(ctx context.Context, g given) (got, error)
}

// given is a checkpoint for a destination.
type given struct {
	note  []byte // signed by the log
	point verify.Checkpoint
	last  int64 // largest size of this log that it confirmed before, 0 for none
	at    time.Time
}

// got is what a destination answered.
type got struct {
	cosignature []byte    // line of a witness
	proof       []byte    // of a time-stamp server
	place       string    // of an object
	proved      time.Time // by the destination's clock
	pending     bool      // it is confirmed later
	none        bool      // it has a larger one of the same log, or one is on its way
}

// Open checks the settings; it asks nobody. Errors have a field below "anchors".
func Open(opt Options) (*Service, error) {
	if opt.DB == nil || opt.Log == nil || opt.Stamps == nil || opt.Alerts == nil {
		return nil, caos.Errorf(caos.Internal, "anchors need a database, an audit log, a stamper and alerts")
	}
	fill(&opt.Settings.Every, time.Hour)
	fill(&opt.Settings.Retain, 10*365*24*time.Hour)
	fill(&opt.AlertAfter, time.Hour)
	fill(&opt.Patience, time.Minute)
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.Default()
	}
	if opt.HTTP == nil {
		opt.HTTP = outbound.New(outbound.Config{Allow: opt.Settings.allowed(), Timeout: opt.Patience, MaxBytes: 1 << 20, MaxRedirects: -1}).Client()
	}
	s := &Service{opt: opt, node: opt.Node + "/" + rand.Text()}
	all, err := s.destinations()
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, d := range all {
		if seen[d.kind()+" "+d.name()] {
			return nil, invalid("anchors", "the %s %.200q is there twice", d.kind(), d.name())
		}
		seen[d.kind()+" "+d.name()] = true
		s.dest = append(s.dest, &place{destination: d, nudge: make(chan struct{}, 1)})
	}
	return s, nil
}

func fill(v *time.Duration, def time.Duration) {
	if *v <= 0 {
		*v = def
	}
}

func invalid(field, format string, args ...any) *caos.Error {
	return caos.Errorf(caos.Invalid, format, args...).WithField(field)
}

// allowed is where requests may go although it is private or plain http: an administrator
// named these addresses.
func (s Settings) allowed() []string {
	var out []string
	add := func(address string) {
		if u, err := url.Parse(address); err == nil && u.Host != "" {
			out = append(out, location.HostPort(u))
		}
	}
	for _, t := range s.Timestamps {
		add(t.URL)
	}
	for _, w := range s.Witnesses {
		add(w.URL)
	}
	return out
}

// destinations makes those that are configured.
func (s *Service) destinations() ([]destination, error) {
	set := s.opt.Settings
	var all []destination
	if set.Chain {
		if s.opt.Chain == nil || s.opt.Chain.Settings().Registry == "" {
			return nil, invalid("anchors.chain", "there is no chain with a registry").WithHint("configure chain with its registry, or leave anchors.chain out")
		}
		all = append(all, &onChain{s: s, set: s.opt.Chain.Settings()})
	}
	if set.S3 != "" {
		d, err := newObject(s, set.S3)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	for i, path := range set.Files {
		if !strings.HasPrefix(path, "/") {
			return nil, invalid(fmt.Sprintf("anchors.files[%d]", i), "%.200q is not an absolute path", path)
		}
		all = append(all, &file{s: s, path: path, sink: auditlog.NewFileSink(path)})
	}
	for i, t := range set.Timestamps {
		d, err := newStamper(s, t)
		if err != nil {
			return nil, within(fmt.Sprintf("anchors.timestamps[%d]", i), err)
		}
		all = append(all, d)
	}
	for i, w := range set.Witnesses {
		d, err := newWitness(s, w)
		if err != nil {
			return nil, within(fmt.Sprintf("anchors.witnesses[%d]", i), err)
		}
		all = append(all, d)
	}
	// Nor may a witness be there under two names: its word would be counted twice, and no trust
	// file could name it so.
	beside := verify.Trust{Origin: "none.invalid"}
	keys := verify.Outsiders{}
	for _, w := range set.Witnesses {
		keys.Witnesses = append(keys.Witnesses, w.Key)
	}
	if err := beside.Admit(keys); err != nil {
		return nil, caos.AsError(err).WithField("anchors.witnesses")
	}
	if set.Quorum < 0 || set.Quorum > len(set.Witnesses) {
		return nil, invalid("anchors.quorum", "a quorum of %d of %d witnesses", set.Quorum, len(set.Witnesses)).WithHint("at most as many as there are")
	}
	return all, nil
}

// within puts the field of a setting before that of an error.
func within(field string, err error) error {
	e := caos.AsError(err)
	return e.WithField(field + "." + e.Field)
}

// kinds are those that are configured.
func (s *Service) kinds() []string {
	out := []string{}
	for _, p := range s.dest {
		if !slices.Contains(out, p.kind()) {
			out = append(out, p.kind())
		}
	}
	return out
}

// Configured reports whether there is any destination.
func (s *Service) Configured() bool { return len(s.dest) > 0 }

// Run anchors by schedule until ctx ends.
func (s *Service) Run(ctx context.Context) {
	every := min(max(s.opt.Settings.Every/10, 100*time.Millisecond), 5*time.Second)
	var all sync.WaitGroup
	defer all.Wait()
	for _, p := range s.dest {
		all.Go(func() { s.loop(ctx, every, p.nudge, func() { s.tick(ctx, p) }) })
	}
	if s.witnessed() {
		all.Go(func() {
			s.loop(ctx, every, nil, func() {
				if err := s.refresh(ctx); err != nil && ctx.Err() == nil {
					s.opt.Logger.Warn("cosignatures could not be read", slog.Any("error", err))
				}
			})
		})
	}
}

// Nudge has the chain looked at now for what became of checkpoints, where Run would look some
// seconds later. It never waits and may be called by anybody, as often as they like.
func (s *Service) Nudge() {
	for _, p := range s.dest {
		if p.kind() != verify.AnchorChain {
			continue
		}
		select {
		case p.nudge <- struct{}{}:
		default: // it looks soon anyway
		}
	}
}

func (s *Service) loop(ctx context.Context, every time.Duration, nudge <-chan struct{}, do func()) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		do()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-nudge:
		}
	}
}

// tick looks whether a destination is due.
func (s *Service) tick(ctx context.Context, p *place) {
	if !p.busy.TryLock() {
		return // somebody asked for an anchor just now
	}
	defer p.busy.Unlock()
	held := false
	err := s.follow(ctx, p)
	if err == nil {
		held, err = s.watch(ctx, p)
	}
	if err == nil && !held {
		err = s.attempt(ctx, p, "")
	}
	if err != nil && ctx.Err() == nil {
		s.opt.Logger.Warn("the log could not be anchored", slog.String("kind", p.kind()), slog.String("destination", p.name()), slog.Any("error", err))
	}
}

// Now anchors the newest checkpoint at once at the destinations of some kinds, all when none
// is named, and returns how it stands with these. by is who asked for it. That a destination
// fails is no error: its state says so.
//
// Errors: Invalid (field kinds) for a kind that is not configured; Unavailable (rule
// anchors-unconfigured) without any destination, and in recovery mode.
func (s *Service) Now(ctx context.Context, by caos.Principal, kinds ...string) ([]Destination, error) {
	if !s.Configured() {
		return nil, unconfigured()
	}
	for _, k := range kinds {
		if !slices.Contains(s.kinds(), k) {
			return nil, invalid("kinds", "no destination of the kind %.40q is configured", k).WithHint("one of %s", strings.Join(s.kinds(), ", "))
		}
	}
	if _, err := s.opt.Log.Checkpoint(ctx); err != nil {
		return nil, err
	}
	var all sync.WaitGroup
	var asked []*place
	failed := make([]error, len(s.dest))
	for i, p := range s.dest {
		if len(kinds) > 0 && !slices.Contains(kinds, p.kind()) {
			continue
		}
		asked = append(asked, p)
		all.Go(func() {
			p.busy.Lock()
			defer p.busy.Unlock()
			failed[i] = s.attempt(ctx, p, by.ID)
		})
	}
	all.Wait()
	for _, err := range failed {
		if err != nil && caos.KindOf(err) != caos.Conflict { // a database that does not answer; what a destination did is in its row
			return nil, err
		}
	}
	return s.standings(ctx, asked)
}

func unconfigured() error {
	return caos.Errorf(caos.Unavailable, "no destination for anchors is configured").WithRule("anchors-unconfigured").
		WithHint("an administrator adds anchors to caos.yaml: files, s3, timestamps, witnesses or chain; see docs/anchors.md")
}
