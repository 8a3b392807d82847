package importer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/examples/programme"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
	"caos/internal/importer"
	"caos/internal/object"
	"caos/internal/registry"
)

var update = flag.Bool("update", false, "write the golden reports again")

// world is a registry with everything it stands on.
type world struct {
	*registry.Registry
	t       testing.TB
	d       *db.DB
	log     *auditlog.Log
	objects *object.Store
	clock   atomic.Int64
}

var carla = registry.By{Actor: "carla"}

func newWorld(t testing.TB, d *db.DB) *world {
	t.Helper()
	w := &world{t: t, d: d}
	w.clock.Store(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).UnixMicro())
	now := func() time.Time { return time.UnixMicro(w.clock.Add(1000)) }
	stamps := caos.NewStamper(now, time.Time{}, 0, 1)
	quiet := slog.New(slog.DiscardHandler)
	var err error
	w.log, err = auditlog.Open(context.Background(), auditlog.Options{DB: d, Origin: "log.example/caos", Stamps: stamps, Now: now, Log: quiet, PublishEvery: time.Hour})
	w.ok(err)
	objects, err := object.Open(filepath.Join(t.TempDir(), "objects"), d, time.Now)
	w.ok(err)
	w.objects = objects
	events, err := event.Open(event.Options{DB: d, Stamps: stamps, Now: now, Log: quiet, Poll: time.Hour})
	w.ok(err)
	w.Registry, err = registry.Open(registry.Options{DB: d, Objects: objects, Log: w.log, Events: events, Now: now})
	w.ok(err)
	t.Cleanup(func() {
		events.Close()
		objects.Close()
		if err := w.log.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) do(fn func(tx *db.Tx) error) error { return w.d.Update(context.Background(), fn) }

// try imports a file and returns the report or the refusal.
func (w *world) try(name string, data []byte, opt importer.Options) (*importer.Report, error) {
	w.t.Helper()
	plan, err := importer.Read(name, data)
	if err != nil {
		return nil, err
	}
	return importer.Run(w.do, w.Registry, plan, opt, carla)
}

func (w *world) run(name string, data []byte, opt importer.Options) *importer.Report {
	w.t.Helper()
	r, err := w.try(name, data, opt)
	w.ok(err)
	return r
}

// rows counts everything that an import could write.
func (w *world) rows() string {
	w.t.Helper()
	var out []string
	for _, table := range []string{"models", "model_versions", "links", "industrialisations", "statements", "baselines", "changes", "problem_reports", "risks", "row_history", "audit_records"} {
		var n int
		w.ok(w.d.QueryRow(context.Background(), `SELECT count(*) FROM `+table).Scan(&n))
		out = append(out, fmt.Sprint(table, " ", n))
	}
	return strings.Join(out, ", ")
}

func golden(t *testing.T, name string, v any) {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, b.Bytes()) {
		t.Errorf("%s differs (go test -update writes it again):\n%s", name, b.String())
	}
}

var programmeProject = importer.Options{Project: "ampel", Classification: "Internal"}

// TestProgramme imports the three files of a programme as they are, twice.
func TestProgramme(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		opt := programmeProject
		opt.Baseline = "BL-FCS-2.1.0"
		for _, f := range []struct{ name, golden string }{
			{programme.Registry, "registry"}, {programme.Traceability, "traceability"}, {programme.Readiness, "readiness"},
		} {
			golden(t, f.golden+".golden", w.run(f.name, file(t, f.name), opt))
			before := w.rows()
			again := w.run(f.name, file(t, f.name), opt)
			golden(t, f.golden+"-again.golden", again)
			if again.Changed || w.rows() != before {
				t.Errorf("%s: a second import changed something: %s, before %s", f.name, w.rows(), before)
			}
		}
		w.facts()
	})
}

