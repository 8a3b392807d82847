package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"

	"caos/internal/alert"
	"caos/internal/anchor"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/baseline"
	"caos/internal/chain"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/dpp"
	"caos/internal/engine"
	"caos/internal/event"
	"caos/internal/evidence"
	"caos/internal/hook"
	"caos/internal/location"
	"caos/internal/notify"
	"caos/internal/object"
	"caos/internal/policy"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/secret"
	"caos/internal/trigger"
)

// Options are what the API stands on; package app fills them. A noun that is nil has no
// routes.
type Options struct {
	Version       string                 // of the program, for the OpenAPI document
	BaseURL       string                 // where clients reach the API, without a trailing slash; for absolute links
	Auth          *auth.Auth             // required
	Ready         func() error           // nil error: the installation can take work; may be nil
	PublicMetrics bool                   // serve /metrics without a credential
	Collectors    []prometheus.Collector // further metrics
	Now           func() time.Time
	Logger        *slog.Logger

	Origin    string // of the audit log, part of key statements
	MaxObject int64  // bytes of an uploaded artifact; 1 GiB if 0

	DB         *db.DB
	Log        *auditlog.Log
	Policies   *policy.Set
	Engine     *engine.Engine
	Hooks      *hook.Service
	Objects    *object.Store
	Evidence   *evidence.Repository
	Alerts     *alert.Store
	Notices    *notify.Notifier
	Events     *event.Outbox
	Triggers   *trigger.Service
	Registry   *registry.Registry
	Baselines  *baseline.Store
	Passports  *dpp.Passports
	Readiness  *readiness.Readiness
	Datasets   *dataset.Datasets
	Locations  *location.Locations // where pipelines may read and publish; without it that is found out by runs
	Secrets    *secret.Vault
	Chain      *chain.Chain
	Anchors    *anchor.Service
	Integrity  Integrity   // checks the bytes of baselines; without it they cannot be checked on demand
	CursorKey  []byte      // 32 bytes that all nodes have and nobody else, for the cursors of lists; without them cursors end with the process
	Dashboards []Dashboard // besides those of the audit log and of evidence
}

// API is the HTTP interface. It is a http.Handler.
type API struct {
	Options
	now     func() time.Time
	log     *slog.Logger
	mux     *http.ServeMux
	huma    huma.API
	metrics *metrics
	routes  []Route
	pending *endpoint // the operation that huma is registering now
	csp     []string
	cursors cursors
	pages   *pages
	openapi []byte

	draining      chan struct{} // closed by Drain
	drained       sync.Once
	passportSheet passportSheet
	checking      chan struct{} // holds one for each baseline that is being read again
	statuses      statuses
	streams       streams
	hookSchemas   map[string][]byte // by their name among the OpenAPI document's components
}

// New makes the API with the routes of all nouns that opt holds.
func New(opt Options) *API {
	a := &API{Options: opt, now: opt.Now, log: opt.Logger, mux: http.NewServeMux(), metrics: newMetrics(opt.Collectors), hookSchemas: map[string][]byte{}, draining: make(chan struct{})}
	if a.now == nil {
		a.now = time.Now
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.MaxObject <= 0 {
		a.MaxObject = 1 << 30
	}
	a.BaseURL = strings.TrimSuffix(opt.BaseURL, "/")
	a.cursors = newCursors(a.CursorKey)
	a.pages = newPages()
	a.csp = []string{a.pages.csp}
	a.huma = a.newHuma()
	a.register()
	a.openapi = a.describeAll()
	return a
}

// Drain prepares the API for its end: it is no longer ready, event streams end, and nobody
// waits any more for an execution to end. Server.Serve calls it.
func (a *API) Drain() { a.drained.Do(func() { close(a.draining) }) }

// untilDrained returns a context that ends with ctx, or when the API drains.
func (a *API) untilDrained(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-a.draining:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// newHuma makes huma without anything that it would serve by itself.
func (a *API) newHuma() huma.API {
	cfg := huma.DefaultConfig("CAOS", a.Version)
	cfg.CreateHooks = nil
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", ""
	cfg.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	cfg.Formats = formats()
	cfg.RejectUnknownQueryParameters = true
	cfg.Transformers = []huma.Transformer{a.transform}
	cfg.OnAddOperation = append(cfg.OnAddOperation, a.document)
	cfg.Info.Description = apiDescription
	cfg.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "An API token. Sensitive operations also need the header " +
			"CAOS-MFA: totp CODE; without it they answer 401 with the challenge of RFC 9470."},
	}
	return humago.New(mux{a}, cfg)
}

const apiDescription = `The control plane for certified AI models.

Bodies are JSON or YAML and read strictly: an unknown, repeated or wrongly spelled key is refused. Refusals are
application/problem+json with kind, field and hint. Lists answer {"items":[…],"next_cursor":"…"}; the next page is the
same request with cursor=next_cursor. Times are RFC 3339 in UTC.`

// register adds the routes, resource by resource.
func (a *API) register() {
	a.registerHealth()
	a.registerDocs()
	a.registerUsers()
	a.registerKeys()
	for _, resource := range []struct {
		there    bool
		register func()
	}{
		{a.Log != nil, a.registerTransparency},
		{a.Log != nil, a.registerAudit},
		{a.Engine != nil, a.registerExecutions},
		{a.Hooks != nil, a.registerHooks},
		{a.Hooks != nil, a.registerSubmission},
		{a.Objects != nil, a.registerObjects},
		{a.Evidence != nil, a.registerEvidence},
		{a.Evidence != nil, a.registerPackages},
		{a.Alerts != nil, a.registerAlerts},
		{a.Notices != nil, a.registerNotices},
		{a.Triggers != nil, a.registerTriggers},
		{a.Registry != nil, a.registerModels},
		{a.Registry != nil, a.registerDocuments},
		{a.Registry != nil, a.registerChanges},
		{a.Registry != nil, a.registerProblems},
		{a.Registry != nil, a.registerLinks},
		{a.Registry != nil, a.registerIndustrialisation},
		{a.Registry != nil, a.registerImports},
		{a.Registry != nil, a.registerBaselines},
		{a.Passports != nil && a.Log != nil, a.registerPassports},
		{a.Registry != nil && a.Hooks != nil, a.registerWhy},
		{a.Registry != nil && a.Readiness != nil, a.registerReadiness},
		{a.Datasets != nil, a.registerData},
		{a.Secrets != nil && a.Log != nil, a.registerSecrets},
		{a.Chain != nil, a.registerChain},
		{a.Anchors != nil, a.registerAnchors},
		{a.Policies != nil, a.registerPolicies},
		{true, a.registerDashboards},
	} {
		if resource.there {
			resource.register()
		}
	}
}

// registerData adds what data is made by, what it has to be, and what came of it.
func (a *API) registerData() {
	a.registerPipelines()
	a.registerContracts()
	a.registerDatasets()
	a.registerValidations()
	a.registerLineage()
}

// registerReadiness adds what a board looks at and what it decides.
func (a *API) registerReadiness() {
	a.registerChecklistTemplates()
	a.registerChecklists()
	a.registerRisks()
	a.registerCatalogues()
	a.registerCertificationPlans()
	a.registerReleases()
	a.registerDecisions()
	if a.Engine != nil && a.Objects != nil { // a vote is a decision that an execution waits for
		a.registerReviews()
	}
}
