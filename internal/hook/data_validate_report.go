package hook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"caos"
	"caos/internal/alert"
	"caos/internal/contract"
	"caos/internal/dataset"
	"caos/internal/engine"
	"caos/internal/location"
	"caos/internal/object"
	"caos/internal/report"
	"caos/internal/worker"
)

// This file has the steps of a validation that touch more than the database: fetching the
// bytes, running the checks on them, and writing up what came of it.

// ruleDatasetChanged is the finding that what lies at a dataset's address is not the version.
const ruleDatasetChanged = "dataset-changed"

// foundFacts is what the worker found, as it waits in the object store for the report.
type foundFacts struct {
	Contract string            `json:"contract"` // its name
	Outcome  *contract.Outcome `json:"outcome"`
	Masked   []string          `json:"masked"`   // columns whose values are not to be shown
	Columns  []string          `json:"columns"`  // in the order of the table
	Physical map[string]string `json:"physical"` // columns by the names of the contract's properties
	SQL      []contract.Query  `json:"sql"`
	Bytes    int64             `json:"bytes"`
	Seconds  float64           `json:"seconds"`
	Engine   string            `json:"engine,omitempty"` // what counted, with its version
}

// rules is the pinned contract with the object that is about the dataset.
func (h *dataValidate) rules(ctx context.Context, s *validateState) (*contract.Contract, *contract.Object, error) {
	stored, err := h.datasets.Contract(ctx, s.ContractID, s.ContractVersion)
	if err != nil {
		return nil, nil, err
	}
	c, err := contract.Parse(stored.Text)
	if err != nil {
		return nil, nil, err
	}
	if c.Digest != s.ContractDigest {
		return nil, nil, caos.Errorf(caos.Conflict, "contract %s version %s has digest %s, it had %s when this validation began", s.ContractID, s.ContractVersion, c.Digest, s.ContractDigest).
			WithField("validation_rules_id").WithHint("validate again; a registered version of a contract never changes, so look into who could change it: caos audit verify")
	}
	_, target, _ := strings.Cut(s.DatasetID, ".")
	obj, err := contractObject(c, target)
	return c, obj, err
}

// runChecks fetches the version's bytes and has the worker check them. Running it again after
// a crash does the same again; its only effect is an object that nothing refers to yet.
func (h *dataValidate) runChecks(ctx context.Context, r *engine.Run, s *validateState) error {
	c, obj, err := h.rules(ctx, s)
	if err != nil {
		return err
	}
	v, err := h.datasets.VersionOf(ctx, s.DatasetID, s.N)
	if err != nil {
		return err
	}
	p, err := h.datasets.Pipeline(ctx, s.PipelineID, s.PipelineVersion)
	if err != nil {
		return err
	}
	lim, release, err := h.acquire(ctx, p)
	if err != nil {
		return err
	}
	defer release()
	folder, err := h.scratch.fresh(r.ExecutionID)
	if err != nil {
		return err
	}
	defer func() { _ = h.scratch.remove(r.ExecutionID) }() // what a dying process leaves is swept at the next start
	files, err := h.fetch(ctx, r, v, filepath.Join(folder, "fetched"))
	if err != nil {
		return err
	}
	target := targetOf(p, v.Target)
	res, err := h.quality.checkFiles(ctx, qualityRun{Folder: filepath.Join(folder, "check"), Table: v.Target, Files: files, Move: true, Format: cmp.Or(target.Format, "parquet"),
		Compression: readCompression(target), CSV: writtenCSV(target), Columns: v.Columns, PartitionBy: target.PartitionBy, Object: obj, Tables: h.references(ctx, r, p, v, folder), Limits: lim, Now: s.StartedAt, Profile: true,
	}, func(percent float64) {
		r.Report(engine.Progress{Done: int64(percent), Total: 100, Unit: "percent", Message: "checking"})
	})
	if err != nil {
		return workerTrouble(err, s.DatasetID)
	}
	facts := foundFacts{Contract: c.Name, Outcome: res.Outcome, Masked: maskedColumns(obj), Physical: map[string]string{}, SQL: res.SQL, Bytes: res.Bytes, Seconds: res.Seconds, Engine: res.Engine}
	for _, col := range v.Columns {
		facts.Columns = append(facts.Columns, col.Name)
	}
	for i := range obj.Properties {
		facts.Physical[obj.Properties[i].Name] = obj.Properties[i].Column()
	}
	o := res.Outcome
	s.Measured = measured{Status: o.Status, Reason: o.Reason, Score: o.Score, Performed: o.Performed, Passed: o.Passed, Failed: o.Failed, Anomalies: o.Anomalies, Rows: o.Rows}
	raw, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("write what was found in %s: %w", s.DatasetID, err)
	}
	s.Found, err = h.objects.Put(ctx, bytes.NewReader(raw), object.PutOptions{})
	return err
}