// facts checks what the programme's files are in the registry.
func (w *world) facts() {
	w.t.Helper()
	ctx := context.Background()
	m, err := w.Model(ctx, "NN-FCS-001")
	w.ok(err)
	if m.Name != "Flight Control System Neural Network" || m.SafetyLevel != "DAL-A" || m.Regime != "EASA_CS-25" || m.Owner != "carla" || m.Project != "ampel" {
		w.t.Errorf("%+v", m)
	}
	v, err := w.Version(ctx, "NN-FCS-001", "2.1.0")
	w.ok(err)
	if v.State != registry.Registered || v.BaselineID != "" || v.FrozenAt != nil || v.Artifacts != 0 {
		w.t.Errorf("an import froze a version: %+v", v)
	}
	i, err := w.Industrialisation(ctx, "NN-FCS-001", "2.1.0")
	w.ok(err)
	if i.Phase != registry.Validation || strings.Join(i.TargetPlatforms, " ") != "NVIDIA_AGX_XAVIER Intel_Xeon_D" || i.ReleaseTarget != "2026-Q1" || i.ProductionReady {
		w.t.Errorf("%+v", i)
	}
	sizes := map[string]int{"data_pipelines": 1, "hardware_targets": 2, "supply_chain_components": 2, "dpp_blockchain_components": 1,
		"verification_validation_activities": 2, "certification_activities": 1, "production_readiness_table": 12}
	for name, want := range sizes {
		var part struct {
			Source  string
			Entries []json.RawMessage
		}
		w.ok(json.Unmarshal(i.Sections[name], &part))
		if len(part.Entries) != want || part.Source == "" {
			w.t.Errorf("section %s: %s", name, i.Sections[name])
		}
	}
	if len(i.Sections) != len(sizes) {
		w.t.Errorf("sections: %v", i.Sections)
	}
	list, _, err := w.Statements(ctx, registry.StatementFilter{Subject: "BL-FCS-2.1.0", Kind: "baseline"}, "")
	w.ok(err)
	const stated = `{"model_id":"NN-FCS-001","version":"2.1.0","status":"INDUSTRIALIZED","freeze_date":"2025-10-15","baseline_id":"BL-FCS-2.1.0"}`
	if len(list) != 1 || string(list[0].Body) != stated {
		w.t.Errorf("%+v", list)
	}
	links, next, err := w.Links(ctx, registry.LinkFilter{Project: "ampel", Limit: 1000}, "")
	w.ok(err)
	if len(links) != 65 || next != "" {
		w.t.Errorf("%d links", len(links))
	}
	links, _, err = w.Links(ctx, registry.LinkFilter{SourceID: "95-00-03-REQ-001"}, "")
	w.ok(err)
	if l := links[0]; len(links) != 1 || l.Relation != registry.Implements || l.Status != "ACTIVE" || l.VerifiedOn != "2025-11-17" ||
		l.VerifiedBy != "Production Planning Board" || l.TargetType != "Process" || l.Rationale != "Model freeze implements requirement traceability" {
		w.t.Errorf("%+v", l)
	}
	s, err := w.Statement(ctx, links[0].Source)
	w.ok(err)
	if s.Pointer != "line 2" || s.SourceName != programme.Traceability || !strings.HasPrefix(string(s.Body), `{"Source_ID":"95-00-03-REQ-001","Source_Type":"Requirement"`) {
		w.t.Errorf("%+v", s)
	}
	_, err = w.Baseline(ctx, "BL-FCS-2.1.0")
	if caos.KindOf(err) != caos.NotFound {
		w.t.Errorf("an import made a baseline: %v", err)
	}
}

