package registry_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/registry"
)

func TestFreeze(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		f.model(fcs)
		f.version(fcs, v210)
		_, err := f.attach(fcs, v210, "model.onnx", "inference", "onnx")
		f.ok(err)
		_, err = f.attach(fcs, v210, "a/card.md", "other", "# Card")
		f.ok(err)
		freeze := func(change func(*registry.Baseline)) error {
			return f.update(func(tx *db.Tx) error {
				b := f.baseline(tx, fcs, v210)
				change(&b)
				return f.Freeze(tx, b, registry.By{Actor: "carla", RecordedBy: "carla", Execution: theExec, Hook: "CAOS.PROD.MODEL.FREEZE"})
			})
		}
		wantError(t, freeze(func(*registry.Baseline) {}), caos.Conflict, "execution_id", "not claimed")
		wantError(t, f.claim(fcs, "9.9.9", theExec), caos.NotFound, "version", "")
		wantError(t, f.claim(fcs, v210, ""), caos.Invalid, "execution_id", "")
		f.ok(f.claim(fcs, v210, theExec))
		f.ok(f.claim(fcs, v210, theExec))
		wantError(t, f.claim(fcs, v210, "EXEC-other"), caos.Conflict, "version", theExec)
		f.must(func(tx *db.Tx) error { return f.ReleaseFreeze(tx, fcs, v210, "EXEC-other") }) // not its own
		wantError(t, f.claim(fcs, v210, "EXEC-other"), caos.Conflict, "version", theExec)
		f.must(func(tx *db.Tx) error { return f.ReleaseFreeze(tx, fcs, v210, theExec) })
		f.must(func(tx *db.Tx) error { return f.ReleaseFreeze(tx, fcs, v210, theExec) })
		f.ok(f.claim(fcs, v210, "EXEC-other"))
		f.must(func(tx *db.Tx) error { return f.ReleaseFreeze(tx, fcs, v210, "EXEC-other") })
		f.ok(f.claim(fcs, v210, theExec))

		err = f.update(func(tx *db.Tx) error {
			_, err := f.UpdateVersion(tx, registry.VersionAt{ModelID: fcs, Version: v210}, registry.VersionChange{Framework: of("x")}, anna)
			return err
		})
		wantError(t, err, caos.Conflict, "version", theExec)
		err = f.update(func(tx *db.Tx) error {
			_, err := f.Transition(tx, fcs, v210, registry.Retired, anna)
			return err
		})
		wantError(t, err, caos.Conflict, "version", theExec)

		for field, change := range map[string]func(*registry.Baseline){
			"root_digest":       func(b *registry.Baseline) { b.RootDigest = "x" },
			"statement_digest":  func(b *registry.Baseline) { b.StatementDigest = "" },
			"bundle_digest":     func(b *registry.Baseline) { b.BundleDigest = "" },
			"key_id":            func(b *registry.Baseline) { b.KeyID = "" },
			"vv_report_id":      func(b *registry.Baseline) { b.VVReportID = "" },
			"vv_report_version": func(b *registry.Baseline) { b.VVReportVersion = "" },
			"files":             func(b *registry.Baseline) { b.Files = nil },
			"files[0].path":     func(b *registry.Baseline) { b.Files[1].Path = "../../x" },
			"files[0].digest":   func(b *registry.Baseline) { b.Files[0].Digest = "" },
			"files[1].path":     func(b *registry.Baseline) { b.Files[0].Path = b.Files[1].Path },
			"files[1].size":     func(b *registry.Baseline) { b.Files[1].Size = -1 },
			"execution_id":      func(b *registry.Baseline) { b.ExecutionID = "" },
			"version":           func(b *registry.Baseline) { b.Version = "two" },
		} {
			wantError(t, freeze(change), caos.Invalid, field, "")
		}
		wantError(t, freeze(func(b *registry.Baseline) { b.Files = b.Files[1:] }), caos.Conflict, "files", "a/card.md")
		wantError(t, freeze(func(b *registry.Baseline) { b.ExecutionID = "EXEC-other" }), caos.Conflict, "execution_id", "")
		if v, err := f.Version(ctx, fcs, v210); err != nil || v.State != registry.Registered || v.Freezing != theExec || v.BaselineID != "" {
			t.Errorf("after refusals: %+v %v", v, err)
		}

		f.ok(freeze(func(*registry.Baseline) {}))
		v, err := f.Version(ctx, fcs, v210)
		f.ok(err)
		if v.State != registry.Frozen || v.Freezing != "" || v.FreezeID != "FREEZE-NN-FCS-001-2.1.0" || v.BaselineID != "BL-FCS-2.1.0" || v.FrozenAt == nil {
			t.Errorf("frozen %+v", v)
		}
		wantError(t, f.claim(fcs, v210, "EXEC-other"), caos.Conflict, "version", "FREEZE-NN-FCS-001-2.1.0")
		wantError(t, f.claim(fcs, v210, theExec), caos.Conflict, "version", "FREEZE-NN-FCS-001-2.1.0")
		wantError(t, freeze(func(*registry.Baseline) {}), caos.Conflict, "version", "FREEZE-NN-FCS-001-2.1.0")
		f.must(func(tx *db.Tx) error { return f.ReleaseFreeze(tx, fcs, v210, theExec) }) // too late to undo anything
		b, err := f.Baseline(ctx, "BL-FCS-2.1.0")
		f.ok(err)
		if b.FileCount != 2 || b.Bytes != 10 || b.Files[0].Path != "a/card.md" || b.FrozenBy != "carla" || b.SafetyImpact != "none" || b.CertificationImpact != "minor" ||
			b.Project != "demo" || b.CheckedAt != nil || b.CheckStatus != "" || !b.FrozenAt.Equal(*v.FrozenAt) || b.ExecutionID != theExec {
			t.Errorf("baseline %+v", b)
		}
		wantList(t, b.CompatibleWith, "2.0.x")
		frozen, state := f.emitted("caos.model.frozen"), f.emitted("caos.model.state")
		if len(frozen) != 1 || len(state) != 1 || frozen[0].Subject != fcs {
			t.Fatalf("events %+v %+v", frozen, state)
		}
		var data map[string]string
		f.ok(frozen[0].Decode(&data))
		if data["baseline_id"] != "BL-FCS-2.1.0" || data["model_version"] != v210 || data["root_digest"] != zeroes || data["freeze_id"] != v.FreezeID {
			t.Errorf("event %v", data)
		}
		wantList(t, f.records("BL-FCS-2.1.0"), "version frozen")
		_, err = f.Baseline(ctx, "BL-FCS-9.9.9")
		wantError(t, err, caos.NotFound, "baseline_id", "")
		_, err = f.Baseline(ctx, "../x")
		wantError(t, err, caos.Invalid, "baseline_id", "")
	})
}

