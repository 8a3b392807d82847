package hook

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/baseline"
	"caos/internal/chain"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/dpp"
	"caos/internal/engine"
	"caos/internal/event"
	"caos/internal/evidence"
	"caos/internal/location"
	"caos/internal/notify"
	"caos/internal/object"
	"caos/internal/policy"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/secret"
	"caos/internal/sign"
)

// world is everything that the hooks stand on, real, with a person for each role that the
// tests need: cora holds certification, mlo is an MLOps engineer, aud audits, olga owns
// models, vera leads V&V, sam judges safety, quin quality, conny keeps configurations, bo is
// of the review board, dana engineers data.
type world struct {
	*Service
	t         testing.TB
	db        *db.DB
	log       *auditlog.Log
	auth      *auth.Auth
	objects   *object.Store
	evidence  *evidence.Repository
	notifier  *notify.Notifier
	events    *event.Outbox
	registry  *registry.Registry
	frozen    *baseline.Store
	readiness *readiness.Readiness
	datasets  *dataset.Datasets
	dpp       *dpp.Passports
	keys      *sign.Keys
	alerts    *alert.Store
	locations *location.Locations
	worker    *testWorker
	chain     *chain.Chain // nil without places.net
	parts     Collaborators
	files     string // the folder that file:// addresses may name files in
	dirs      places
	asked     func(actor string) // called when a hook asks for an account, nil for nothing
	close     func()             // ends this life of the process; done by itself at the end of the test
}

// places are the folders that outlive a process.
type places struct {
	keys, secrets, objects, scratch, files, baselines string
	targets, data                                     string        // published datasets, and the scratch folder of the data hooks
	ahead                                             *atomic.Int64 // by which the clock of later lives of the process is ahead, ns
	lost                                              *atomic.Bool  // a later life of the process finds no scratch folder
	buckets                                           []location.Bucket
	vault                                             secret.Store
	net                                               *testNetwork // chain that transactions go to, nil for none
}

// now is the clock of readiness, the engine and the hooks.
func (p places) now() time.Time { return time.Now().Add(time.Duration(p.ahead.Load())) }

func newPlaces(t testing.TB) places {
	p := places{keys: filepath.Join(t.TempDir(), "keys"), secrets: t.TempDir(), objects: filepath.Join(t.TempDir(), "objects"), scratch: t.TempDir(), files: t.TempDir(),
		baselines: filepath.Join(t.TempDir(), "baselines"), targets: t.TempDir(), data: t.TempDir(), ahead: new(atomic.Int64), lost: new(atomic.Bool)}
	t.Cleanup(func() { _ = baseline.RemoveAll(p.baselines) }) // read-only, which t.TempDir cannot remove
	return p
}

// TestMain lets more tests run at once than there are cores: they mostly wait, for blocks,
// for commits and for each other.
func TestMain(m *testing.M) {
	dbtest.Waiting(6)
	os.Exit(m.Run())
}

// patience is how long a test waits for what must come: a busy machine is no failure.
const patience = 2 * time.Minute

const (
	model   = "NN-FCS-001"
	pkg     = "CERT-PKG-FCS"
	baseURL = "https://caos.test"
)

// loadPolicies reads the policies once: nothing changes them, and a fifth of what a world costs
// was to read its own.
var loadPolicies = sync.OnceValues(func() (*policy.Set, error) { return policy.Load() })

type testDirectory struct{ w *world }

func (d testDirectory) KnownActor(tx *db.Tx, id string) (bool, bool, error) {
	if d.w.asked != nil {
		d.w.asked(id)
	}
	return d.w.auth.KnownActor(tx, id)
}

func (d testDirectory) UnknownResources(tx *db.Tx, ids []string) (out []string, err error) {
	for _, id := range ids {
		known, err := d.w.evidence.Known(tx, id)
		if err != nil {
			return nil, err
		}
		if !known {
			out = append(out, id)
		}
	}
	return out, nil
}

func (d testDirectory) Authorization(tx *db.Tx, id, _ string, resources []string) (bool, bool, []string, error) {
	return d.w.log.Authorised(tx, id, resources)
}

func (d testDirectory) MayActFor(tx *db.Tx, p caos.Principal, hookID string) bool {
	return d.w.auth.AuthorizeHook(tx, p, "on-behalf", hookID, "") == nil
}

func newWorld(t testing.TB, d *db.DB) *world {
	t.Helper()
	return newPlaces(t).open(t, d, true)
}