// TestRealFreezeAfterImport freezes the version for which a file states a baseline.
func TestRealFreezeAfterImport(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.run(programme.Registry, file(t, programme.Registry), programmeProject)
		f, err := facts(w, "NN-FCS-001", "2.1.0")
		w.ok(err)
		if len(f.Earlier) != 0 || f.VVReport != nil || len(f.Artifacts) != 0 || len(f.Requirements) != 0 {
			t.Errorf("an import is a fact of a freeze: %+v", f)
		}
		ctx := context.Background()
		ref, err := w.objects.Put(ctx, strings.NewReader("weights"), object.PutOptions{})
		w.ok(err)
		size, scan, err := w.Inspect(ctx, ref.Digest, "weights.txt")
		w.ok(err)
		const execution = "EXEC-20261123T100000.000000Z"
		w.ok(w.do(func(tx *db.Tx) error {
			_, err := w.Attach(tx, "NN-FCS-001", "2.1.0", registry.Artifact{Name: "weights.txt", Role: "weights", Digest: ref.Digest, Size: size, Scan: scan}, carla)
			return err
		}))
		w.ok(w.do(func(tx *db.Tx) error { return w.ClaimFreeze(tx, "NN-FCS-001", "2.1.0", execution) }))
		w.ok(w.do(func(tx *db.Tx) error {
			return w.Freeze(tx, registry.Baseline{ModelID: "NN-FCS-001", Version: "2.1.0", ExecutionID: execution, RootDigest: ref.Digest, StatementDigest: ref.Digest,
				BundleDigest: ref.Digest, KeyID: "baseline-1", VVReportID: "95-00-07-01-001", VVReportVersion: "1.0",
				Files: []registry.BaselineFile{{Path: "weights.txt", Role: "weights", Digest: ref.Digest, Size: size}}}, carla)
		}))
		b, err := w.Baseline(ctx, "BL-FCS-2.1.0")
		w.ok(err)
		if b.Version != "2.1.0" {
			t.Errorf("%+v", b)
		}
		// And a file that still calls it something else does not touch what is frozen.
		if w.run(programme.Registry, file(t, programme.Registry), programmeProject).Changed {
			t.Error("an import changed a frozen version")
		}
		v, err := w.Version(ctx, "NN-FCS-001", "2.1.0")
		w.ok(err)
		if v.State != registry.Frozen {
			t.Errorf("%+v", v)
		}
	})
}

func facts(w *world, model, version string) (f *registry.FreezeFacts, err error) {
	err = w.do(func(tx *db.Tx) (err error) {
		f, err = w.FreezeFacts(tx, model, version, "95-00-07-FCS-001")
		return err
	})
	return f, err
}

// TestChangedFile applies a later state of each file.
func TestChangedFile(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		w.run("registry.json", file(t, programme.Registry), programmeProject)
		text := string(file(t, programme.Registry))
		for _, r := range [][2]string{
			{`"model_name": "Engine Health Monitoring NN"`, `"model_name": "Engine Health Network"`},
			{`"safety_level": "DAL-A"`, `"safety_level": "DAL-B"`},
			{`"industrialization_phase": "VALIDATION"`, `"industrialization_phase": "PRODUCTION"`},
			{`"associated_models": ["NN-FCS-001", "NN-NAV-001"],` + "\n" + `      "supplier": "Intel Corporation"`, `"associated_models": ["NN-NAV-001"],` + "\n" + `      "supplier": "Intel Corporation"`},
			{`"version": "3.0.1"`, `"version": "3.1.0"`},
			{`"certification_activities"`, `"certification_work"`},
		} {
			if strings.Count(text, r[0]) != 1 {
				t.Fatal(r[0])
			}
			text = strings.Replace(text, r[0], r[1], 1)
		}
		// Somebody has decided otherwise about one of them meanwhile.
		level := "DAL-C"
		w.ok(w.do(func(tx *db.Tx) error {
			_, err := w.UpdateModel(tx, "NN-FCS-001", registry.ModelChange{SafetyLevel: &level}, 0, carla)
			return err
		}))
		golden(t, "registry-changed.golden", w.run("registry.json", []byte(text), programmeProject))
		fcs, err := w.Model(ctx, "NN-FCS-001")
		w.ok(err)
		eng, err := w.Model(ctx, "NN-ENG-001")
		w.ok(err)
		if fcs.SafetyLevel != "DAL-C" || eng.Name != "Engine Health Network" {
			t.Errorf("%s, %s", fcs.SafetyLevel, eng.Name)
		}
		i, err := w.Industrialisation(ctx, "NN-FCS-001", "2.1.0")
		w.ok(err)
		if i.Phase != registry.Production || i.Sections["certification_activities"] != nil || i.Sections["certification_work"] == nil ||
			strings.Contains(string(i.Sections["hardware_targets"]), "HW-TGT-002") {
			t.Errorf("%+v", i)
		}
		if _, err := w.Version(ctx, "NN-NAV-001", "3.1.0"); err != nil {
			t.Error(err)
		}
		history, _, err := w.Statements(ctx, registry.StatementFilter{Subject: "NN-FCS-001", Ended: true}, "")
		w.ok(err)
		if len(history) != 2 || history[1].SupersededBy != history[0].StatementID || history[1].EndedAt == nil || history[0].EndedAt != nil {
			t.Errorf("%+v", history)
		}
		if w.run("registry.json", []byte(text), programmeProject).Changed {
			t.Error("the changed file changed something twice")
		}
		back := w.run("registry.json", file(t, programme.Registry), programmeProject)
		if !back.Changed || back.Ended == 0 {
			t.Errorf("%+v", back)
		}
	})
}

