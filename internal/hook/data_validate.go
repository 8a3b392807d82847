package hook

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/auth"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/location"
	"caos/internal/notify"
	"caos/internal/object"
)

// CAOS.PROD.DATA.VALIDATE, section 5.2: checks a dataset that a pipeline published against a
// data contract.
//
// The rules and the version of the dataset are fixed when the request is taken. The bytes are
// fetched again and must have the version's digests, so that a verdict is about what the
// pipeline wrote and nothing else. Verdict, report, dashboard and alert are one commit.

const validateHook = "CAOS.PROD.DATA.VALIDATE"

// ValidateInput is the hook's input.
type ValidateInput struct {
	ExecutionID       string `json:"execution_id" jsonschema:"pattern=^EXEC-[A-Z0-9-]{1\\,40}-[0-9]{8}T[0-9]{6}\\.[0-9]{6}Z$"`
	ValidationRulesID string `json:"validation_rules_id" jsonschema:"pattern=^[0-9A-Za-z]{2\\,12}(-[0-9A-Za-z]{1\\,12}){2\\,5}(@[0-9A-Za-z][0-9A-Za-z.+_-]{0\\,39})?$"`
	DatasetURI        string `json:"dataset_uri" jsonschema:"minLength=1,maxLength=2000"`
}

// ValidateOutput is the hook's output.
type ValidateOutput struct {
	ValidationID        *string  `json:"validation_id"`
	OverallStatus       *string  `json:"overall_status" jsonschema:"enum=PASS,enum=FAIL,enum=WARNING"`
	QualityScore        *float64 `json:"quality_score"`
	ChecksPerformed     *int     `json:"checks_performed"`
	ChecksPassed        *int     `json:"checks_passed"`
	ChecksFailed        *int     `json:"checks_failed"`
	AnomaliesDetected   *int64   `json:"anomalies_detected"`
	ValidationReportURI *string  `json:"validation_report_uri"`
}

// validateState is what the hook remembers between commits. What the worker found lies in
// the object store until the report is made of it: a state of a thousand checks would be
// written again with every commit.
type validateState struct {
	ID        string        `json:"id"` // of the validation
	In        ValidateInput `json:"input"`
	StartedAt time.Time     `json:"started_at"`

	PipelineID      string `json:"pipeline_id"`
	PipelineVersion string `json:"pipeline_version"`
	DatasetID       string `json:"dataset_id"`
	N               int64  `json:"dataset_version"`
	Digest          string `json:"dataset_digest"`
	Project         string `json:"project"`
	Classification  string `json:"classification"` // the higher of the dataset's and the contract's

	ContractID      string `json:"contract_id"`
	ContractVersion string `json:"contract_version"`
	ContractDigest  string `json:"contract_digest"`
	ContractObject  string `json:"contract_object"` // from step 1

	Found      object.Ref          `json:"found"` // foundFacts in the object store, from step 2
	Measured   measured            `json:"measured"`
	HTML       object.Ref          `json:"html"` // the report, from step 5
	JSON       object.Ref          `json:"json"`
	Validation *dataset.Validation `json:"validation"` // from step 5 until it is written
	Out        ValidateOutput      `json:"out"`
}

// measured is the part of an outcome that the output shows.
type measured struct {
	Status    string   `json:"status"`
	Reason    string   `json:"reason"`
	Score     *float64 `json:"score"`
	Performed int      `json:"performed"`
	Passed    int      `json:"passed"`
	Failed    int      `json:"failed"`
	Anomalies int64    `json:"anomalies"`
	Rows      int64    `json:"rows"`
}

// dataValidate holds the only things the hook may touch.
type dataValidate struct {
	quality   quality
	datasets  *dataset.Datasets
	locations *location.Locations
	objects   *object.Store
	alerts    *alert.Store
	notifier  *notify.Notifier
	compute   func() *engine.Allocator
	scratch   *scratch
	available *availability
	now       func() time.Time
	baseURL   string
}