// acquire takes the compute that the pipeline asks for, as far as this node has it: what
// wrote a dataset can read it.
func (h *dataValidate) acquire(ctx context.Context, p *dataset.Pipeline) (dataset.Limits, func(), error) {
	lim, err := p.Compute.Request()
	if err != nil {
		return lim, nil, err
	}
	node := h.compute()
	total, _, _ := node.Usage()
	if total.MemoryBytes > 0 {
		lim.MemoryBytes = min(lim.MemoryBytes, total.MemoryBytes)
	}
	if total.Threads > 0 {
		lim.Threads = min(lim.Threads, total.Threads)
	}
	release, err := node.Acquire(ctx, resourcesOf(lim))
	return lim, release, err
}

func targetOf(p *dataset.Pipeline, name string) dataset.Target {
	for _, t := range p.Targets {
		if t.Name == name {
			return t
		}
	}
	return dataset.Target{Name: name}
}

// readCompression is how a target's files are to be read: parquet says itself how it is
// compressed.
func readCompression(t dataset.Target) string {
	if cmp.Or(t.Format, "parquet") == "parquet" {
		return ""
	}
	return t.Compression
}

// writtenCSV is the dialect of a target's files.
func writtenCSV(t dataset.Target) *dataset.CSV {
	if t.Format != dataset.FormatCSV || t.Header == nil {
		return nil
	}
	return &dataset.CSV{Header: t.Header}
}

// fetch copies the version's files to folder and holds each against its digest.
func (h *dataValidate) fetch(ctx context.Context, r *engine.Run, v *dataset.Version, folder string) ([]location.Local, error) {
	scope := location.Scope{Project: v.Project, Classification: v.Classification}
	found, err := h.locations.Probe(ctx, v.URI, scope)
	if caos.KindOf(err) == caos.NotFound {
		return nil, engine.Reject(caos.Finding{Rule: "dataset-gone", Subject: v.DatasetID, Message: fmt.Sprintf("version %d of %s is no more at %s", v.N, v.DatasetID, v.URI),
			Remedy: "run the pipeline again, and validate what it publishes"})
	}
	if err != nil && !caos.KindOf(err).Retryable() {
		return nil, h.changed(ctx, v, caos.AsError(err).Message) // a link or a pipe, where there was a file
	}
	if err != nil {
		return nil, err
	}
	at := map[string]location.File{}
	for _, f := range found {
		at[nameBelow(v, f.URI)] = f
	}
	if len(at) != len(v.Files) {
		return nil, h.changed(ctx, v, fmt.Sprintf("%s lie there, %d were published", count(len(at), "file"), len(v.Files)))
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, scratchError(err)
	}
	var out []location.Local
	done := int64(0)
	for i, want := range v.Files {
		f, ok := at[want.Name]
		if !ok && len(v.Files) == 1 && len(found) == 1 {
			f, ok = found[0], true
		}
		if !ok {
			return nil, h.changed(ctx, v, fmt.Sprintf("%.200q is missing", want.Name))
		}
		path := filepath.Join(folder, strconv.Itoa(i))
		got, err := h.locations.Fetch(ctx, f, scope, path, func(n, _ int64) {
			r.Report(engine.Progress{Done: done + n, Total: v.Bytes, Unit: "bytes", Message: "fetching"})
		})
		if e := new(caos.Error); errors.As(err, &e) && (e.Rule == "source-changed" || e.Kind == caos.NotFound) {
			return nil, h.changed(ctx, v, e.Message)
		}
		if err != nil {
			return nil, err
		}
		if got.Digest != want.Digest {
			return nil, h.changed(ctx, v, fmt.Sprintf("%.200q has digest %s, %s was published", want.Name, got.Digest, want.Digest))
		}
		done += want.Bytes
		out = append(out, location.Local{Path: path, Name: want.Name})
	}
	return out, nil
}