// open begins a life of a process on a database. The first one sets up keys and accounts.
func (p places) open(t testing.TB, d *db.DB, first bool) *world {
	t.Helper()
	ctx := context.Background()
	var ends []func() error
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, db: d, files: p.files, dirs: p}
	w.close = sync.OnceFunc(func() {
		for i := len(ends) - 1; i >= 0; i-- {
			if err := ends[i](); err != nil && first {
				t.Logf("the process ended with %v", err)
			}
		}
	})
	t.Cleanup(w.close)
	keys, err := sign.OpenKeys(p.keys)
	check(err)
	for _, purpose := range []sign.Purpose{sign.Checkpoint, sign.Evidence, sign.Baseline, sign.Passport} {
		if first {
			_, err = keys.Create(ctx, purpose, time.Now())
			check(err)
		}
	}
	floor, err := auditlog.LastTime(ctx, d)
	check(err)
	stamps := caos.NewStamper(time.Now, floor, 0, 1)
	w.log, err = auditlog.Open(ctx, auditlog.Options{DB: d, Keys: keys, Origin: "caos.test/log", Stamps: stamps})
	check(err)
	ends = append(ends, keys.Close, w.log.Close)
	policies, err := loadPolicies()
	check(err)
	sealer, err := auth.OpenFileSealer(p.secrets)
	check(err)
	w.auth, err = auth.New(auth.Options{DB: d, Log: w.log, Policies: policies, Sealer: sealer})
	check(err)
	if first {
		_, err = w.auth.Bootstrap(ctx, []auth.NewUser{{ID: "admin", Name: "Administrator"}, {ID: "cora", Name: "Cora", Roles: []string{"certification"}},
			{ID: "mlo", Name: "Mlo", Roles: []string{"mlops-engineer"}}, {ID: "aud", Name: "Aud", Roles: []string{"auditor"}},
			{ID: "olga", Name: "Olga", Roles: []string{"model-owner"}}, {ID: "vera", Name: "Vera", Roles: []string{"vv-lead"}},
			{ID: "sam", Name: "Sam", Roles: []string{"safety-engineer"}}, {ID: "quin", Name: "Quin", Roles: []string{"qa-lead"}},
			{ID: "conny", Name: "Conny", Roles: []string{"configuration-manager"}}, {ID: "bo", Name: "Bo", Roles: []string{"prr-board"}},
			{ID: "bea", Name: "Bea", Roles: []string{"prr-board"}}, {ID: "ben", Name: "Ben", Roles: []string{"prr-board"}},
			{ID: "carl", Name: "Carl", Roles: []string{"chief-engineer"}}, {ID: "rel", Name: "Rel", Roles: []string{"release-manager"}},
			{ID: "dana", Name: "Dana", Roles: []string{"data-engineer"}}})
		check(err)
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); w.auth.Run(run) }()
	ends = append(ends, func() error { stop(); <-done; return nil })
	w.notifier, err = notify.New(notify.Options{DB: d, Stamps: stamps, People: w.auth})
	check(err)
	w.objects, err = object.Open(p.objects, d, time.Now)
	check(err)
	ends = append(ends, w.objects.Close)
	w.evidence, err = evidence.New(evidence.Options{DB: d, Objects: w.objects, Log: w.log, Keys: keys, Stamps: stamps, Roots: []string{w.files}, Scratch: p.scratch, HTTP: http.DefaultClient})
	check(err)
	w.events, err = event.Open(event.Options{DB: d, Stamps: stamps})
	check(err)
	w.registry, err = registry.Open(registry.Options{DB: d, Objects: w.objects, Log: w.log, Events: w.events, Now: p.now,
		Reclassified: func(tx *db.Tx, id, classification string) error {
			return w.readiness.Reclassify(tx, id, classification)
		}})
	check(err)
	w.datasets, err = dataset.Open(dataset.Options{DB: d, Log: w.log, Events: w.events, Stamps: stamps, Now: p.now, Ended: engine.Ended})
	check(err)
	w.frozen, err = baseline.Open(p.baselines, time.Now)
	check(err)
	ends = append(ends, w.frozen.Close)
	w.keys = keys
	w.readiness, err = readiness.Open(readiness.Options{DB: d, Log: w.log, Events: w.events, Stamps: stamps, People: w.auth, Keys: w.auth, Origin: "caos.test/log",
		Now: p.now, Known: knownEvidence, Hands: w.hands})
	check(err)
	if first {
		check(w.readiness.Ship(ctx))
	}
	w.dpp, err = dpp.Open(dpp.Options{DB: d, Objects: w.objects, Log: w.log, Keys: keys, BaseURL: baseURL, Origin: "caos.test/log"})
	check(err)
	var eng *engine.Engine
	w.alerts = alert.New(d, w.events, stamps, p.now)
	w.locations, err = location.Open(location.Options{Roots: []string{w.files}, TargetRoots: []string{p.targets}, Buckets: p.buckets, Secrets: p.vault})
	check(err)
	if !first && p.lost.Load() {
		check(os.RemoveAll(p.data))
		check(os.MkdirAll(p.data, 0o755))
	}
	w.worker = &testWorker{t: t}
	w.parts = Collaborators{Directory: testDirectory{w}, Policies: policies, Evidence: w.evidence, Objects: w.objects, Notifier: w.notifier,
		People: w.auth, Allowed: w.auth.Authorize, Registry: w.registry, Baselines: w.frozen, Readiness: w.readiness, Passports: w.dpp, Keys: keys, DB: d, Log: w.log, Now: p.now,
		Chain: w.openChain(stamps, func(tx *db.Tx, id string) error { eng.Wake(tx, id); return tx.Err() }), BaseURL: baseURL,
		Datasets: w.datasets, Locations: w.locations, Worker: w.worker, Events: w.events, Alerts: w.alerts, Compute: func() *engine.Allocator { return eng.Allocator() }, Scratch: p.data}
	hooks := Catalog(w.parts)
	outputs, err := OutputCheck(hooks)
	check(err)
	eng, err = engine.New(engine.Options{DB: d, Log: w.log, Stamps: stamps, Now: p.now, Flows: Flows(hooks), CheckOutput: outputs, Logger: slog.New(slog.DiscardHandler),
		Budget: engine.Resources{MemoryBytes: 4 << 30, Threads: 4, Slots: 32}})
	check(err)
	check(eng.Start(ctx))
	ends = append(ends, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return eng.Stop(ctx)
	})
	w.Service, err = NewService(ctx, ServiceOptions{DB: d, Engine: eng, Auth: w.auth, Log: w.log, Hooks: hooks, Now: p.now})
	check(err)
	if w.chain != nil {
		ends = append(ends, w.runChain())
	}
	return w
}