func TestBaselinesAreChecked(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		ctx := context.Background()
		f.model(fcs)
		for _, v := range []string{"1.0.0", "1.1.0", "2.0.0"} {
			f.version(fcs, v)
			_, err := f.attach(fcs, v, "m", "inference", v)
			f.ok(err)
			f.freeze(fcs, v)
		}
		check := func(id, status string, problems ...string) error {
			return f.update(func(tx *db.Tx) error { return f.Checked(tx, id, status, problems, registry.By{Actor: "system"}) })
		}
		wantError(t, check("BL-FCS-1.0.0", "FINE"), caos.Invalid, "check_status", "")
		wantError(t, check("BL-FCS-1.0.0", registry.Damaged), caos.Invalid, "problems", "")
		wantError(t, check("BL-FCS-1.0.0", registry.Intact, "x"), caos.Invalid, "problems", "")
		wantError(t, check("BL-FCS-9.0.0", registry.Intact), caos.NotFound, "baseline_id", "")
		f.ok(check("BL-FCS-1.0.0", registry.Intact))
		many := make([]string, 150)
		for i := range many {
			many[i] = fmt.Sprintf("file %d changed \xff", i)
		}
		f.ok(check("BL-FCS-1.1.0", registry.Damaged, many...))
		b, err := f.Baseline(ctx, "BL-FCS-1.1.0")
		f.ok(err)
		if b.CheckStatus != registry.Damaged || len(b.Problems) != 100 || b.CheckedAt == nil {
			t.Errorf("checked %+v", b)
		}
		walk := func(q registry.BaselineFilter) (got []string) {
			cursor := ""
			for range 10 {
				page, next, err := f.Baselines(ctx, q, cursor)
				f.ok(err)
				for _, b := range page {
					got = append(got, b.BaselineID)
					if b.Files != nil || b.FileCount != 1 {
						t.Error("a list has files")
					}
				}
				if cursor = next; next == "" {
					break
				}
			}
			return got
		}
		wantList(t, walk(registry.BaselineFilter{Limit: 1}), "BL-FCS-2.0.0", "BL-FCS-1.1.0", "BL-FCS-1.0.0")
		wantList(t, walk(registry.BaselineFilter{CheckStatus: registry.Damaged, ModelID: fcs, Project: "demo"}), "BL-FCS-1.1.0")
		wantList(t, walk(registry.BaselineFilter{Project: "other"}))
	})
}

