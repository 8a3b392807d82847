package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"caos"
	flightdelay "caos/examples/flight-delay"
	"caos/internal/client"
	"caos/internal/dataset"
	"caos/internal/engine"
	"caos/internal/hook"
	"caos/internal/httpapi"
	"caos/internal/sandbox"
	"caos/internal/worker"
)

// The data that the model was trained on comes first: a pipeline makes it, a contract judges
// it, and the freeze is linked to it.
const (
	hookPipeline = "CAOS.PROD.DATA.PIPELINE"
	hookValidate = "CAOS.PROD.DATA.VALIDATE"
	automation   = "automation" // the service account that validations run as
)

// dataScenes are told before the model is registered.
func (st *stage) dataScenes() []func(context.Context) error {
	if st.noWorker != nil {
		return []func(context.Context) error{st.withoutWorker}
	}
	return []func(context.Context) error{st.applyPipeline, st.runPipeline, st.validated, st.brokenSource}
}

// chooseSandbox finds out in which sandbox the worker runs on this machine. Containers
// often refuse namespaces; a demo may do with less, and says so.
func (st *stage) chooseSandbox(ctx context.Context) {
	program := worker.Find("")
	for _, level := range []sandbox.Level{sandbox.Namespaces, sandbox.Reduced} {
		if st.noWorker = worker.New(worker.Options{Program: program, Level: level}).Available(ctx); st.noWorker == nil {
			st.sandbox = level
			return
		}
	}
}

// withoutWorker says what is missing.
func (st *stage) withoutWorker(context.Context) error {
	st.screen.chapter("The data: left out")
	e := caos.AsError(st.noWorker)
	st.screen.note("%s; %s", e.Message, e.Hint)
	return nil
}

// flightSource is the source of the demo's pipeline.
type flightSource struct {
	file   string // below the folder that file: addresses may name
	format string
	whole  bool // all three million
}

// bringFlights puts the flights into the installation's source folder: all of them where the
// file is at hand and is the one that the model was trained on, else the extract.
func (st *stage) bringFlights() (flightSource, error) {
	folder := filepath.Join(st.dir, "sources")
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.MkdirAll(filepath.Join(st.dir, "published"), 0o755)); err != nil {
		return flightSource{}, err
	}
	want, err := statedDigests("training-dataset.json")
	if err != nil {
		return flightSource{}, err
	}
	for _, name := range []string{st.flights, "flights-3m.parquet", "../shared/data/flights-3m.parquet", "node_modules/vega-datasets/data/flights-3m.parquet"} {
		if name == "" {
			continue
		}
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) && name != st.flights {
			continue
		}
		if err != nil {
			return flightSource{}, err
		}
		if sum := sha256.Sum256(text); "SHA256:"+hex.EncodeToString(sum[:]) != want.Source.Digest {
			if name == st.flights {
				return flightSource{}, caos.Errorf(caos.Invalid, "%s is not the file that the model was trained on", name).WithField("flights").
					WithHint("it is %s, %s", want.Source.PublishedAs, want.Source.Digest)
			}
			continue
		}
		return flightSource{"flights-3m.parquet", "parquet", true}, os.WriteFile(filepath.Join(folder, "flights-3m.parquet"), text, 0o644)
	}
	text, err := flightdelay.Files.ReadFile("flights-extract.csv")
	if err != nil {
		return flightSource{}, err
	}
	return flightSource{"flights-extract.csv", "csv", false}, os.WriteFile(filepath.Join(folder, "flights-extract.csv"), text, 0o644)
}

// stated is what a dataset's description in the example says of it.
type stated struct {
	Rows       int64  `json:"rows"`
	RowsDigest string `json:"rows_digest"`
	Source     struct {
		Digest      string `json:"digest"`
		PublishedAs string `json:"published_as"`
	} `json:"source"`
}

func statedDigests(file string) (s stated, err error) {
	text, err := flightdelay.Files.ReadFile(file)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// definition is the pipeline of the example with this demo's folders in it.
func (st *stage) definition() ([]byte, error) {
	text, err := flightdelay.Files.ReadFile("pipeline.yaml")
	if err != nil {
		return nil, err
	}
	file := func(parts ...string) []byte {
		u := url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(append([]string{st.dir}, parts...)...))}
		return []byte(u.String())
	}
	text = bytes.ReplaceAll(text, []byte("file:///FLIGHTS/flights-extract.csv"), file("sources", st.source.file))
	return bytes.ReplaceAll(text, []byte("file:///PUBLISHED"), file("published")), nil
}