// DataValidate makes the hook.
func DataValidate(c Collaborators) *Hook {
	h := &dataValidate{quality: quality{c.Worker}, datasets: c.Datasets, locations: c.Locations, objects: c.Objects, alerts: c.Alerts, notifier: c.Notifier,
		compute: c.Compute, scratch: &scratch{folder: c.Scratch}, available: new(availability), now: c.Now, baseURL: c.BaseURL}
	if h.now == nil {
		h.now = time.Now
	}
	return &Hook{
		ID: validateHook, Version: "1.0.0", Section: "5.2", Title: "Data Validation Hook", Trigger: "Completion of data pipeline execution",
		Owner: "Production Planning Board", Retry: engine.DefaultRetry(), Timeout: 2 * time.Hour,
		Input: reflect.TypeFor[ValidateInput](), Output: reflect.TypeFor[ValidateOutput](),
		Read: h.read,
		Gates: []Gate{
			{Name: "pipeline-published", Action: "The execution is one of DATA.PIPELINE that has published", Test: h.published},
			{Name: "dataset-of-execution", Action: "The dataset is one that this execution published", Test: h.datasetOf},
			{Name: "rules-registered", Action: "The rules are a registered contract that the dataset's project may use", Test: h.rulesRegistered},
			{Name: "worker-available", Action: "caos-worker can run on this machine, in its sandbox", Test: h.workerAvailable},
		},
		Flow: h.plan().Flow(),
	}
}

func (h *dataValidate) plan() engine.Plan[validateState] {
	const load, run, measure = "Load validation rules", "Execute validation checks (completeness, accuracy, consistency)", "Calculate data quality metrics"
	const flag, show, warn = "Flag anomalies and outliers", "Update data quality dashboard", "Alert on validation failures"
	return engine.Plan[validateState]{
		Hook: validateHook, Version: "1.0.0", Revision: 1, Schema: 1,
		Begin: func(r *engine.Run, input json.RawMessage) (*validateState, error) {
			s := &validateState{ID: r.ID("VAL-EXEC-"), StartedAt: r.Now}
			return s, json.Unmarshal(input, &s.In)
		},
		Steps: []engine.Step[validateState]{
			engine.InTx(1, load, "pin-rules", h.pinRules),
			engine.Call(1, load, "load-rules", h.loadRules),
			engine.Call(2, run, "run-checks", h.runChecks),
			engine.InTx(3, measure, "calculate-metrics", h.calculateMetrics),
			engine.InTx(4, flag, "flag-anomalies", h.flagAnomalies),
			engine.Call(5, show, "render-report", h.renderReport),
			engine.InTx(5, show, "update-dashboard", h.updateDashboard),
			engine.InTx(6, warn, "alert-failure", h.alertFailure),
		},
		Output: func(s *validateState) any { return s.Out },
	}
}

// read says what an input names: the project and the classification are the pipeline run's
// and the dataset's. Of a run that does not exist the gate will say so.
func (h *dataValidate) read(ctx context.Context, input json.RawMessage) (Named, error) {
	var in ValidateInput
	if err := json.Unmarshal(input, &in); err != nil {
		return Named{}, fmt.Errorf("read input: %w", err)
	}
	run, err := h.datasets.RunOf(ctx, in.ExecutionID)
	if caos.KindOf(err) == caos.NotFound {
		return Named{}, nil
	}
	if err != nil {
		return Named{}, err
	}
	n := Named{Project: run.Project, Classification: run.Classification}
	id, version, err := dataset.ParseContractRef(in.ValidationRulesID)
	if err != nil {
		return n, caos.AsError(err).WithField("validation_rules_id")
	}
	c, err := h.datasets.Contract(ctx, id, version)
	if err == nil && above(c.Classification, n.Classification) {
		n.InputClassification = c.Classification
	}
	if err != nil && caos.KindOf(err) != caos.NotFound {
		return n, err
	}
	h.available.look(ctx, h.quality.worker)
	return n, nil
}