// nameBelow is a file's name below the version's address: its last part, if the address is
// the file itself.
func nameBelow(v *dataset.Version, uri string) string {
	plain := func(s string) string {
		if u, err := url.PathUnescape(s); err == nil {
			return u
		}
		return s
	}
	uri = plain(uri)
	if rest, ok := strings.CutPrefix(uri, strings.TrimSuffix(plain(v.URI), "/")+"/"); ok {
		return rest
	}
	return uri[strings.LastIndex(uri, "/")+1:]
}

// changed is the answer to bytes that are not those of the version.
func (h *dataValidate) changed(ctx context.Context, v *dataset.Version, how string) error {
	remedy := "find out who wrote there: only the pipeline should; then run the pipeline again"
	if latest, err := h.datasets.VersionOf(ctx, v.DatasetID, 0); err == nil && latest.N > v.N {
		remedy = fmt.Sprintf("version %d was published meanwhile, by %s: validate that one", latest.N, latest.ExecutionID)
	}
	return engine.Reject(caos.Finding{Rule: ruleDatasetChanged, Subject: v.DatasetID, Remedy: remedy,
		Message: fmt.Sprintf("what lies at %s is not version %d of %s: %s", v.URI, v.N, v.DatasetID, how)})
}

// references fetches what the pipeline declares for checks of integrity. A table that cannot
// be had is left out: the checks that need it then cannot run, and say so.
func (h *dataValidate) references(ctx context.Context, r *engine.Run, p *dataset.Pipeline, v *dataset.Version, folder string) (out []qualityTable) {
	scope := location.Scope{Project: v.Project, Classification: v.Classification}
	for i, src := range p.Sources {
		if !src.Reference {
			continue
		}
		t := qualityTable{Name: src.Name, Format: src.Format, Compression: src.Compression, Columns: src.Columns, CSV: src.CSV, MaxRejected: src.MaxRejected}
		err := func() error {
			files, err := reachable(ctx, h.locations, h.datasets, src.URI, scope)
			for j, f := range files {
				path := filepath.Join(folder, "ref"+strconv.Itoa(i)+"-"+strconv.Itoa(j))
				if _, err := h.locations.Fetch(ctx, f, scope, path, nil); err != nil {
					return err
				}
				t.Files = append(t.Files, location.Local{Path: path, Name: f.Name})
			}
			return err
		}()
		if err == nil && len(t.Files) > 0 {
			out = append(out, t)
			continue
		}
		message := "it has no file"
		if err != nil {
			message = caos.AsError(err).Message
		}
		r.Find(caos.Finding{Rule: "reference-missing", Subject: src.Name, Message: fmt.Sprintf("the table %s, which checks of integrity look things up in, could not be read: %s", src.Name, message),
			Remedy: "checks that need it have failed; bring it back and validate again"})
	}
	return out
}

// workerTrouble turns a failure of the worker into what a step says: a finding, or an error
// that is worth another try.
func workerTrouble(err error, subject string) error {
	var f *worker.Failure
	if !errors.As(err, &f) {
		return err
	}
	if f.Retryable() {
		return caos.Wrap(caos.Unavailable, err, "%s", f.Error()).WithHint("%s", f.Hint())
	}
	if f.Kind == worker.KindCancelled {
		return caos.Wrap(caos.Conflict, err, "the checks were cancelled")
	}
	rule, message, hint := f.Finding()
	return engine.Reject(caos.Finding{Rule: rule, Subject: subject, Message: message, Remedy: hint})
}

// maskedColumns are those whose values the contract keeps from readers.
func maskedColumns(o *contract.Object) []string {
	out := []string{}
	for i := range o.Properties {
		if c := strings.ToLower(o.Properties[i].Classification); c != "" && c != "public" {
			out = append(out, o.Properties[i].Column())
		}
	}
	return out
}