// applyPipeline registers the contract and the pipeline, and lets validations begin by
// themselves.
func (st *stage) applyPipeline(ctx context.Context) (err error) {
	st.screen.chapter("The data first: real flights, and what may be expected of them")
	if st.sandbox != sandbox.Namespaces {
		st.screen.note("this machine refuses the namespaces of the worker's sandbox; the demo sets sandbox: %s, which docs/worker.md explains", st.sandbox)
	}
	if st.source, err = st.bringFlights(); err != nil {
		return err
	}
	contract, err := flightdelay.Files.ReadFile("contract.yaml")
	if err != nil {
		return err
	}
	engineer := st.people["data-engineer"]
	var made httpapi.RegisteredContract
	if err := sendYAML(ctx, engineer, "/v1/contracts", contract, &made); err != nil {
		return err
	}
	st.screen.good("data-engineer registers the data contract %s %s: %s for %s", made.Contract.ContractID, made.Contract.Version,
		plural(made.Contract.Checks, "check", "checks"), strings.Join(made.Contract.Objects, ", "))
	text, err := st.definition()
	if err != nil {
		return err
	}
	escaping := bytes.Replace(text, []byte("FROM flights\n"), []byte("FROM read_text('/etc/passwd')\n"), 1)
	if bytes.Equal(escaping, text) {
		return errors.New("the example's SQL has no place to escape from")
	}
	err = sendYAML(ctx, engineer, "/v1/pipelines", escaping, nil)
	if caos.KindOf(err) != caos.Invalid {
		return fmt.Errorf("a pipeline whose SQL reads a file of the machine: %w", err)
	}
	st.screen.caught("a pipeline whose SQL reads a file of the machine: %s", caos.AsError(err).Message)
	var applied httpapi.AppliedPipeline
	if err := sendYAML(ctx, engineer, "/v1/pipelines", text, &applied); err != nil {
		return err
	}
	st.pipeline = applied.Pipeline
	st.screen.good("and the pipeline %s %s: %s, %s, %s", st.pipeline.PipelineID, st.pipeline.PipelineVersion, plural(len(st.pipeline.Sources), "source", "sources"),
		plural(len(st.pipeline.Transforms), "SQL step", "SQL steps"), plural(len(st.pipeline.Targets), "target", "targets"))
	return st.letValidate(ctx)
}

// sendYAML posts a text as somebody.
func sendYAML(ctx context.Context, cl *client.Client, path string, text []byte, into any) error {
	a, err := cl.Do(ctx, client.Call{Method: http.MethodPost, Path: path, Body: text, Header: http.Header{"Content-Type": {"application/yaml"}}})
	if err != nil || into == nil {
		return err
	}
	return a.Decode(into)
}

// letValidate switches the shipped trigger on.
func (st *stage) letValidate(ctx context.Context) error {
	const name = "pipeline-validation"
	if err := st.people["mlops-engineer"].Post(ctx, "/v1/triggers/"+name+"/enable", nil, nil); err != nil {
		return err
	}
	st.screen.good("mlops-engineer enables the trigger %s with a second factor: what a pipeline publishes is validated by the service account %s", name, automation)
	return nil
}

// runPipeline runs it and compares what it made with what the model's papers say.
func (st *stage) runPipeline(ctx context.Context) error {
	st.screen.chapter("The pipeline")
	const who = "data-engineer"
	run, err := st.submitPipeline(ctx, who)
	if err != nil {
		return err
	}
	if run, err = st.watchSteps(ctx, who, run); err != nil {
		return err
	}
	var out hook.PipelineOutput
	if err := json.Unmarshal(run.Output, &out); err != nil || out.Status == nil || out.RecordsProcessed == nil {
		return fmt.Errorf("%s has no output: %v: %w", run.ID, run.Findings, err)
	}
	st.dataRun = run.ID
	st.screen.facts(pair{"status", *out.Status}, pair{"rows read", grouped(*out.RecordsProcessed)}, pair{"datasets", fmt.Sprint(len(out.OutputDatasets))})
	for _, issue := range out.Issues {
		st.screen.note("%s", issue)
	}
	for _, target := range []string{"training", "evaluation"} {
		if err := st.compareRows(ctx, target); err != nil {
			return err
		}
	}
	return nil
}

func (st *stage) submitPipeline(ctx context.Context, who string) (*engine.Execution, error) {
	body, err := json.Marshal(hook.PipelineInput{PipelineID: st.pipeline.PipelineID, PipelineVersion: st.pipeline.PipelineVersion, ExecutionMode: "ON_DEMAND",
		DataSources: []string{}, TargetDatasets: []string{}})
	if err != nil {
		return nil, err
	}
	st.screen.hook(hookPipeline, st.pipeline.PipelineID+" "+st.pipeline.PipelineVersion, who)
	a, err := submit(ctx, st.people[who], submission{hook: hookPipeline, body: body})
	if err != nil {
		return nil, err
	}
	return execution(a.Body)
}

// compareRows compares a table with what the model's documents state of it.
func (st *stage) compareRows(ctx context.Context, target string) error {
	file := map[string]string{"training": "training-dataset.json", "evaluation": "validation-dataset.json"}[target]
	want, err := statedDigests(file)
	if err != nil {
		return err
	}
	var v dataset.Version
	if err := st.people["data-engineer"].Get(ctx, "/v1/datasets/"+dataset.DatasetID(st.pipeline.PipelineID, target)+"/versions/1", nil, &v); err != nil {
		return err
	}
	if !st.source.whole {
		st.screen.note("%s: %s of the extract; all flights give the %s that %s states", v.DatasetID, plural(int(v.Rows), "row", "rows"), grouped(want.Rows), file)
		return nil
	}
	if len(v.Files) != 1 || v.Rows != want.Rows || v.Files[0].Digest != want.RowsDigest {
		return fmt.Errorf("%s has %d rows and %v, and %s states %d rows and %s", v.DatasetID, v.Rows, v.Files, file, want.Rows, want.RowsDigest)
	}
	st.screen.good("%s: %s rows, %s…: byte for byte the rows that %s states", v.DatasetID, grouped(v.Rows), v.Files[0].Digest[:21], file)
	return nil
}

