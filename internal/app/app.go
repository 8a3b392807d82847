// Package app wires the nouns together: it is the only package that knows all of them. An
// App is one node as a value: New, Start, Stop. Tests start the same thing on port 0.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"caos"
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
	"caos/internal/httpapi"
	"caos/internal/location"
	"caos/internal/notify"
	"caos/internal/object"
	"caos/internal/outbound"
	"caos/internal/policy"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/secret"
	"caos/internal/sign"
	"caos/internal/trigger"
	"caos/internal/worker"
)

// App is one node.
type App struct {
	cfg     Config
	logger  *slog.Logger
	version string
	now     func() time.Time

	// What Start opened, in that order; Stop closes it in the other.
	closers []closer

	db        *db.DB
	keys      *sign.Keys
	stamps    *caos.Stamper
	node      engine.Node
	policies  *policy.Set
	log       *auditlog.Log
	events    *event.Outbox
	alerts    *alert.Store
	auth      *auth.Auth
	notifier  *notify.Notifier
	objects   *object.Store
	evidence  *evidence.Repository
	registry  *registry.Registry
	frozen    *baseline.Store
	readiness *readiness.Readiness
	dpp       *dpp.Passports
	vault     *secret.Vault
	locations *location.Locations
	datasets  *dataset.Datasets
	worker    *worker.Runner
	chain     *chain.Chain
	recorded  hook.ChainPolicy    // what is recorded on it
	accounts  map[string]*account // that pay for it, by name
	pins      *dpp.Pinner         // nil without an IPFS node
	anchors   *anchor.Service
	checks    *integrity
	hooks     []*hook.Hook

	stillReady func(tx *db.Tx, s readiness.Subject) error // whether a version that two people sign is as its review found it

	engine   *engine.Engine
	service  *hook.Service
	sealer   *auth.FileSealer
	triggers *trigger.Service
	metrics  *metrics

	url    string
	cert   atomic.Pointer[tls.Certificate]
	failed chan error
}

type closer struct {
	what string
	fn   func(context.Context) error
}

// New returns a node that is not running yet. logger may be nil.
func New(cfg Config, logger *slog.Logger, version string) *App {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &App{cfg: cfg, logger: logger, version: version, now: time.Now, failed: make(chan error, 1)}
}

// Start opens everything, recovers what an earlier process left, and serves. What an error
// leaves half open is closed again.
func (a *App) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
		}
	}()
	// The address is taken first: it is what a second start would fail at, and output URIs
	// need it.
	l, err := net.Listen("tcp", a.cfg.Listen)
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "cannot listen on %s", a.cfg.Listen).WithField("listen").
			WithHint("choose another address with --listen")
	}
	a.onStop("listener", func(context.Context) error { _ = l.Close(); return nil }) // closed by the server in the usual case
	a.url = a.cfg.address(l.Addr().String())
	if err := a.open(ctx); err != nil {
		return err
	}
	if err := a.start(ctx); err != nil {
		return err
	}
	return a.serve(l)
}

// URL is how clients reach the node, once it has started.
func (a *App) URL() string { return a.url }

// Wait returns a channel that gets the error by which a running node failed.
func (a *App) Wait() <-chan error { return a.failed }

// Stop ends the node: no new requests, then the engine, then what they stood on. It may be
// called after a failed Start.
func (a *App) Stop(ctx context.Context) error {
	var errs error
	for len(a.closers) > 0 {
		c := a.closers[len(a.closers)-1]
		a.closers = a.closers[:len(a.closers)-1]
		if err := c.fn(ctx); err != nil {
			errs = errors.Join(errs, fmt.Errorf("stop %s: %w", c.what, err))
		}
	}
	return errs
}

func (a *App) onStop(what string, fn func(context.Context) error) {
	a.closers = append(a.closers, closer{what, fn})
}

// open opens the database, the keys, the log and the nouns, bottom up.
func (a *App) open(ctx context.Context) (err error) {
	if a.cfg.sqlite() {
		f, err := lock(a.cfg.path("lock"))
		if err != nil {
			return err
		}
		a.onStop("lock", func(context.Context) error { return f.Close() })
	}
	if a.policies, err = loadPolicies(a.cfg.Policies); err != nil {
		return err
	}
	if err := a.openLog(ctx); err != nil {
		return err
	}
	if err := a.openNouns(); err != nil {
		return err
	}
	if err := a.openData(ctx); err != nil {
		return err
	}
	if err := a.openChain(); err != nil {
		return err
	}
	if err := a.openPins(); err != nil {
		return err
	}
	if err := a.openAnchors(); err != nil {
		return err
	}
	return a.openHooks(ctx)
}