// Of many claims at once one wins, on one handle of the database and on two.
func TestClaimsAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		url, dir := dbtest.URL(t, dialect), t.TempDir()
		one := newFixture(t, dbtest.OpenWith(t, db.Options{URL: url}), dir, 0)
		two := newFixture(t, dbtest.OpenWith(t, db.Options{URL: url}), dir, 1)
		one.model(fcs)
		for round := range 8 {
			version := fmt.Sprintf("1.%d.0", round)
			one.version(fcs, version)
			var wg sync.WaitGroup
			errs := make([]error, 8)
			for i := range errs {
				f := []*fixture{one, two}[i%2]
				wg.Go(func() { errs[i] = f.claim(fcs, version, fmt.Sprintf("EXEC-%d", i)) })
			}
			wg.Wait()
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
				} else if caos.KindOf(err) != caos.Conflict {
					t.Errorf("a loser got %v", err)
				}
			}
			if won != 1 {
				t.Errorf("%d claims of %s won", won, version)
			}
		}
	})
}

// Of many registrations of the next version, of the model and of a document, one wins.
func TestVersionsAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		url, dir := dbtest.URL(t, dialect), t.TempDir()
		one := newFixture(t, dbtest.OpenWith(t, db.Options{URL: url}), dir, 0)
		two := newFixture(t, dbtest.OpenWith(t, db.Options{URL: url}), dir, 1)
		one.model(fcs)
		ctx := context.Background()
		var wg sync.WaitGroup
		for i := range 16 {
			f := []*fixture{one, two}[i%2]
			data := f.put(fmt.Sprint("data", i))
			p, err := f.ReadDocument(ctx, "design", data)
			f.ok(err)
			wg.Go(func() {
				_ = f.update(func(tx *db.Tx) error { // losers are refused
					_, err := f.CreateVersion(tx, registry.Version{ModelID: fcs, Version: fmt.Sprintf("1.%d.0", i/2)}, anna)
					return err
				})
			})
			wg.Go(func() {
				_ = f.update(func(tx *db.Tx) error {
					_, err := f.RegisterDocument(tx, registry.Document{DocumentID: "95-00-01", Version: fmt.Sprintf("1.%d", i/2), Kind: "design", Title: "t", Digest: data}, p, anna)
					return err
				})
			})
		}
		wg.Wait()
		versions, _, err := one.Versions(ctx, fcs, 0, "")
		one.ok(err)
		docs, err := one.DocumentVersions(ctx, "95-00-01")
		one.ok(err)
		current := 0
		for i, d := range docs {
			if d.Status != registry.DocumentSuperseded {
				current++
			}
			if i > 0 && d.Version >= docs[i-1].Version {
				t.Errorf("%s came after %s", docs[i-1].Version, d.Version)
			}
		}
		if len(versions) == 0 || len(docs) == 0 || current != 1 {
			t.Errorf("%d versions, %d documents, %d current", len(versions), len(docs), current)
		}
	})
}

// The table of states: one way, everything reachable, an end.
func TestStates(t *testing.T) {
	order := map[registry.State]int{}
	for i, s := range registry.States() {
		order[s] = i
	}
	reached := map[registry.State]bool{registry.Registered: true}
	for _, from := range registry.States() {
		for _, to := range append(registry.States(), "", "registered", "UNKNOWN") {
			if !from.May(to) {
				continue
			}
			i, known := order[to]
			if !known || i <= order[from] {
				t.Errorf("%s may become %s", from, to)
			}
			reached[to] = true
		}
		if last := from == registry.Retired; last == from.May(registry.Retired) {
			t.Errorf("%s and RETIRED: %v", from, !last)
		}
	}
	if len(reached) != len(order) {
		t.Errorf("reached only %v", reached)
	}
	if registry.State("").May(registry.Registered) || registry.State("x").May(registry.Retired) {
		t.Error("an unknown state leads somewhere")
	}
}