// renderReport compares with the validation before and writes the report. Doing it again
// after a crash may compare with a later one; what was stored before is swept, because
// nothing refers to it.
func (h *dataValidate) renderReport(ctx context.Context, r *engine.Run, s *validateState) error {
	facts, err := h.readFacts(s.Found.Digest)
	if err != nil {
		return err
	}
	v, err := h.validation(ctx, r, s, facts)
	if err != nil {
		return err
	}
	before, err := h.datasets.LastValidation(ctx, s.DatasetID, s.ContractID)
	if err != nil {
		return err
	}
	if before != nil && before.Project == v.Project && !above(before.Classification, v.Classification) {
		v.Previous, v.Changes = before.ValidationID, v.Compare(before)
	}
	if err := h.openAlert(ctx, r, v); err != nil {
		return err
	}
	trend, err := h.datasets.Trend(ctx, s.DatasetID, s.ContractID, shownTrend)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := report.ValidationHTML(&page, h.page(v, facts, trend)); err != nil {
		return fmt.Errorf("report of %s: %w", s.ID, err)
	}
	if s.HTML, err = h.objects.Put(ctx, &page, object.PutOptions{}); err != nil {
		return err
	}
	v.ReportHTML = s.HTML.Digest
	text, err := v.ReportBytes()
	if err != nil {
		return err
	}
	if s.JSON, err = h.objects.Put(ctx, bytes.NewReader(text), object.PutOptions{}); err != nil {
		return err
	}
	v.ReportJSON = s.JSON.Digest
	kept := v.Bounded()
	s.Validation = &kept
	return nil
}

// shownTrend is how many validations the picture of the trend has, this one included.
const shownTrend = 60

func (h *dataValidate) readFacts(digest string) (*foundFacts, error) {
	f, _, err := h.objects.VerifyReader(digest)
	if err != nil {
		return nil, caos.Wrap(caos.Conflict, err, "what the worker found was kept for a time and is gone").WithHint("validate again")
	}
	defer f.Close()
	raw, err := io.ReadAll(f)
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "what the worker found cannot be read")
	}
	facts := new(foundFacts)
	if err := json.Unmarshal(raw, facts); err != nil {
		return nil, fmt.Errorf("read what the worker found: %w", err)
	}
	return facts, nil
}

// openAlert says that an alert of an earlier FAIL is still open although the dataset passes:
// people close alerts.
func (h *dataValidate) openAlert(ctx context.Context, r *engine.Run, v *dataset.Validation) error {
	if v.Status == dataset.ValidationFail {
		return nil
	}
	list, _, err := h.alerts.List(ctx, alert.Filter{Subject: v.DatasetID, Source: validateHook, Unclosed: true}, "")
	if err != nil {
		return err
	}
	for _, a := range list {
		if a.MetricName != alertMetric(v.ContractID) {
			continue
		}
		f := caos.Finding{Rule: "alert-still-open", Subject: a.AlertID, Message: fmt.Sprintf("%s passes again; the alert %s of an earlier failure is still %s", v.DatasetID, a.AlertID, a.State),
			Remedy: "somebody who knows why closes it: caos alert close " + a.AlertID + " --reason …"}
		v.Findings = append(v.Findings, f)
		r.Find(f)
	}
	return nil
}

// validation is the row, but for what is not known yet.
func (h *dataValidate) validation(ctx context.Context, r *engine.Run, s *validateState, f *foundFacts) (*dataset.Validation, error) {
	version, err := h.datasets.VersionOf(ctx, s.DatasetID, s.N)
	if err != nil {
		return nil, err
	}
	o := f.Outcome
	v := &dataset.Validation{ValidationID: s.ID, ExecutionID: r.ExecutionID, PipelineExecution: s.In.ExecutionID, PipelineID: s.PipelineID, DatasetID: s.DatasetID, N: s.N,
		DatasetURI: version.URI, DatasetDigest: s.Digest, ContractID: s.ContractID, ContractVersion: s.ContractVersion, ContractDigest: s.ContractDigest, ContractObject: s.ContractObject,
		Engine: cmp.Or(f.Engine, "DuckDB"), Status: o.Status, Score: o.Score, Dimensions: o.Dimensions, Performed: o.Performed, Passed: o.Passed, Failed: o.Failed, Anomalies: o.Anomalies, Rows: o.Rows,
		Bytes: f.Bytes, Seconds: f.Seconds, Project: s.Project, Classification: s.Classification, RequestedBy: r.RequestedBy, StartedAt: s.StartedAt, ValidatedAt: r.Now,
		Checks: []dataset.ValidationCheck{}, Findings: []caos.Finding{}}
	for _, k := range o.Checks {
		v.Checks = append(v.Checks, dataset.ValidationCheck{ID: k.ID, Name: k.Name, Description: k.Description, Column: k.Property, Dimension: k.Dimension, Kind: k.Kind, Metric: k.Metric,
			Severity: k.Severity, Weight: k.Weight, Passed: k.Passed, CannotRun: k.CannotRun, Value: k.Value, Expected: k.Expected, Measured: k.Measured, FailingRows: k.FailingRows, Message: k.Message})
	}
	if o.Reason != "" {
		v.Findings = append(v.Findings, caos.Finding{Rule: "nothing-to-check", Subject: s.DatasetID, Message: o.Reason})
	}
	v.Samples, v.Profile = f.samples(), f.profile()
	for _, q := range f.SQL {
		v.Statements = append(v.Statements, dataset.ValidationStatement{Name: q.Name, SQL: q.SQL})
	}
	return v, nil
}