func loadPolicies(dir string) (*policy.Set, error) {
	if dir == "" {
		return policy.Load()
	}
	return policy.Load(os.DirFS(dir))
}

// openLog opens what every audited write needs.
func (a *App) openLog(ctx context.Context) (err error) {
	budget, err := time.ParseDuration(a.cfg.WriteBudget)
	if err != nil {
		return fmt.Errorf("write_budget: %w", err)
	}
	if a.db, err = db.Open(ctx, db.Options{URL: a.cfg.databaseURL(), Now: a.now, Budget: budget, Log: a.logger}); err != nil {
		return err
	}
	a.onStop("database", func(context.Context) error { return a.db.Close() })
	if a.keys, err = sign.OpenKeys(a.cfg.path("keys")); err != nil {
		return err
	}
	a.onStop("keys", func(context.Context) error { return a.keys.Close() })
	floor, err := auditlog.LastTime(ctx, a.db)
	if err != nil {
		return err
	}
	if a.node, err = engine.ClaimNode(ctx, a.db, a.cfg.Node); err != nil {
		return err
	}
	a.stamps = caos.NewStamper(a.now, floor, a.node.Slot, a.node.Slots)
	every, err := time.ParseDuration(a.cfg.PublishEvery)
	if err != nil {
		return fmt.Errorf("publish_every: %w", err)
	}
	outsiders, err := a.cfg.outsiders()
	if err != nil {
		return err
	}
	a.log, err = auditlog.Open(ctx, auditlog.Options{Outsiders: outsiders, DB: a.db, Keys: a.keys, Origin: a.cfg.Origin, Stamps: a.stamps,
		Sink: auditlog.NewFileSink(a.cfg.Published), Now: a.now, Log: a.logger, PublishEvery: every})
	if err != nil {
		return err
	}
	a.onStop("audit log", func(context.Context) error { return a.log.Close() })
	return nil
}

func (a *App) openNouns() (err error) {
	if a.events, err = event.Open(event.Options{DB: a.db, Stamps: a.stamps, Now: a.now, Log: a.logger, Node: a.node.Name, Source: "/caos/" + a.cfg.Origin,
		OnPark: func(tx *db.Tx, p event.Parked) error { return a.alerts.EventParked(tx, p) }}); err != nil {
		return err
	}
	a.alerts = alert.New(a.db, a.events, a.stamps, a.now)
	if a.sealer, err = auth.OpenFileSealer(a.cfg.path("keys")); err != nil {
		return err
	}
	if a.auth, err = auth.New(auth.Options{DB: a.db, Log: a.log, Policies: a.policies, Sealer: a.sealer, Origin: a.cfg.Origin, Now: a.now, Logger: a.logger}); err != nil {
		return err
	}
	if a.notifier, err = notify.New(notify.Options{DB: a.db, Stamps: a.stamps, People: a.auth, Alerts: a.alerts, Now: a.now, Log: a.logger}); err != nil {
		return err
	}
	if a.objects, err = object.Open(a.cfg.path("objects"), a.db, a.now); err != nil {
		return err
	}
	a.onStop("objects", func(context.Context) error { return a.objects.Close() })
	limit := min(a.cfg.MaxEvidence, a.cfg.MaxArtifact)
	out := outbound.New(outbound.Config{Allow: a.cfg.FetchAllow, MaxBytes: limit})
	a.evidence, err = evidence.New(evidence.Options{DB: a.db, Objects: a.objects, Log: a.log, Keys: a.keys, Stamps: a.stamps, Now: a.now,
		HTTP: out.Client(), Roots: a.cfg.FileRoots, Scratch: a.cfg.path("objects"), Limits: evidence.Limits{MaxBytes: limit}, Companions: a.companions, Anchors: a.anchored})
	if err != nil {
		return err
	}
	return a.openRegistry()
}

