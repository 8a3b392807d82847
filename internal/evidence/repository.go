package evidence

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/object"
	"caos/internal/sign"
	"caos/internal/verify"
)

// Options say what a repository is made of. Objects, Log, Keys, DB and Stamps are needed.
type Options struct {
	DB      *db.DB
	Objects *object.Store
	Log     *auditlog.Log
	Keys    *sign.Keys
	Stamps  *caos.Stamper
	Now     func() time.Time

	HTTP    *http.Client  // fetches https addresses; nil refuses them. It has to be outbound's.
	Roots   []string      // folders that file:// addresses may name files in
	Scratch string        // folder for artifacts on their way in; "" for the system's
	Limits  Limits        // of artifacts
	Retain  time.Duration // how long an artifact is kept at least; 0 for no floor

	// Companions lists what goes into every export of a package about a model; nil for
	// nothing.
	Companions func(ctx context.Context, modelID string) ([]Companion, error)
	// Anchors returns, of each that the log's checkpoints are given to, the newest of at most
	// size leaves. It goes into every export; nil for none.
	Anchors func(ctx context.Context, origin string, size int64) ([]verify.AnchorFile, error)
}

// Repository is the evidence repository. Its methods may be called from any goroutine.
type Repository struct {
	db      *db.DB
	objects *object.Store
	log     *auditlog.Log
	keys    *sign.Keys
	stamps  *caos.Stamper
	now     func() time.Time
	http    *http.Client
	roots   []string
	scratch string
	lim     Limits
	retain  time.Duration

	companions func(ctx context.Context, modelID string) ([]Companion, error)
	anchors    func(ctx context.Context, origin string, size int64) ([]verify.AnchorFile, error)
}

// New returns a repository.
func New(opt Options) (*Repository, error) {
	r := &Repository{
		db: opt.DB, objects: opt.Objects, log: opt.Log, keys: opt.Keys, stamps: opt.Stamps, now: opt.Now,
		http: opt.HTTP, scratch: opt.Scratch, lim: opt.Limits.filled(), retain: opt.Retain, companions: opt.Companions, anchors: opt.Anchors,
	}
	if r.now == nil {
		r.now = time.Now
	}
	for _, root := range opt.Roots {
		abs, err := filepath.Abs(root)
		if err != nil {
			return nil, fmt.Errorf("evidence: folder %s: %w", root, err)
		}
		r.roots = append(r.roots, abs)
	}
	return r, nil
}

// NewID mints the id of an evidence item about a model: EVID-FCS-<timestamp>.
func (r *Repository) NewID(modelID string) string {
	return r.stamps.ID("EVID-" + caos.ShortID(modelID) + "-")
}

// ArtifactPath is where the artifact of an item is served, under the server's address.
func ArtifactPath(evidenceID string) string { return "/v1/evidence/" + evidenceID + "/artifact" }

// query reads rows, from the read pool or inside a transaction.
type query = db.Query

func (r *Repository) pool(ctx context.Context) query {
	return r.db.Reader(ctx)
}

func within(tx *db.Tx) query { return tx.Query }