// TestChangedMatrix changes, adds and drops rows.
func TestChangedMatrix(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.run("m.csv", file(t, programme.Traceability), programmeProject)
		rows := strings.SplitAfter(string(file(t, programme.Traceability)), "\n")
		rows[1] = strings.Replace(rows[1], "Model freeze", "=The freeze", 1)                     // other words, and a formula
		rows[2] = "95-00-03-REQ-099,Requirement,95-00-09-01-001,Process,VALD,-3,DRAFT,,@carla\n" // another row
		rows[3] = strings.Replace(rows[3], "IMPL", "SUPR", 1)                                    // another link
		rows[4] = strings.Replace(rows[4], "ACTIVE,2025-11-17", `"RETIRED",2026-01-02`, 1)       // other facts
		golden(t, "traceability-changed.golden", w.run("m.csv", []byte(strings.Join(rows, "")), programmeProject))
		if w.run("m.csv", []byte(strings.Join(rows, "")), programmeProject).Changed {
			t.Error("the changed matrix changed something twice")
		}
		links, _, err := w.Links(context.Background(), registry.LinkFilter{SourceID: "95-00-03-REQ-001"}, "")
		w.ok(err)
		if links[0].Rationale != "=The freeze implements requirement traceability" || links[0].Revision != 2 {
			t.Errorf("%+v", links[0])
		}
		if links, _, err = w.Links(context.Background(), registry.LinkFilter{SourceID: "95-00-03-REQ-002"}, ""); err != nil || len(links) != 1 {
			t.Errorf("a link that the file drops is gone: %v %v", links, err)
		}
	})
}

// TestUnknownParts keeps what is not known and says so.
func TestUnknownParts(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		text := `{"registry_metadata": {"name": "R", "date": "2026-01-01", "extra": [1, 2.50]},
 "models": [{"model_id": "NN-A-001", "MODEL_ID": "NN-B-001", "model_name": "A", "version": "1.0.0", "safety_level": "DAL-E", "owner": "carla",
   "production_ready": true, "baseline_id": "BL-B-1.0.0", "tensor budget": {"mb": 12}},
  {"model_id": "NN-A-001", "model_name": "A", "version": "0.9.0", "safety_level": "DAL-E", "owner": "dora"}],
 "change_log": [{"date": "2026-01-01", "description": "same"}, {"date": "2026-01-01", "description": "same"}],
 "spare_parts": [{"id": 7, "associated_models": ["NN-A-001"]}, {"id": 8}],
 "motto": "per aspera",
 "hardware_targets": [{"target_id": "HW-1", "associated_models": ["NN-Z-009"]}]}`
		opt := importer.Options{User: func(_ *db.Tx, id string) (bool, error) { return id == "dora", nil }}
		golden(t, "unknown.golden", w.run("r.json", []byte(text), opt))
		m, err := w.Model(context.Background(), "NN-A-001")
		w.ok(err)
		if m.Owner != "dora" { // the lower version comes first
			t.Errorf("%+v", m)
		}
		i, err := w.Industrialisation(context.Background(), "NN-A-001", "1.0.0")
		w.ok(err)
		if i.ProductionReady || string(i.Sections["spare_parts"]) != `{"source":"r.json","entries":[{"id":7,"associated_models":["NN-A-001"]}]}` {
			t.Errorf("%+v", i)
		}
		list, _, err := w.Statements(context.Background(), registry.StatementFilter{Section: "models", Kind: "model"}, "")
		w.ok(err)
		if len(list) != 2 || !strings.Contains(string(list[0].Body)+string(list[1].Body), `"tensor budget":{"mb":12}`) {
			t.Errorf("%v", list)
		}
		if w.run("r.json", []byte(text), opt).Changed {
			t.Error("it changed something twice")
		}
	})
}