// openRegistry opens what is known about models, and what is frozen of them.
func (a *App) openRegistry() (err error) {
	if a.registry, err = registry.Open(registry.Options{DB: a.db, Objects: a.objects, Log: a.log, Events: a.events, Now: a.now,
		Reclassified: func(tx *db.Tx, id, classification string) error {
			return a.reclassified(tx, id, classification)
		},
		Reassessed: func(tx *db.Tx, id, safetyLevel string) error {
			return a.readiness.Reassess(tx, id, safetyLevel)
		}}); err != nil {
		return err
	}
	if a.frozen, err = baseline.Open(a.cfg.path("baselines"), a.now); err != nil {
		return err
	}
	a.onStop("baselines", func(context.Context) error { return a.frozen.Close() })
	if a.dpp, err = dpp.Open(dpp.Options{DB: a.db, Objects: a.objects, Log: a.log, Keys: a.keys, Now: a.now, BaseURL: a.url, Origin: a.cfg.Origin,
		Events: a.events, Related: related{a}, Classified: a.classified}); err != nil {
		return err
	}
	a.checks = &integrity{db: a.db, log: a.log, alerts: a.alerts, registry: a.registry, baselines: a.frozen, keys: a.keys, logger: a.logger}
	return a.openReadiness()
}

func (a *App) openHooks(ctx context.Context) (err error) {
	parts := hook.Collaborators{
		Directory: &directory{auth: a.auth, log: a.log, evidence: a.evidence, registry: a.registry, dpp: a.dpp, hooks: func() []*hook.Hook { return a.hooks }},
		Policies:  a.policies, Evidence: a.evidence, Objects: a.objects, Notifier: a.notifier, BaseURL: a.url,
		People: a.auth, Allowed: a.auth.Authorize, Registry: a.registry, Baselines: a.frozen, Readiness: a.readiness, Passports: a.dpp, Keys: a.keys,
		DB: a.db, Log: a.log, Now: a.now,
		Datasets: a.datasets, Locations: a.locations, Worker: a.worker, Events: a.events, Alerts: a.alerts, Listens: a.listening, Compute: a.compute, Scratch: a.scratch(),
		Chain: a.recorded,
	}
	a.hooks = hook.Catalog(parts)
	a.stillReady = hook.StillReady(parts)
	if err := a.events.Subscribe(event.Subscription{Name: "freeze-proposals", Pattern: registry.EventDocumentRegistered, InTx: hook.ProposeFreeze(parts)}); err != nil {
		return err
	}
	if err := a.events.Subscribe(event.Subscription{Name: "prr-proposals", Pattern: hook.EventChecklistCompleted, InTx: hook.ProposePRR(parts)}); err != nil {
		return err
	}
	check, err := hook.OutputCheck(a.hooks)
	if err != nil {
		return err
	}
	o := engine.Options{DB: a.db, Log: a.log, Stamps: a.stamps, Now: a.now, Flows: hook.Flows(a.hooks), Slots: a.cfg.Slots, Node: a.node.Name,
		Budget: engine.Resources{MemoryBytes: a.cfg.MemoryBytes, Threads: a.cfg.Threads, Slots: a.cfg.Slots},
		Logger: a.logger, Announce: a.announce, CheckOutput: check, Halted: func(string) error { return a.ready() }, OnFinal: func(x engine.Execution) { a.metrics.count(x) }}
	if !a.cfg.sqlite() {
		o.River = &engine.RiverOptions{URL: a.cfg.Database, Lost: func() {
			a.fail(caos.Errorf(caos.Unavailable, "this node was silent for too long and its place was given away").WithHint("start it again"))
		}}
	}
	if a.engine, err = engine.New(o); err != nil {
		return err
	}
	a.metrics = newMetrics(a.engine.Allocator())
	if a.service, err = hook.NewService(ctx, hook.ServiceOptions{DB: a.db, Engine: a.engine, Auth: a.auth, Log: a.log, Hooks: a.hooks, Now: a.now, Logger: a.logger}); err != nil {
		return err
	}
	a.triggers, err = trigger.New(trigger.Options{DB: a.db, Log: a.log, Events: a.events, Alerts: a.alerts, Auth: a.auth, Hooks: starter{a.service},
		Sealer: a.sealer, Now: a.now, Logger: a.logger})
	return err
}