// workerAvailable says whether anything can be checked at all: without a worker nothing is
// begun.
func (h *dataValidate) workerAvailable(*db.Tx, Question) (map[string]any, error) {
	return nil, h.available.said()
}

// published finds the run.
func (h *dataValidate) published(tx *db.Tx, q Question) (map[string]any, error) {
	in, err := validateInput(q)
	if err != nil {
		return nil, err
	}
	if run, err := h.datasets.RunIn(tx, in.ExecutionID); err == nil {
		// Before anything is said of it: also how it ended is not for everybody.
		if err := knowable(tx, q, "pipeline:read", auth.Resource{Type: "Pipeline", ID: run.ExecutionID, Project: run.Project, Classification: run.Classification}); err != nil {
			return nil, err
		}
	}
	run, err := h.runOf(tx, in)
	if err != nil {
		return nil, err
	}
	return map[string]any{"pipeline_id": run.PipelineID, "pipeline_version": run.Version, "status": run.Status}, nil
}

func validateInput(q Question) (in ValidateInput, err error) {
	err = json.Unmarshal(q.Input, &in)
	return in, err
}

func (h *dataValidate) runOf(tx *db.Tx, in ValidateInput) (*dataset.Run, error) {
	run, err := h.datasets.RunIn(tx, in.ExecutionID)
	if caos.KindOf(err) == caos.NotFound {
		return nil, caos.Errorf(caos.NotFound, "there is no pipeline run %s", in.ExecutionID).WithField("execution_id").WithHint("caos pipeline history shows those there are")
	}
	if err != nil {
		return nil, err
	}
	if run.Status != dataset.RunSuccess && run.Status != dataset.RunPartial {
		return nil, caos.Errorf(caos.Conflict, "the pipeline run %s is %s and has published nothing", in.ExecutionID, run.Status).WithField("execution_id").
			WithHint("a run that ended SUCCESS or PARTIAL can be validated")
	}
	return run, nil
}

// datasetOf finds the version that the run published.
func (h *dataValidate) datasetOf(tx *db.Tx, q Question) (map[string]any, error) {
	in, err := validateInput(q)
	if err != nil {
		return nil, err
	}
	v, err := h.versionOf(tx, in)
	if err != nil {
		return nil, err
	}
	return map[string]any{"dataset_id": v.DatasetID, "dataset_version": v.N, "digest": v.Digest}, nil
}

// versionOf is the version that dataset_uri names: by the location that it was published at,
// or by its address in the API.
func (h *dataValidate) versionOf(tx *db.Tx, in ValidateInput) (*dataset.Version, error) {
	all, err := h.datasets.ByExecution(tx, in.ExecutionID, "")
	if err != nil {
		return nil, err
	}
	id, n, ours := h.datasetAddress(in.DatasetURI)
	var names []string
	for _, v := range all {
		if ours && v.DatasetID == id && v.N == n || !ours && strings.TrimSuffix(v.URI, "/") == strings.TrimSuffix(in.DatasetURI, "/") {
			return v, nil
		}
		names = append(names, h.versionURI(v.DatasetID, v.N))
	}
	return nil, caos.Errorf(caos.Invalid, "%.200q is no dataset that %s published", in.DatasetURI, in.ExecutionID).WithField("dataset_uri").
		WithHint("it published %s", cmp.Or(clipLine(strings.Join(names, ", "), 600), "nothing"))
}

// versionURI is the address of a version in the API.
func (h *dataValidate) versionURI(id string, n int64) string {
	return h.baseURL + "/v1/datasets/" + id + "/versions/" + strconv.FormatInt(n, 10)
}

// datasetAddress reads an address that versionURI wrote.
func (h *dataValidate) datasetAddress(uri string) (id string, n int64, ok bool) {
	rest, ok := strings.CutPrefix(uri, h.baseURL+"/v1/datasets/")
	if !ok {
		return "", 0, false
	}
	id, version, ok := strings.Cut(rest, "/versions/")
	n, err := strconv.ParseInt(version, 10, 64)
	return id, n, ok && err == nil
}