// samples are the flagged rows with their values in the order of the table's columns. What
// the contract masks is masked here once more, whoever was to do it before.
func (f *foundFacts) samples() []dataset.ValidationSample {
	out := []dataset.ValidationSample{}
	place := map[string]int{}
	for i, name := range f.Columns {
		place[name] = i
	}
	for _, s := range f.Outcome.Samples {
		row := dataset.ValidationSample{Check: s.Check}
		for name, value := range s.Row {
			if slices.Contains(f.Masked, name) {
				row.Values = append(row.Values, dataset.SampleValue{Column: name, Masked: true})
				continue
			}
			row.Values = append(row.Values, dataset.SampleValue{Column: name, Value: value})
		}
		slices.SortFunc(row.Values, func(a, b dataset.SampleValue) int {
			return cmp.Or(cmp.Compare(place[a.Column], place[b.Column]), cmp.Compare(a.Column, b.Column))
		})
		out = append(out, row)
	}
	return out
}

// profile describes the columns; a masked one has counts alone.
func (f *foundFacts) profile() []dataset.ColumnProfile {
	out := []dataset.ColumnProfile{}
	for _, p := range f.Outcome.Columns {
		x := dataset.ColumnProfile{Name: p.Name, Type: p.Type, Nulls: -1, Distinct: -1, Masked: p.Redacted || slices.Contains(f.Masked, p.Name)}
		if p.Nulls != nil {
			x.Nulls = *p.Nulls
		}
		if p.Distinct != nil {
			x.Distinct = *p.Distinct
		}
		if x.Masked {
			out = append(out, x)
			continue
		}
		x.Min, x.Max, x.Mean, x.Quantiles = p.Min, p.Max, p.Mean, quantilesOf(p)
		for _, k := range f.Outcome.Checks {
			if k.Metric != "outliers" || cmp.Or(f.Physical[k.Property], k.Property) != p.Name || p.Lower == nil && p.Upper == nil {
				continue
			}
			o := dataset.Outlier{Check: k.ID, Rule: cmp.Or(k.Name, k.ID), Low: p.Lower, High: p.Upper, Rows: k.FailingRows}
			if p.Outliers != nil {
				o.Rows = *p.Outliers
			}
			x.Outliers = append(x.Outliers, o)
		}
		out = append(out, x)
	}
	return out
}

// quantilesOf are the seven figures of a box picture, or none.
func quantilesOf(p contract.Profile) []float64 {
	low, err1 := strconv.ParseFloat(p.Min, 64)
	high, err2 := strconv.ParseFloat(p.Max, 64)
	if err1 != nil || err2 != nil || len(p.Quantiles) != 5 {
		return nil
	}
	out := []float64{low}
	for _, q := range p.Quantiles {
		out = append(out, q.Value)
	}
	return append(out, high)
}