// announce emits an event for an execution that ended. Audit reports have none: each is a
// record that can be read, and there may be thousands a second.
func (a *App) announce(tx *db.Tx, x engine.Execution) error {
	if x.HookID == "CAOS.PROD.CERT.AUDIT" {
		return nil
	}
	// An event is bounded and the end of an execution must not fail over a long output:
	// whoever gets the event can read the execution.
	var output any = x.Output
	if len(x.Output) > maxEventOutput {
		output = nil
	}
	types := map[engine.Status]string{engine.Succeeded: "succeeded", engine.Failed: "failed", engine.Cancelled: "cancelled"}
	return a.events.Emit(tx, event.Event{Type: "caos.execution." + types[x.Status], Subject: x.ID, Project: x.Project, Classification: x.Classification,
		Data: map[string]any{"execution_id": x.ID, "hook_id": x.HookID, "hook_version": x.HookVersion, "status": x.Status, "model_id": x.ModelID, "parent_id": x.Parent, "output": output}})
}

// maxEventOutput is how many bytes of output an event carries along.
const maxEventOutput = 32 << 10

// start sets everything in motion.
func (a *App) start(ctx context.Context) error {
	recovering, _ := a.log.Recovery()
	if !recovering {
		if err := a.auth.Start(ctx); err != nil {
			return err
		}
		if err := a.readiness.Ship(ctx); err != nil { // before the engine: a freeze that goes on opens a checklist
			return err
		}
	}
	if err := a.refreshTrust(ctx); err != nil {
		a.logger.Warn("the trust file of the data folder is not up to date", slog.Any("error", err))
	}
	if a.log.Unpublished() && !recovering {
		if err := a.reportUnpublished(ctx); err != nil {
			return err
		}
	}
	run, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.auth.Run(run) }()
	a.onStop("accounts", func(context.Context) error { cancel(); <-done; return nil })
	swept := make(chan struct{})
	go func() { defer close(swept); a.sweepScratch(run) }()
	a.onStop("scratch", func(context.Context) error { cancel(); <-swept; return nil })
	if err := a.events.Start(ctx); err != nil {
		return err
	}
	a.onStop("events", func(context.Context) error { a.events.Close(); return nil })
	if err := a.notifier.Start(); err != nil {
		return err
	}
	a.onStop("notices", func(context.Context) error { a.notifier.Close(); return nil })
	if err := a.engine.Start(ctx); err != nil {
		return err
	}
	a.onStop("engine", a.engine.Stop)
	if !recovering {
		a.startChain(run)
		a.startAnchors(run)
	}
	if err := a.triggers.Start(ctx); err != nil {
		return err
	}
	a.onStop("triggers", func(context.Context) error { a.triggers.Close(); return nil })
	if !recovering {
		if err := a.ship(ctx); err != nil {
			return err
		}
	}
	var keeping sync.WaitGroup
	keeping.Go(func() { a.housekeep(run) })
	if !recovering {
		keeping.Go(func() { a.keepReminding(run) })
	}
	if !a.cfg.sqlite() {
		keeping.Go(func() { a.follow(run) })
	}
	a.onStop("housekeeping", func(context.Context) error { cancel(); keeping.Wait(); return nil })
	return nil
}

// serve answers requests until Stop.
func (a *App) serve(l net.Listener) error {
	cert, err := serverCertificate(a.cfg.path("tls"), hostsOf(a.cfg), a.now())
	if err != nil {
		return err
	}
	a.cert.Store(&cert)
	cursorKey, err := a.keys.Derived("caos list cursors v1")
	if caos.KindOf(err) == caos.NotFound {
		a.logger.Warn("the next_cursor of a list is good on this node alone, until its process ends", "error", err)
	} else if err != nil {
		return fmt.Errorf("secret of list cursors: %w", err)
	}
	api := httpapi.New(httpapi.Options{CursorKey: cursorKey, Version: a.version, BaseURL: a.url, Auth: a.auth, Ready: a.ready, PublicMetrics: a.cfg.PublicMetrics, Collectors: a.metrics.collectors(),
		Now: a.now, Logger: a.logger, Origin: a.cfg.Origin, MaxObject: a.cfg.MaxArtifact, DB: a.db, Log: a.log, Policies: a.policies,
		Engine: a.engine, Hooks: a.service, Objects: a.objects, Evidence: a.evidence, Alerts: a.alerts, Notices: a.notifier, Events: a.events, Triggers: a.triggers,
		Registry: a.registry, Baselines: a.frozen, Passports: a.dpp, Chain: a.chain, Anchors: a.anchors, Integrity: a.checks, Readiness: a.readiness,
		Datasets: a.datasets, Locations: a.locations, Secrets: a.vault,
		Dashboards: []httpapi.Dashboard{{Name: "compliance", Action: "audit:read", About: "Audit reports by day, action type and compliance", Read: a.compliance},
			{Name: "data-quality", Action: "validation:read", About: "How every dataset stands by its contracts, and validations by day", Read: a.dataQuality}}})
	srv := httpapi.Server{Handler: api, Log: a.logger, Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.cert.Load(), nil }}
	run, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(run, l, stopGrace); err != nil {
			a.fail(fmt.Errorf("serve: %w", err))
		}
	}()
	a.onStop("API", func(context.Context) error { cancel(); <-done; return nil })
	a.logger.Info("serving", "url", a.url, "node", a.node.Name, "version", a.version)
	return nil
}

