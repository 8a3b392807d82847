package hook

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/location"
	"caos/internal/location/s3test"
	"caos/internal/secret"
	"caos/internal/worker"
)

// Runs of one pipeline take turns in the order in which they were asked for. A run that waits
// names the one ahead, holds nothing and looks at nothing; one that is cancelled while it
// waits lets the next one past. Mutation that makes this fail: leave without Wake.
func TestDataPipelineTurns(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.write("flights.csv", flightsCSV)
		w.registerData(w.daily(""), dailyRules)
		held, err := w.engine.Allocator().Acquire(context.Background(), holdAll(w))
		if err != nil {
			t.Fatal(err)
		}
		defer held()
		var ids []string
		for range 4 {
			x, err := w.submitAsync(pipelineRequest(nil))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, x.ID)
			w.reaches(x.ID, "take-turn") // turns come in the order in which they are taken, not submitted
		}
		w.reaches(ids[0], "allocate-compute")
		versions := map[string]int64{}
		for i, id := range ids[1:] {
			x := w.reaches(id, "await-turn")
			last := x.Steps[len(x.Steps)-1]
			if x.Status != engine.Waiting || last.Item != ids[i] {
				t.Errorf("%s is %s behind %q", id, x.Status, last.Item)
			}
			versions[id] = x.Version
		}
		if _, _, waiting := w.engine.Allocator().Usage(); waiting != 1 {
			t.Errorf("%d wait for compute", waiting)
		}
		if _, err := w.engine.Cancel(context.Background(), ids[2], "not wanted", w.as("dana"), nil); err != nil {
			t.Fatal(err)
		}
		if x := w.await(ids[2]); x.Status != engine.Cancelled {
			t.Errorf("%s", x.Status)
		}
		x := w.reaches(ids[3], "await-turn")
		if x.Version != versions[ids[3]] {
			// It was woken by the one that left, and waits for the next one ahead.
			for range 100 {
				if x, err = w.engine.Get(context.Background(), ids[3]); err != nil || x.Status == engine.Waiting {
					break
				}
			}
		}
		held()
		var ended []string
		for _, id := range []string{ids[0], ids[1], ids[3]} {
			x := w.await(id)
			w.ended(x, pipelineSuccess)
			ended = append(ended, *x.FinishedAt)
		}
		if !(ended[0] < ended[1] && ended[1] < ended[2]) {
			t.Errorf("they ended at %v", ended)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM pipeline_turns`: 0, `SELECT COUNT(*) FROM dataset_versions`: 3, `SELECT COUNT(*) FROM pipeline_runs WHERE status='CANCELLED'`: 1})
		w.noScratch()
	})
}

// Whenever somebody cancels a run, it either has not published anything, and the targets are
// as they were, or it has, and says so. Nothing is left behind.
func TestDataPipelineCancelledAtEachStep(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs a pipeline for each step")
	}
	for _, step := range []string{"probe-sources", "allocate-compute", "run-etl", "check-quality", "stage-targets", "commit-target", "finish-targets", "write-report"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.Open(t, db.SQLite))
			w.write("flights.csv", flightsCSV)
			w.registerData(w.daily(""), dailyRules)
			if err := os.WriteFile(w.target("train.parquet"), []byte("what was there"), 0o644); err != nil {
				t.Fatal(err)
			}
			before := tree(t, w.dirs.targets)
			x, err := w.submitAsync(pipelineRequest(nil))
			if err != nil {
				t.Fatal(err)
			}
			w.reaches(x.ID, step)
			began := time.Now()
			_, err = w.engine.Cancel(context.Background(), x.ID, "not wanted", w.as("dana"), nil)
			x = w.await(x.ID)
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
			switch {
			case err != nil && x.Status == engine.Succeeded: // too late
			case findingOf(x, "publication-stands") != nil:
				if out := w.pipelineOutput(x); *out.Status != pipelineSuccess || len(out.OutputDatasets) != 1 {
					t.Errorf("output %+v", out)
				}
			default:
				out := w.pipelineOutput(x)
				if x.Status != engine.Cancelled || out.Status == nil || *out.Status != pipelineFailed || len(out.Issues) == 0 || !strings.Contains(out.Issues[0], "not wanted") {
					t.Errorf("%s %+v", x.Status, out)
				}
				if !sameTree(before, tree(t, w.dirs.targets)) {
					t.Errorf("the targets were touched: %v", tree(t, w.dirs.targets))
				}
				w.counts(map[string]int{`SELECT COUNT(*) FROM dataset_versions`: 0, `SELECT COUNT(*) FROM pipeline_runs WHERE status='CANCELLED'`: 1})
			}
			w.counts(map[string]int{`SELECT COUNT(*) FROM pipeline_turns`: 0})
			w.only("train.parquet")
			if total, free, waiting := w.engine.Allocator().Usage(); free != total || waiting != 0 {
				t.Errorf("of %+v only %+v came back, %d wait", total, free, waiting)
			}
			w.noScratch()
		})
	}
}

// A worker that computes is stopped soon after the cancellation.
func TestDataPipelineCancelsTheWorker(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.write("flights.csv", flightsCSV)
	text := strings.Replace(w.daily(""), "SELECT carrier, distance, delay > 15 AS late FROM flights",
		"SELECT 'AA' AS carrier, CAST(sum(a.i * b.i % 7) AS INTEGER) AS distance, true AS late FROM range(3000000) a(i), range(3000000) b(i)", 1)
	w.registerData(text, dailyRules)
	started := make(chan struct{}, 8)
	w.worker.meanwhile(func(string, worker.Job) { started <- struct{}{} })
	x, err := w.submitAsync(pipelineRequest(nil))
	if err != nil {
		t.Fatal(err)
	}
	<-started
	began := time.Now()
	if _, err := w.engine.Cancel(context.Background(), x.ID, "not wanted", w.as("dana"), nil); err != nil {
		t.Fatal(err)
	}
	if x = w.await(x.ID); x.Status != engine.Cancelled || time.Since(began) > 20*time.Second {
		t.Errorf("%s after %v", x.Status, time.Since(began))
	}
	w.noScratch()
}

// A cancellation on another node, which cannot reach the step that this one is in, ends it
// soon. Mutation that makes this fail: runETL without watched.
func TestDataPipelineCancelledElsewhere(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.write("flights.csv", flightsCSV)
		w.registerData(strings.Replace(w.daily(""), "SELECT carrier, distance, delay > 15 AS late FROM flights",
			"SELECT 'AA' AS carrier, CAST(sum(a.i * b.i % 7) AS INTEGER) AS distance, true AS late FROM range(3000000) a(i), range(3000000) b(i)", 1), dailyRules)
		started := make(chan struct{}, 8)
		w.worker.meanwhile(func(string, worker.Job) { started <- struct{}{} })
		x, err := w.submitAsync(pipelineRequest(nil))
		if err != nil {
			t.Fatal(err)
		}
		<-started
		other, err := engine.New(engine.Options{DB: d, Log: w.log, Stamps: caos.NewStamper(time.Now, time.Now(), 0, 1), Flows: Flows(Catalog(w.parts))})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := other.Cancel(context.Background(), x.ID, "not wanted", w.as("dana"), nil); err != nil {
			t.Fatal(err)
		}
		if x = w.await(x.ID); x.Status != engine.Cancelled || time.Since(began) > 30*time.Second {
			t.Errorf("%s after %v", x.Status, time.Since(began))
		}
		w.noScratch()
	})
}

// two is a pipeline with two targets and an optional source.
func (w *world) two(optionalTarget bool, columns string) string {
	second := "- name: carriers\n  from: carriers\n  uri: file://" + w.target("carriers") + "/\n  format: csv\n"
	if optionalTarget {
		second += "  optional: true\n"
	}
	return w.pipelineText("1.0", indent("- name: flights\n  uri: file://"+filepath.Join(w.files, "flights.csv")+"\n  format: csv\n- name: names\n  uri: file://"+
		filepath.Join(w.files, "names.csv")+"\n  format: csv\n  optional: true\n"+columns),
		indent("- name: counted\n  sql: SELECT carrier, count(*) AS n FROM flights GROUP BY carrier\n- name: carriers\n  sql: SELECT c.carrier, c.n, x.name FROM counted c LEFT JOIN names x ON x.carrier = c.carrier"),
		indent("- name: train\n  from: flights\n  uri: file://"+w.target("train.parquet")+"\n  format: parquet\n"+second), "compute: {memory: 512 MiB, threads: 1, scratch: 64 MiB, timeout: 60s}\n")
}

// Where an optional source is missing, a table without rows stands for it. An optional target
// whose SQL fails, or that its checks block, falls away; a required one stops the run.
func TestDataPipelineWithoutOptionalParts(t *testing.T) {
	t.Parallel()
	const columns = "  columns: [{name: carrier, type: VARCHAR}, {name: name, type: VARCHAR}]\n"
	run := func(t *testing.T, optional bool, change ...string) (*world, *engine.Execution) {
		w := newWorld(t, dbtest.Open(t, db.SQLite))
		w.write("flights.csv", flightsCSV)
		w.registerData(strings.NewReplacer(change...).Replace(w.two(optional, columns)), dailyRules)
		x, _ := w.runs(nil)
		return w, x
	}
	t.Run("a missing source", func(t *testing.T) {
		w, x := run(t, false)
		out := w.ended(x, pipelinePartial)
		if len(out.OutputDatasets) != 2 || !strings.Contains(out.Issues[0], "Source names could not be read") {
			t.Errorf("%+v", out)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM events WHERE type='caos.pipeline.completed'`: 2, `SELECT COUNT(*) FROM events WHERE type='caos.pipeline.succeeded'`: 0})
	})
	t.Run("a source that was not chosen", func(t *testing.T) {
		w := newWorld(t, dbtest.Open(t, db.SQLite))
		w.write("flights.csv", flightsCSV)
		w.registerData(w.two(false, columns), "")
		x, _ := w.runs(map[string]any{"data_sources": []string{"flights"}})
		out := w.ended(x, pipelinePartial)
		if len(out.OutputDatasets) != 2 || !strings.Contains(out.Issues[0], "Source names was not chosen") {
			t.Errorf("%+v", out)
		}
		x, _ = w.runs(map[string]any{"data_sources": []string{"flights"}, "target_datasets": []string{"train"}})
		if out := w.ended(x, pipelineSuccess); len(out.OutputDatasets) != 1 {
			t.Errorf("%+v", out)
		}
	})
	t.Run("an interval", func(t *testing.T) {
		w := newWorld(t, dbtest.Open(t, db.SQLite))
		w.write("flights-2001-01.csv", flightsCSV)
		text := strings.NewReplacer("flights.csv", "flights-{yyyy}-{mm}.csv", "train.parquet", "train-{yyyy}-{mm}.parquet", "FROM flights",
			"FROM flights WHERE flight_date >= getvariable('interval_start') AND flight_date < TIMESTAMP '2001-01-02'").Replace(w.daily("interval: month\n"))
		w.registerData(text, dailyRules)
		x, _ := w.runs(map[string]any{"data_sources": []string{"flights@2001-01-01/2001-02-01"}})
		out := w.ended(x, pipelineSuccess)
		w.only("train-2001-01.parquet")
		if *out.RecordsProcessed != 4 {
			t.Errorf("%+v", out)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM pipeline_runs WHERE span='2001-01-01/2001-02-01'`: 1, `SELECT COUNT(*) FROM dataset_versions WHERE row_count=2`: 1})
	})
	t.Run("a source that cannot be read", func(t *testing.T) {
		w := newWorld(t, dbtest.Open(t, db.SQLite))
		w.write("flights.csv", flightsCSV)
		w.write("names.csv", "carrier,name\nAA,Able,more\n")
		w.registerData(w.two(false, columns), "")
		x, _ := w.runs(nil)
		out := w.ended(x, pipelinePartial)
		if !strings.Contains(out.Issues[0], "Source names could not be read") || !strings.Contains(out.Issues[0], "line 2") {
			t.Errorf("%+v", out)
		}
	})
	for _, c := range []struct {
		name, rule, word string
		change           []string
	}{
		{"SQL that fails", "worker-sql", "no_such", []string{"SELECT c.carrier, c.n, x.name", "SELECT c.carrier, c.no_such, x.name"}},
		{"SQL that fails late", "worker-", "x4", []string{"SELECT c.carrier, c.n, x.name", "SELECT c.carrier, CAST('x' || c.n || '4' AS INTEGER) AS n, x.name"}},
		{"checks that block", "quality-blocked", "distance", []string{"  from: carriers\n", "  from: carriers\n    contract: 95-00-09-02-004\n", "SELECT c.carrier, c.n, x.name", "SELECT c.carrier, NULL::INTEGER AS distance"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, x := run(t, true, c.change...)
			out := w.ended(x, pipelinePartial)
			if len(out.OutputDatasets) != 1 || !strings.Contains(strings.Join(out.Issues, " "), "Target carriers is not published") {
				t.Errorf("%+v", out)
			}
			w.only("train.parquet")
			w, x = run(t, false, c.change...)
			w.ended(x, pipelineFailed)
			if f := x.Findings[0]; !strings.HasPrefix(f.Rule, c.rule) || !strings.Contains(f.Message, "carriers") {
				t.Errorf("%+v", f)
			}
			w.only()
		})
	}
}

// A required target that cannot be made visible takes back the one that was; an optional one
// does not. Mutation that makes this fail: undoable without committed targets.
func TestDataPipelineTakesBack(t *testing.T) {
	t.Parallel()
	for _, optional := range []bool{false, true} {
		t.Run(map[bool]string{false: "required", true: "optional"}[optional], func(t *testing.T) {
			w := newWorld(t, dbtest.Open(t, db.SQLite))
			w.write("flights.csv", flightsCSV)
			w.write("names.csv", "carrier,name\nAA,Able\n")
			w.registerData(w.two(optional, "  columns: [{name: carrier, type: VARCHAR}, {name: name, type: VARCHAR}]\n"), "")
			if err := os.WriteFile(w.target("train.parquet"), []byte("what was there"), 0o644); err != nil {
				t.Fatal(err)
			}
			before := tree(t, w.dirs.targets)
			n := 0
			w.asked = func(string) { // in the intents of the two publications
				if n++; n == 2 {
					staged, _ := filepath.Glob(filepath.Join(w.dirs.targets, ".caos-*"))
					for _, s := range staged {
						for name := range tree(t, s) {
							if strings.HasSuffix(name, ".csv") {
								_ = os.RemoveAll(s)
							}
						}
					}
				}
			}
			x, _ := w.runs(nil)
			if optional {
				out := w.ended(x, pipelinePartial)
				if len(out.OutputDatasets) != 1 {
					t.Errorf("%+v", out)
				}
				w.only("train.parquet")
				return
			}
			w.ended(x, pipelineFailed)
			if !sameTree(before, tree(t, w.dirs.targets)) {
				t.Errorf("the targets are %v", tree(t, w.dirs.targets))
			}
			w.counts(map[string]int{`SELECT COUNT(*) FROM dataset_versions`: 0})
		})
	}
}

// A pipeline that is retired while it runs, or whose requester is disabled, publishes nothing.
func TestDataPipelineMayNotPublishAnyMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.write("flights.csv", flightsCSV)
	w.registerData(w.daily(""), dailyRules)
	runs := 0
	w.worker.meanwhile(func(string, worker.Job) {
		if runs++; runs == 1 {
			if err := w.db.Update(context.Background(), func(tx *db.Tx) error {
				_, err := w.datasets.Retire(tx, dpDaily, "wrong since March", dataBy())
				return err
			}); err != nil {
				t.Error(err)
			}
		}
	})
	x, _ := w.runs(nil)
	w.ended(x, pipelineFailed)
	if findingOf(x, "pipeline-retired") == nil {
		t.Errorf("%+v", x.Findings)
	}
	w.only()
	if _, err := w.submit("dana", pipelineHook, pipelineRequest(nil)); caos.KindOf(err) != caos.Conflict {
		t.Errorf("a run of a retired pipeline: %v", err)
	}
}

// A role that is taken from whoever asked for a run, while it runs, is not used any more.
func TestDataPipelineRoleWithdrawn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.write("flights.csv", flightsCSV)
	w.registerData(w.daily(""), dailyRules)
	runs := 0
	w.worker.meanwhile(func(string, worker.Job) {
		if runs++; runs == 1 {
			if err := w.auth.RevokeRole(context.Background(), caos.Principal{ID: "admin", Roles: []string{"admin"}, MFA: "totp"}, "dana", "data-engineer"); err != nil {
				t.Error(err)
			}
		}
	})
	x, _ := w.runs(nil)
	w.ended(x, pipelineFailed)
	if findingOf(x, "requester-not-allowed") == nil {
		t.Errorf("%+v", x.Findings)
	}
	w.only()
	w.counts(map[string]int{`SELECT COUNT(*) FROM dataset_versions`: 0})
}

// A run that a real object store serves: sources and targets in S3.
func TestDataPipelineS3(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t, "lake")
	places := newPlaces(t)
	places.buckets = []location.Bucket{{Bucket: "lake", Endpoint: server.URL, PathStyle: true, Write: true, AccessKey: "vault:lake#access", SecretKey: "vault:lake#secret"}}
	places.vault = plainVault{"vault:lake#access": server.Access, "vault:lake#secret": server.Secret}
	w := places.open(t, dbtest.Open(t, db.SQLite), true)
	server.Put(t, "lake", "in/2001-01.csv", flightsCSV)
	server.Put(t, "lake", "in/2001-02.csv", "flight_date,carrier,distance,delay\n2001-02-01,DD,7,7\n")
	server.Put(t, "lake", "out/train/old.parquet", "what was there")
	text := strings.ReplaceAll(w.daily(""), "file://"+filepath.Join(w.files, "flights.csv"), "s3://lake/in/*.csv")
	text = strings.ReplaceAll(text, "file://"+w.target("train.parquet"), "s3://lake/out/train/")
	w.registerData(text, dailyRules)
	x, _ := w.runs(nil)
	w.ended(x, pipelineFailed)
	if text, _ := server.Get(t, "lake", "out/train/old.parquet"); findingOf(x, "target-occupied") == nil || text != "what was there" {
		t.Errorf("%q, %+v", text, x.Findings)
	}
	if _, err := server.Client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("lake"), Key: aws.String("out/train/old.parquet")}); err != nil {
		t.Fatal(err)
	}
	x, _ = w.runs(nil)
	w.ended(x, pipelineSuccess)
	server.Put(t, "lake", "out/train/old.parquet", "what was there")
	x, _ = w.runs(nil)
	out := w.ended(x, pipelineSuccess)
	if *out.RecordsProcessed != 5 {
		t.Errorf("records %d", *out.RecordsProcessed)
	}
	objects, uploads := server.List(t, "lake", "out/")
	if len(objects) != 1 || !strings.HasSuffix(objects[0], ".parquet") || strings.Contains(objects[0], "old") || len(uploads) != 0 {
		t.Errorf("objects %v, uploads %v", objects, uploads)
	}
	server.Put(t, "lake", "in/2001-02.csv", "flight_date,carrier,distance,delay\n2001-02-01,DD,,7\n")
	x, _ = w.runs(nil)
	w.ended(x, pipelineFailed)
	if now, uploads := server.List(t, "lake", "out/"); len(now) != 1 || now[0] != objects[0] || len(uploads) != 0 {
		t.Errorf("objects %v, uploads %v", now, uploads)
	}
}

// plainVault is a vault of a test.
type plainVault map[string]string

func (v plainVault) Get(_ context.Context, ref secret.Ref) ([]byte, error) {
	if text, ok := v[ref.String()]; ok {
		return []byte(text), nil
	}
	return nil, caos.Errorf(caos.NotFound, "there is no %s", ref)
}

// only fails unless the targets are the files named.
func (w *world) only(names ...string) {
	w.t.Helper()
	have := tree(w.t, w.dirs.targets)
	for _, n := range names {
		if have[n] == "" {
			w.t.Errorf("%s is not there: %v", n, have)
		}
	}
	if len(have) != len(names) {
		w.t.Errorf("the targets are %v, want %v", have, names)
	}
}