// Whatever is tried in whatever order, a version does what a model of the table does, and a
// baseline is there exactly if it was frozen.
func TestStatesAnyOrder(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	f := newFixture(t, d, t.TempDir(), 0)
	f.model(fcs)
	serial := 0
	rapid.Check(t, func(rt *rapid.T) {
		serial++
		version := fmt.Sprintf("1.%d.0", serial)
		f.version(fcs, version)
		if _, err := f.attach(fcs, version, "m", "inference", "m"); err != nil {
			rt.Fatal(err)
		}
		state, holder, frozen := registry.Registered, "", false
		execs := rapid.SampledFrom([]string{"EXEC-a", "EXEC-b"})
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			var err error
			var want bool
			switch e := execs.Draw(rt, "execution"); rapid.SampledFrom([]string{"claim", "release", "freeze", "move"}).Draw(rt, "what") {
			case "claim":
				want = state == registry.Registered && (holder == "" || holder == e)
				if err = f.claim(fcs, version, e); want {
					holder = e
				}
			case "release":
				want = true
				if err = f.update(func(tx *db.Tx) error { return f.ReleaseFreeze(tx, fcs, version, e) }); holder == e {
					holder = ""
				}
			case "freeze":
				want = state == registry.Registered && holder == e
				err = f.update(func(tx *db.Tx) error {
					b := f.baseline(tx, fcs, version)
					b.ExecutionID = e
					return f.Freeze(tx, b, anna)
				})
				if want {
					state, holder, frozen = registry.Frozen, "", true
				}
			case "move":
				to := rapid.SampledFrom(registry.States()).Draw(rt, "to")
				want = holder == "" && to != registry.Frozen && state.May(to)
				err = f.update(func(tx *db.Tx) error {
					_, err := f.Transition(tx, fcs, version, to, anna)
					return err
				})
				if want {
					state = to
				}
			}
			if want != (err == nil) {
				rt.Fatalf("in %s held by %q: %v", state, holder, err)
			}
			v, err := f.Version(context.Background(), fcs, version)
			if err != nil || v.State != state || v.Freezing != holder || frozen != (v.BaselineID != "") {
				rt.Fatalf("is %+v (%v), not %s held by %q", v, err, state, holder)
			}
			if _, err := f.Baseline(context.Background(), registry.BaselineID(fcs, version)); frozen != (err == nil) {
				rt.Fatalf("baseline: %v", err)
			}
		}
	})
}

func TestTransitions(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		_, err := f.attach(fcs, v210, "m", "inference", "m")
		f.ok(err)
		move := func(to registry.State) error {
			return f.update(func(tx *db.Tx) error {
				_, err := f.Transition(tx, fcs, v210, to, bruno)
				return err
			})
		}
		wantError(t, move("DONE"), caos.Invalid, "state", "one of REGISTERED")
		wantError(t, move(registry.Frozen), caos.Invalid, "state", "by a freeze alone")
		wantError(t, move(registry.Released), caos.Conflict, "state", "what may follow is FROZEN or RETIRED")
		f.freeze(fcs, v210)
		f.ok(move(registry.ProductionReady))
		f.ok(move(registry.Released))
		f.ok(move(registry.Retired))
		wantError(t, move(registry.Released), caos.Conflict, "state", "nothing follows")
		wantError(t, f.claim(fcs, v210, theExec), caos.Conflict, "version", "FREEZE-NN-FCS-001-2.1.0")
		var to []string
		for _, e := range f.emitted("caos.model.state") {
			var data map[string]string
			f.ok(e.Decode(&data))
			to = append(to, data["from"]+">"+data["to"])
		}
		wantList(t, to, "REGISTERED>FROZEN", "FROZEN>PRODUCTION_READY", "PRODUCTION_READY>RELEASED", "RELEASED>RETIRED")

		f.version(fcs, "3.0.0")
		f.must(func(tx *db.Tx) error { _, err := f.Transition(tx, fcs, "3.0.0", registry.Retired, bruno); return err })
		wantError(t, f.claim(fcs, "3.0.0", theExec), caos.Conflict, "version", "is RETIRED")
	})
}