// compliance reads the dashboard of audit reports for somebody who sees some projects.
// Whoever sees only what is their own sees no sums over others.
func (a *App) compliance(ctx context.Context, sees auth.Visibility) (any, error) {
	return a.service.AuditDashboard(ctx, func(project string) bool { return sees.Owner == "" && sees.Sees("", project, "") })
}

// stopGrace is how long requests under way may take when the node stops.
const stopGrace = 10 * time.Second

func (a *App) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// ready says whether the installation can take work.
func (a *App) ready() error {
	if on, reason := a.log.Recovery(); on {
		return caos.Errorf(caos.Unavailable, "the audit log is in recovery mode: %s", reason).WithHint("two people open a successor with: caos recover")
	}
	return nil
}

// follow applies what other nodes change in the hook registry.
func (a *App) follow(ctx context.Context) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := a.service.Refresh(ctx); err != nil && ctx.Err() == nil {
			a.logger.Warn("hook registry", "error", err)
		}
	}
}

// housekeep does what has to be done now and then: unreferenced objects are removed, every
// referenced one is read again, and every baseline, and the certificate is renewed, once a day and an hour after
// the start: a node that is started daily does it, too.
func (a *App) housekeep(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		tick.Reset(24 * time.Hour)
		if n, err := a.objects.Sweep(ctx); err != nil {
			a.logger.Warn("sweep of objects", "error", err)
		} else if n > 0 {
			a.logger.Info("unreferenced objects removed", "objects", n)
		}
		if _, err := a.objects.Verify(ctx, func(p object.Problem) { a.damaged(ctx, p) }); err != nil {
			a.logger.Warn("verification of objects", "error", err)
		}
		a.checks.checkAll(ctx)
		if cert, err := serverCertificate(a.cfg.path("tls"), hostsOf(a.cfg), a.now()); err != nil {
			a.logger.Warn("TLS certificate", "error", err)
		} else {
			a.cert.Store(&cert)
		}
	}
}

// reportUnpublished raises an alert when the published checkpoints are gone: from the log
// alone nobody can tell that it was not cut short.
func (a *App) reportUnpublished(ctx context.Context) error {
	return a.db.Update(ctx, func(tx *db.Tx) error {
		id, err := a.alerts.Raise(tx, alert.Alert{AlertType: alert.Anomaly, Severity: alert.Critical, Kind: "LOG", MetricName: "published_checkpoints",
			Subject: a.cfg.Origin, Source: "auditlog", AlertMessage: "no published checkpoint of the audit log was found at start: that the log was not cut short cannot be told",
			RecommendedActions: []string{"restore_published_checkpoints", "compare_with_copies_of_auditors"}})
		if err != nil {
			return err
		}
		_, err = a.log.Append(tx, auditlog.Record{Type: auditlog.Alert, Actor: "caos", RecordedBy: "caos", Resources: []string{a.cfg.Origin},
			Details: map[string]any{"alert_id": id, "problem": "published checkpoints missing"}})
		return err
	})
}

// damaged raises an alert for a stored object that is missing or changed.
func (a *App) damaged(ctx context.Context, p object.Problem) {
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		id, err := a.alerts.Raise(tx, alert.Alert{AlertType: alert.Anomaly, Severity: alert.Critical, Kind: "OBJECT", MetricName: "object_integrity",
			Subject: p.Name, Source: "object", AlertMessage: p.Message, RecommendedActions: []string{"investigate", "restore_from_backup"}})
		if err != nil {
			return err
		}
		_, err = a.log.Append(tx, auditlog.Record{Type: auditlog.Alert, Actor: "caos", RecordedBy: "caos", Resources: []string{p.Name},
			Details: map[string]any{"alert_id": id, "problem": p.Message}})
		return err
	})
	if err != nil {
		a.logger.Error("a damaged object could not be reported", "object", p.Name, "error", err)
	}
}