// rulesRegistered finds the contract.
func (h *dataValidate) rulesRegistered(tx *db.Tx, q Question) (map[string]any, error) {
	in, err := validateInput(q)
	if err != nil {
		return nil, err
	}
	v, err := h.versionOf(tx, in)
	if err != nil {
		return nil, err
	}
	c, err := h.contractOf(tx, in, v)
	if err != nil {
		return nil, err
	}
	return map[string]any{"validation_rules_id": c.ContractID, "contract_version": c.Version, "digest": c.Digest, "checks": c.Checks}, nil
}

// contractOf is the contract that a request names. Without a version in the request it is
// the one that the pipeline pinned for this dataset, if it did, else the latest.
func (h *dataValidate) contractOf(tx *db.Tx, in ValidateInput, v *dataset.Version) (*dataset.Contract, error) {
	id, version, err := dataset.ParseContractRef(in.ValidationRulesID)
	if err != nil {
		return nil, caos.AsError(err).WithField("validation_rules_id")
	}
	if version == "" {
		if version, err = h.pinned(tx, id, v); err != nil {
			return nil, err
		}
	}
	unknown := caos.Errorf(caos.NotFound, "there is no contract %.80q for this dataset", in.ValidationRulesID).WithField("validation_rules_id").
		WithHint("caos contract list shows those there are; caos contract apply FILE registers one")
	c, err := h.datasets.ContractIn(tx, id, version)
	switch {
	case caos.KindOf(err) == caos.NotFound:
		return nil, unknown
	case err != nil:
		return nil, err
	case c.Project != "" && c.Project != v.Project:
		return nil, unknown // another project's is not this one's to know of
	}
	return c, nil
}

// pinned is the version of a contract that the pipeline names for the dataset, "" if it names
// none.
func (h *dataValidate) pinned(tx *db.Tx, id string, v *dataset.Version) (string, error) {
	run, err := h.datasets.RunIn(tx, v.ExecutionID)
	if err != nil {
		return "", err
	}
	p, err := h.datasets.PipelineIn(tx, run.PipelineID, run.Version)
	if err != nil {
		return "", err
	}
	for _, t := range p.Targets {
		if t.Name != v.Target {
			continue
		}
		ref := p.ContractOf(t)
		if named, version, err := dataset.ParseContractRef(ref); ref != "" && err == nil && named == id {
			return version, nil
		}
	}
	return "", nil
}

// pinRules fixes, in the submitting commit, what is checked and by what.
func (h *dataValidate) pinRules(tx *db.Tx, r *engine.Run, s *validateState) error {
	run, err := h.runOf(tx, s.In)
	if err != nil {
		return err
	}
	v, err := h.versionOf(tx, s.In)
	if err != nil {
		return err
	}
	c, err := h.contractOf(tx, s.In, v)
	if err != nil {
		return err
	}
	s.PipelineID, s.PipelineVersion = run.PipelineID, run.Version
	s.DatasetID, s.N, s.Digest, s.Project, s.Classification = v.DatasetID, v.N, v.Digest, v.Project, v.Classification
	s.ContractID, s.ContractVersion, s.ContractDigest = c.ContractID, c.Version, c.Digest
	s.Classification = caos.Stricter(s.Classification, c.Classification)
	s.Out.ValidationID = &s.ID
	r.Record.Resources = []string{s.ID, s.DatasetID, s.ContractID, s.PipelineID}
	r.Record.Details = map[string]any{"dataset_version": s.N, "dataset_digest": s.Digest, "contract_version": s.ContractVersion, "contract_digest": s.ContractDigest,
		"pipeline_execution": s.In.ExecutionID}
	return nil
}

// loadRules reads the pinned contract and chooses the object that is about the dataset.
func (h *dataValidate) loadRules(ctx context.Context, r *engine.Run, s *validateState) error {
	_, obj, err := h.rules(ctx, s)
	if err != nil {
		return err
	}
	s.ContractObject = obj.Name
	return nil
}