// page is the validation as package report shows it.
func (h *dataValidate) page(v *dataset.Validation, f *foundFacts, trend []dataset.TrendPoint) *report.Quality {
	q := &report.Quality{ValidationID: v.ValidationID, ExecutionID: v.ExecutionID, Classification: strings.ToUpper(cmp.Or(v.Classification, "Internal")), Project: v.Project,
		RequestedBy: v.RequestedBy, At: v.ValidatedAt, Link: h.baseURL + "/v1/validations/" + v.ValidationID + "/report", DatasetID: v.DatasetID, DatasetVersion: v.N,
		DatasetURI: v.DatasetURI, DatasetDigest: v.DatasetDigest, PipelineID: v.PipelineID, PipelineExecution: v.PipelineExecution, ContractID: v.ContractID,
		ContractVersion: v.ContractVersion, ContractName: f.Contract, ContractDigest: v.ContractDigest, ContractObject: v.ContractObject, Engine: v.Engine, Rows: v.Rows,
		Bytes: v.Bytes, Seconds: v.Seconds, Status: v.Status, Score: v.Score, Anomalies: v.Anomalies}
	names := map[string]string{}
	counts := map[string][2]int{}
	for _, k := range v.Checks {
		names[k.ID] = cmp.Or(k.Name, k.ID)
		n := counts[k.Dimension]
		if k.Passed {
			n[0]++
		} else {
			n[1]++
		}
		counts[k.Dimension] = n
		q.Checks = append(q.Checks, report.QualityCheck{ID: k.ID, Name: k.Name, Description: k.Description, Column: k.Column, Dimension: k.Dimension, Severity: k.Severity, Weight: k.Weight,
			Passed: k.Passed, CannotRun: k.CannotRun, Value: k.Value, Expected: k.Expected, FailingRows: k.FailingRows, Message: k.Message})
	}
	for name, score := range v.Dimensions {
		q.Dimensions = append(q.Dimensions, report.QualityDimension{Name: name, Score: score, Passed: counts[name][0], Failed: counts[name][1]})
	}
	slices.SortFunc(q.Dimensions, func(a, b report.QualityDimension) int { return cmp.Compare(a.Name, b.Name) })
	for _, p := range v.Profile {
		q.Columns = append(q.Columns, reportColumn(p, names))
	}
	for _, s := range v.Samples {
		x := report.QualitySample{Check: s.Check}
		for _, value := range s.Values {
			x.Values = append(x.Values, report.QualityValue(value))
		}
		q.Samples = append(q.Samples, x)
	}
	for _, x := range v.Findings {
		q.Findings = append(q.Findings, report.QualityFinding{Rule: x.Rule, Message: x.Message, Remedy: x.Remedy})
	}
	for _, x := range v.Statements {
		q.Statements = append(q.Statements, report.QualityStatement(x))
	}
	q.Trend, q.Change = trendOf(v, trend), changeOf(v, names)
	return q
}

func reportColumn(p dataset.ColumnProfile, names map[string]string) report.QualityColumn {
	x := report.QualityColumn{Name: p.Name, Type: p.Type, Nulls: max(p.Nulls, 0), Distinct: p.Distinct, Min: p.Min, Max: p.Max, Mean: p.Mean, Quantiles: p.Quantiles, Masked: p.Masked}
	for _, o := range p.Outliers {
		x.Outliers = append(x.Outliers, report.QualityOutlier{Check: o.Check, Rule: cmp.Or(names[o.Check], o.Rule), Low: o.Low, High: o.High, Rows: o.Rows})
	}
	return x
}

// trendOf is the history with this validation last; what is classified higher is left out.
func trendOf(v *dataset.Validation, trend []dataset.TrendPoint) (out []report.QualityPoint) {
	for _, p := range trend {
		if p.Project == v.Project && !above(p.Classification, v.Classification) {
			out = append(out, report.QualityPoint{ValidationID: p.ValidationID, At: p.At, Version: p.N, Status: p.Status, Score: p.Score})
		}
	}
	if len(out) >= shownTrend {
		out = out[len(out)-shownTrend+1:]
	}
	return append(out, report.QualityPoint{ValidationID: v.ValidationID, At: v.ValidatedAt, Version: v.N, Status: v.Status, Score: v.Score})
}

func changeOf(v *dataset.Validation, names map[string]string) *report.QualityChange {
	c := v.Changes
	if c == nil {
		return nil
	}
	named := func(ids []string) (out []string) {
		for _, id := range ids {
			out = append(out, cmp.Or(names[id], id))
		}
		return out
	}
	return &report.QualityChange{Previous: c.Previous, Status: c.Status, Score: c.Score, Rows: c.Rows, DatasetChanged: c.Dataset, ContractChanged: c.Contract,
		FailingNow: named(c.FailingNow), PassingNow: named(c.PassingNow), Added: named(c.Added), Dropped: named(c.Dropped)}
}