// TestRefusedByTheRegistry leaves nothing behind.
func TestRefusedByTheRegistry(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.ok(w.do(func(tx *db.Tx) error {
			_, err := w.CreateModel(tx, registry.Model{ModelID: "NN-ENG-001", Name: "Engine", Owner: "carla", Project: "other", Classification: "Internal"}, carla)
			if err == nil {
				_, err = w.CreateModel(tx, registry.Model{ModelID: "NN-SEC-001", Name: "Secret", Owner: "carla", Project: "ampel", Classification: "Regulated"}, carla)
			}
			if err == nil {
				_, err = w.CreateVersion(tx, registry.Version{ModelID: "NN-SEC-001", Version: "1.0.0"}, carla)
			}
			return err
		}))
		before := w.rows()
		ready := file(t, programme.Readiness)
		for name, c := range map[string]struct {
			file, text, baseline string
			kind                 caos.Kind
			field, say           string
		}{
			"model of another project": {"r.json", string(file(t, programme.Registry)), "", caos.Conflict, "project", "r.json, line 27: the model NN-ENG-001 is registered in another project"},
			"higher model": {"r.json", `{"models":[{"model_id":"NN-SEC-001","model_name":"x","version":"1.0.0","safety_level":"DAL-A"}]}`, "", caos.Denied, "classification",
				"r.json, line 1: NN-SEC-001 is classified higher"},
			"table of no baseline":           {"t.csv", string(ready), "", caos.Invalid, "baseline", "does not say of which baseline"},
			"table of no baseline's id":      {"t.csv", string(ready), "FCS", caos.Invalid, "baseline", "not a baseline id"},
			"table of an unknown version":    {"t.csv", string(ready), "BL-FCS-2.1.0", caos.NotFound, "baseline", "NN-FCS-001@2.1.0 is not registered"},
			"table of no version":            {"t.csv", string(ready), "NN-FCS-001@two", caos.Invalid, "baseline", "not a version"},
			"table of a higher model":        {"t.csv", string(ready), "NN-SEC-001@1.0.0", caos.Denied, "classification", "classified higher"},
			"link to another project":        {"m.csv", strings.Replace(string(file(t, programme.Traceability)), "95-00-09-03-001,", "NN-ENG-001@1.5.2,", 1), "", caos.Denied, "project", "NN-ENG-001 belongs to another project"},
			"link to another's baseline":     {"m.csv", strings.Replace(string(file(t, programme.Traceability)), "95-00-09-03-001,", "BL-ENG-1.5.2,", 1), "", caos.Denied, "project", "NN-ENG-001 belongs to another project"},
			"readiness without registration": {"t.csv", string(ready), "BL-ENG-1.5.2", caos.NotFound, "baseline", "is not registered in this project"},
		} {
			t.Run(name, func(t *testing.T) {
				opt := programmeProject
				opt.Baseline = c.baseline
				_, err := w.try(c.file, []byte(c.text), opt)
				var e *caos.Error
				if !errors.As(err, &e) || e.Kind != c.kind || e.Field != c.field || !strings.Contains(e.Message, c.say) || e.Hint == "" {
					t.Errorf("%v", err)
				}
				if now := w.rows(); now != before {
					t.Errorf("%s, before %s", now, before)
				}
			})
		}
	})
}

// TestDryRun reports what an import would do, and does nothing.
func TestDryRun(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		before := w.rows()
		opt := programmeProject
		opt.DryRun = true
		tried := w.run(programme.Registry, file(t, programme.Registry), opt)
		if w.rows() != before || !tried.DryRun || !tried.Changed {
			t.Errorf("%s, before %s", w.rows(), before)
		}
		done := w.run(programme.Registry, file(t, programme.Registry), programmeProject)
		done.DryRun = true
		if fmt.Sprint(done) != fmt.Sprint(tried) {
			t.Errorf("tried %+v, done %+v", tried, done)
		}
	})
}

// long is a matrix of n rows.
func long(n int) []byte {
	var b bytes.Buffer
	b.WriteString("Source_ID,Source_Type,Target_ID,Target_Type,Relationship,Rationale,Status,Last_Verified,Verified_By\n")
	for i := range n {
		fmt.Fprintf(&b, "REQ-%d,Requirement,DES-%d,Design,IMPL,row %d,ACTIVE,2026-01-02,carla\n", i, i%50, i)
	}
	return b.Bytes()
}