// knownEvidence knows what is named EVID-….
func knownEvidence(_ *db.Tx, _ readiness.Subject, ids []string) (missing []string, err error) {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return strings.HasPrefix(id, "EVID-") }), nil
}

// hands are those that the registry knows of.
func (w *world) hands(tx *db.Tx, modelID, version string) (out []readiness.Hand, err error) {
	list, err := w.registry.Hands(tx, modelID, version)
	for _, h := range list {
		out = append(out, readiness.Hand(h))
	}
	return out, err
}

func (w *world) as(id string) caos.Principal {
	roles := map[string][]string{"cora": {"certification"}, "mlo": {"mlops-engineer"}, "aud": {"auditor"}, "admin": {"admin"}, "olga": {"model-owner"},
		"vera": {"vv-lead"}, "sam": {"safety-engineer"}, "quin": {"qa-lead"}, "conny": {"configuration-manager"}, "bo": {"prr-board"},
		"bea": {"prr-board"}, "ben": {"prr-board"}, "carl": {"chief-engineer"}, "rel": {"release-manager"}, "dana": {"data-engineer"}}
	return caos.Principal{ID: id, Roles: roles[id], MFA: "totp"}
}

// submit runs a hook to its end and returns it.
func (w *world) submit(who, hookID string, input any) (*engine.Execution, error) {
	w.t.Helper()
	body, ok := input.(string)
	if !ok {
		raw, err := json.Marshal(input)
		if err != nil {
			w.t.Fatal(err)
		}
		body = string(raw)
	}
	x, err := w.Submit(context.Background(), Request{Hook: hookID, Body: []byte(body), ContentType: "application/json", By: w.as(who)})
	if err != nil || x.Status.Final() {
		return x, err
	}
	return w.engine.Await(context.Background(), x.ID, patience)
}

// done is submit of what must succeed.
func (w *world) done(who, hookID string, input, output any) *engine.Execution {
	w.t.Helper()
	x, err := w.submit(who, hookID, input)
	if err != nil {
		w.t.Fatal(err)
	}
	if x.Status != engine.Succeeded {
		raw, _ := json.Marshal(x)
		w.t.Fatalf("%s", raw)
	}
	if err := json.Unmarshal(x.Output, output); err != nil {
		w.t.Fatal(err)
	}
	return x
}

// makePackage creates and plans the package of the tests.
func (w *world) makePackage() {
	w.t.Helper()
	err := w.db.Update(context.Background(), func(tx *db.Tx) error {
		by := evidence.By{Actor: "cora"}
		if _, err := w.evidence.Create(tx, evidence.Package{PackageID: pkg, ModelID: model}, by); err != nil {
			return err
		}
		_, err := w.evidence.SetPlan(tx, evidence.Plan{PackageID: pkg, Requirements: []string{"95-00-03-REQ-001", "95-00-03-REQ-002"}}, by)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// record returns an audit record's JSON.
func (w *world) record(id string) map[string]any {
	w.t.Helper()
	s, err := w.log.Get(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal([]byte(s.Record), &out); err != nil {
		w.t.Fatal(err)
	}
	return out
}