// calculateMetrics takes the figures into the output: score, and checks by how they ended.
func (h *dataValidate) calculateMetrics(_ *db.Tx, r *engine.Run, s *validateState) error {
	m := s.Measured
	s.Out.OverallStatus, s.Out.QualityScore = &m.Status, m.Score
	s.Out.ChecksPerformed, s.Out.ChecksPassed, s.Out.ChecksFailed = &m.Performed, &m.Passed, &m.Failed
	if m.Reason != "" {
		r.Find(caos.Finding{Rule: "nothing-to-check", Subject: s.DatasetID, Message: m.Reason,
			Remedy: "see why the pipeline wrote it so, or what the contract checks: caos contract show " + s.ContractID})
	}
	return nil
}

// flagAnomalies counts what checks of outliers flagged. It does not decide the verdict.
func (h *dataValidate) flagAnomalies(_ *db.Tx, r *engine.Run, s *validateState) error {
	n := s.Measured.Anomalies
	s.Out.AnomaliesDetected = &n
	if n > 0 {
		r.Find(caos.Finding{Rule: "anomalies-flagged", Subject: s.DatasetID, Message: fmt.Sprintf("%s flagged as outliers", plural(n, "distinct value is", "distinct values are")),
			Remedy: "the report shows their bounds and a sample; they are errors only where a check says so"})
	}
	return nil
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + many
}

// updateDashboard writes the validation, which keeps the report's objects, and counts it.
func (h *dataValidate) updateDashboard(tx *db.Tx, r *engine.Run, s *validateState) error {
	v := *s.Validation
	for _, o := range []struct {
		ref  object.Ref
		kind string
	}{{s.HTML, "validation-report"}, {s.JSON, "validation-report-json"}} {
		if err := h.objects.Bind(tx, o.ref, object.Binding{Owner: s.ID, Kind: o.kind, Project: s.Project, Classification: s.Classification}); err != nil {
			return err
		}
	}
	if err := h.datasets.PutValidation(tx, v); err != nil {
		return err
	}
	if err := h.link(tx, r, s, &v); err != nil {
		return err
	}
	s.Out.ValidationReportURI = optional(h.baseURL + "/v1/validations/" + s.ID + "/report")
	r.Record.Resources = []string{s.ID, s.DatasetID, s.ContractID, s.PipelineID}
	r.Record.Details = map[string]any{"overall_status": v.Status, "quality_score": v.Score, "checks_passed": v.Passed, "checks_failed": v.Failed, "anomalies_detected": v.Anomalies,
		"dataset_version": v.N, "dataset_digest": v.DatasetDigest, "contract_version": v.ContractVersion, "contract_digest": v.ContractDigest, "report_html": v.ReportHTML, "report_json": v.ReportJSON}
	return nil
}

// link notes in the lineage that the version was validated.
func (h *dataValidate) link(tx *db.Tx, r *engine.Run, s *validateState, v *dataset.Validation) error {
	version, err := h.datasets.VersionIn(tx, s.DatasetID, s.N)
	if err != nil {
		return err
	}
	if err := h.datasets.Link(tx, []dataset.Edge{{From: dataset.VersionNode(version), To: dataset.ValidationNode(v), Kind: dataset.EdgeValidated, ExecutionID: r.ExecutionID, At: r.Now}},
		dataset.By{Actor: r.RequestedBy, RecordedBy: r.By.ID, Execution: r.ExecutionID, Hook: r.HookID}); err != nil {
		return err
	}
	// Both at once: of a validation that never came to a verdict there is nothing to tell.
	run := dataset.ValidationRun(h.baseURL, v)
	if err := h.datasets.RecordRunEvent(tx, run.Start(v.StartedAt), v.Project, v.Classification); err != nil {
		return err
	}
	return h.datasets.RecordRunEvent(tx, run.Complete(v.ValidatedAt), v.Project, v.Classification)
}