// validated waits for the validation that the trigger began and shows what is wrong.
func (st *stage) validated(ctx context.Context) error {
	st.screen.chapter("What is wrong with these data")
	windows := dataset.DatasetID(st.pipeline.PipelineID, "windows")
	v, err := st.validationOf(ctx, windows)
	if err != nil {
		return err
	}
	x, err := executionOf(ctx, st.people["data-engineer"], v.ExecutionID)
	if err != nil {
		return err
	}
	st.screen.hook(hookValidate, windows, automation)
	if _, err = st.watchSteps(ctx, "data-engineer", x); err != nil {
		return err
	}
	st.screen.say("%s, score %.2f: %d of %d checks passed, %s flagged", v.Status, deref(v.Score), v.Passed, v.Performed, plural(int(v.Anomalies), "extreme value", "extreme values"))
	for _, k := range v.Checks {
		if !k.Passed {
			st.screen.caught("%s: %s Found %s, expected %s.", k.ID, k.Description, k.Value, k.Expected)
		}
	}
	var report bytes.Buffer
	if _, err := st.people["data-engineer"].Download(ctx, "/v1/validations/"+escape(v.ValidationID)+"/report", nil, &report); err != nil {
		return err
	}
	name := filepath.Join(st.dir, v.ValidationID+".html")
	if err := os.WriteFile(name, report.Bytes(), 0o644); err != nil {
		return err
	}
	st.screen.note("the whole report: %s", name)
	return nil
}

// validationOf waits for the first validation of a dataset.
func (st *stage) validationOf(ctx context.Context, id string) (*dataset.Validation, error) {
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var page httpapi.Page[dataset.Validation]
		if err := st.people["data-engineer"].Get(ctx, "/v1/datasets/"+id+"/validations", nil, &page); err != nil {
			return nil, err
		}
		if len(page.Items) > 0 {
			var v dataset.Validation
			return &v, st.people["data-engineer"].Get(ctx, "/v1/validations/"+escape(page.Items[0].ValidationID), nil, &v)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no validation of %s began: %w", id, ctx.Err())
		case <-tick.C:
		}
	}
}

// madeFrom shows, once the model is frozen, what it was made from.
func (st *stage) madeFrom(ctx context.Context) error {
	if st.pipeline == nil {
		return nil
	}
	st.screen.chapter("From the frozen model back to the file of flights")
	var l dataset.Lineage
	if err := st.people["model-owner"].Get(ctx, "/v1/lineage", url.Values{"node": {st.baseline}, "direction": {dataset.LineageUp}}, &l); err != nil {
		return err
	}
	var drawn bytes.Buffer
	e := *st.e
	e.out, e.paint = &drawn, st.screen.p
	e.lineage(&l)
	for line := range strings.Lines(drawn.String()) {
		fmt.Fprint(st.screen.w, indent, line)
	}
	if training := dataset.DatasetID(st.pipeline.PipelineID, "training"); st.source.whole && !strings.Contains(drawn.String(), training) {
		return fmt.Errorf("the lineage of %s does not lead to %s", st.baseline, training)
	}
	return nil
}

// brokenSource runs the pipeline on a file that was cut short: nothing of it is published.
func (st *stage) brokenSource(ctx context.Context) error {
	st.screen.chapter("The same pipeline, when its source was cut short")
	name := filepath.Join(st.dir, "sources", st.source.file)
	whole, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	cut := whole[:len(whole)/2+7] // in the middle of a row
	if err := os.WriteFile(name, cut, 0o644); err != nil {
		return err
	}
	before, err := digestOfFile(filepath.Join(st.dir, "published", "training.csv"))
	if err != nil {
		return err
	}
	run, err := st.submitPipeline(ctx, "data-engineer")
	if err != nil {
		return err
	}
	if run, err = watch(ctx, st.people["data-engineer"], watching{id: run.ID, state: func([]byte, *engine.Execution) {}}); err != nil {
		return err
	}
	if run.Status != engine.Failed || len(run.Findings) == 0 {
		return fmt.Errorf("%s ended %s on a source that was cut short", run.ID, run.Status)
	}
	st.screen.caught("FAILED: %s", run.Findings[0].Message)
	after, err := digestOfFile(filepath.Join(st.dir, "published", "training.csv"))
	if err != nil {
		return err
	}
	if after != before {
		return errors.New("a failed run changed what was published")
	}
	st.screen.good("what was published before is untouched: %s…", after[:21])
	return os.WriteFile(name, whole, 0o644)
}

func digestOfFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "SHA256:" + hex.EncodeToString(h.Sum(nil)), nil
}

func deref(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}
