package anchor

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/event"
	"caos/internal/location"
	"caos/internal/verify"
)

// Settings are the destinations, as anchors in caos.yaml has them.
type Settings struct {
	Every      time.Duration // at most one anchor in so long; 1 h
	Chain      bool          // record checkpoints on the chain
	ChainID    uint64        // of the chain that Options.Chain records on
	Registry   string        // 0x… of the ProductionRegistry there
	Files      []string      // absolute paths
	S3         string        // s3://bucket/prefix, "" for none
	Retain     time.Duration // for which objects are locked; ten years
	Timestamps []Timestamp
	Witnesses  []Witness
	Quorum     int      // witnesses that must have cosigned what is served; 0: the newest is served, with what cosignatures it has
	Allow      []string // host:port that may be private or spoken to by plain http
}

// Timestamp is a time-stamp server (RFC 3161).
type Timestamp struct {
	URL         string // https://…
	Certificate []byte // PEM of the certificate that its tokens chain to
}

// Witness is a witness (C2SP tlog-witness).
type Witness struct {
	Name string // of its key, such as witness.example/w1; that of Key if empty
	URL  string // its submission prefix
	Key  string // verifier key, <name>+<id>+<base64> with signature type 4
}

// Alerter raises alerts; *alert.Store is one.
type Alerter interface {
	Raise(tx *db.Tx, a alert.Alert) (string, error)
}

// Emitter announces events; *event.Outbox is one.
type Emitter interface {
	Emit(tx *db.Tx, e event.Event) error
}

// Options say what a Service is made of. DB, Log and Stamps are required.
type Options struct {
	DB        *db.DB
	Log       *auditlog.Log
	Stamps    *caos.Stamper
	Events    Emitter             // nil: anchors are not announced
	Alerts    Alerter             // nil: nobody is alerted
	Locations *location.Locations // for Settings.S3
	HTTP      *http.Client        // to servers and witnesses; nil: outbound's, with Settings.Allow
	Settings  Settings
	Now       func() time.Time
	Logger    *slog.Logger
	Node      string // name of this node among several
}

// Service anchors the log. Its methods may be called from any goroutine.
type Service struct {
	opt Options
}

// Open checks the settings; it asks nobody.
func Open(opt Options) (*Service, error) {
	return &Service{opt: opt}, nil
}

// Run anchors by schedule until ctx ends.
func (s *Service) Run(ctx context.Context) { <-ctx.Done() }

// Now anchors the newest checkpoint at once at the destinations of some kinds, all when none
// is named, and returns what came of it. by is who asked for it.
//
// Errors: Invalid (kinds) for a kind that is not configured; Unavailable (rule
// anchors-unconfigured) without any destination.
func (s *Service) Now(ctx context.Context, by caos.Principal, kinds ...string) ([]Destination, error) {
	return nil, caos.Errorf(caos.Unavailable, "no destination for anchors is configured").WithRule("anchors-unconfigured")
}

// Status tells how it stands with every configured destination.
func (s *Service) Status(ctx context.Context) (*Status, error) { return &Status{}, nil }

// List returns anchors, the newest first. next is the cursor of the following page, "" after
// the last.
func (s *Service) List(ctx context.Context, f Filter, cursor string) (page []*Anchor, next string, err error) {
	return []*Anchor{}, "", nil
}

// Anchors returns the confirmed anchors of a log from which the record at an index follows:
// for each destination the smallest checkpoint of size leaves or more.
func (s *Service) Anchors(ctx context.Context, origin string, size int64) ([]verify.AnchorFile, error) {
	return nil, nil
}

// Checkpoint returns what /log/checkpoint serves: the log's newest checkpoint with the
// cosignatures that there are of it, or, where a quorum is configured, the newest that as many
// witnesses have cosigned.
func (s *Service) Checkpoint(ctx context.Context) ([]byte, error) { return s.opt.Log.Checkpoint(ctx) }