// alertFailure raises the alert of a FAIL, and tells those who look after data. What somebody
// has to close of an earlier one is a finding once the dataset passes.
func (h *dataValidate) alertFailure(tx *db.Tx, r *engine.Run, s *validateState) error {
	v := s.Validation
	s.Validation = nil // it is written
	if v.Status != dataset.ValidationFail && (v.Changes == nil || v.Changes.Status != dataset.ValidationFail) {
		return nil
	}
	body := fmt.Sprintf("%s version %d by %s version %s: %s, %d of %d checks passed.\n%s\nReport: %s", v.DatasetID, v.N, v.ContractID, v.ContractVersion, v.Status, v.Passed, v.Performed,
		wrongIn(v, 5), *s.Out.ValidationReportURI)
	if v.Status == dataset.ValidationFail {
		id, err := h.alerts.Raise(tx, h.alertOf(v))
		if err != nil {
			return err
		}
		h.datasets.Alerted(tx, v.ValidationID, id)
		r.Record.Resources = append(r.Record.Resources, id)
		body += "\nAlert: " + id
	}
	d, err := h.notifier.Send(tx, notify.Notice{Subject: fmt.Sprintf("Data validation of %s: %s", v.DatasetID, v.Status), Body: body,
		Link: "/v1/validations/" + v.ValidationID, Source: r.ExecutionID, Roles: []string{"data-engineer", "qa-lead"}, Project: v.Project, Classification: v.Classification})
	for _, f := range d.Findings {
		r.Find(f)
	}
	return err
}

// alertMetric names what an alert is about: the score by one contract, so that two contracts
// of a dataset have an alert each.
func alertMetric(contractID string) string { return "data_quality_score/" + contractID }

// alertOf is the alert of a FAIL. It is critical when there was nothing to check, or more than
// half of what must hold does not.
func (h *dataValidate) alertOf(v *dataset.Validation) alert.Alert {
	severity := alert.High
	blocking, failed := 0.0, 0.0
	for _, k := range v.Checks {
		if k.Severity != "error" {
			continue
		}
		if blocking += k.Weight; !k.Passed {
			failed += k.Weight
		}
	}
	if v.Performed == 0 || v.Rows == 0 || failed > blocking/2 {
		severity = alert.Critical
	}
	a := alert.Alert{AlertType: alert.Anomaly, Kind: "DATA", Severity: severity, MetricName: alertMetric(v.ContractID), CurrentValue: v.Score, Subject: v.DatasetID, Source: validateHook,
		Project: v.Project, Classification: v.Classification,
		AlertMessage: fmt.Sprintf("%s version %d does not meet %s version %s (%s): %s", v.DatasetID, v.N, v.ContractID, v.ContractVersion, v.ValidationID, wrongIn(v, 5)),
		RecommendedActions: []string{"read the report: caos validation report " + v.ValidationID + " --out report.html", "do not train or decide on this version until it is explained",
			"correct the source or the pipeline and run it again, or change the rules with a reason"}}
	return a
}

// wrongIn lists the first failed checks in words.
func wrongIn(v *dataset.Validation, most int) string {
	var parts []string
	for _, severity := range []string{"error", "warning", "info"} {
		for _, k := range v.Checks {
			if k.Passed || k.Severity != severity {
				continue
			}
			what := cmp.Or(k.Name, k.ID) + ": measured " + cmp.Or(k.Value, "nothing") + ", expected " + cmp.Or(k.Expected, "otherwise")
			if k.CannotRun {
				what = cmp.Or(k.Name, k.ID) + " could not run"
			}
			parts = append(parts, clipLine(what, 200))
		}
	}
	if len(parts) == 0 {
		return "no check failed"
	}
	if n := len(parts) - most; n > 0 {
		parts = append(parts[:most], fmt.Sprintf("%d more", n))
	}
	return strings.Join(parts, "; ")
}