// TestLongFile takes several transactions, is cut short between them, and is taken up again.
func TestLongFile(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		const n = 3*importer.PieceSize + 7
		plan, err := importer.Read("long.csv", long(n))
		w.ok(err)
		pieces := 0
		_, err = importer.Run(func(fn func(tx *db.Tx) error) error {
			if pieces++; pieces == 3 {
				return caos.Errorf(caos.Unavailable, "the power is gone")
			}
			return w.do(fn)
		}, w.Registry, plan, programmeProject, carla)
		if e := caos.AsError(err); e.Kind != caos.Unavailable || !strings.Contains(e.Message, fmt.Sprintf("the first %d of %d entries are imported", 2*importer.PieceSize, n)) {
			t.Fatalf("%v", err)
		}
		r := w.run("long.csv", long(n), programmeProject)
		if r.Said != (importer.Counts{Created: n - 2*importer.PieceSize, Unchanged: 2 * importer.PieceSize}) || r.Pieces != 4 || r.Mapped[0].Counts != r.Said {
			t.Errorf("%+v", r)
		}
		// A file that drops nearly everything ends it, in pieces too.
		if r = w.run("long.csv", long(3), programmeProject); r.Ended != n-3 || r.Said.Unchanged != 3 {
			t.Errorf("%+v", r)
		}
	})
}

// TestTwoTables keeps the table of one baseline when that of another comes under its name.
func TestTwoTables(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.run("r.json", file(t, programme.Registry), programmeProject)
		opt := programmeProject
		for _, opt.Baseline = range []string{"BL-FCS-2.1.0", "NN-ENG-001@1.5.2"} {
			if r := w.run("t.csv", file(t, programme.Readiness), opt); r.Said.Created != 12 || r.Ended != 0 {
				t.Errorf("%+v", r)
			}
		}
		r := w.run("t.csv", change(t, programme.Readiness, "Data,Data Quality Validated,IN_PROGRESS,QA Lead,2025-11-30,Quality score 0.95\n", ""), opt)
		if r.Said.Unchanged != 11 || r.Ended != 1 {
			t.Errorf("%+v", r)
		}
		list, _, err := w.Statements(context.Background(), registry.StatementFilter{Subject: "BL-FCS-2.1.0", Kind: "readiness-item"}, "")
		w.ok(err)
		if len(list) != 12 {
			t.Errorf("%d rows stand", len(list))
		}
	})
}

// TestTwoAtOnce imports a file twice at the same time: one makes everything, the other finds
// it there.
func TestTwoAtOnce(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		type answer struct {
			r   *importer.Report
			err error
		}
		answers := make(chan answer, 2)
		data := file(t, programme.Registry)
		for range 2 {
			go func() {
				plan, err := importer.Read("r.json", data)
				if err != nil {
					answers <- answer{nil, err}
					return
				}
				r, err := importer.Run(w.do, w.Registry, plan, programmeProject, carla)
				answers <- answer{r, err}
			}()
		}
		made := importer.Counts{}
		for range 2 {
			a := <-answers
			w.ok(a.err)
			made.Created += a.r.Said.Created
			made.Unchanged += a.r.Said.Unchanged
		}
		if made != (importer.Counts{Created: 19, Unchanged: 19}) {
			t.Errorf("%+v", made)
		}
	})
}

// TestHigherVersionIsThere keeps what a file states of a version that came too late.
func TestHigherVersionIsThere(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.ok(w.do(func(tx *db.Tx) error {
			_, err := w.CreateModel(tx, registry.Model{ModelID: "NN-FCS-001", Name: "Another name", SafetyLevel: "DAL-A", Owner: "carla", Project: "ampel", Classification: "Internal"}, carla)
			if err == nil {
				_, err = w.CreateVersion(tx, registry.Version{ModelID: "NN-FCS-001", Version: "2.2.0"}, carla)
			}
			return err
		}))
		r := w.run("r.json", file(t, programme.Registry), programmeProject)
		golden(t, "registry-late.golden", r)
		if _, err := w.Industrialisation(context.Background(), "NN-FCS-001", "2.1.0"); caos.KindOf(err) != caos.NotFound {
			t.Error(err)
		}
		if w.run("r.json", file(t, programme.Registry), programmeProject).Changed {
			t.Error("it changed something twice")
		}
	})
}
