package dataset

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"caos"
	"caos/internal/db"
	"caos/internal/event"
)

// Bounds of what is kept of one validation. Its report's JSON has all of it.
const (
	maxKeptChecks  = 1000
	maxKeptSamples = 100
	maxKeptColumns = 1000
	maxKeptText    = 400       // bytes of a text
	maxKeptValue   = 200       // bytes of a value in a sample
	maxKeptAll     = 384 << 10 // bytes of all texts of the checks, of the samples, or of the profile
	maxKeptRow     = 40        // values of a sample
	maxTrend       = 400       // points
	maxNamed       = 1000      // checks that turned
)

// EventValidated is the event of a validation: validation_id, dataset_id, version,
// validation_rules_id, contract_version, status, score, checks_failed, anomalies,
// execution_id.
const EventValidated = "caos.dataset.validated"

// PutValidation writes a validation, counts it on the dashboard and announces it. Texts are
// clipped to what a row may hold. The audit record is that of the execution's commit. The
// same validation again is a Conflict: a hook's step writes it exactly once.
func (d *Datasets) PutValidation(tx *db.Tx, v Validation) error {
	if !validationID.MatchString(v.ValidationID) || v.Performed != v.Passed+v.Failed || !slices.Contains(ValidationStatuses(), v.Status) {
		return caos.Errorf(caos.Internal, "%.80q is no validation: %s, %d of %d checks passed, %d failed", v.ValidationID, v.Status, v.Passed, v.Performed, v.Failed)
	}
	v = v.Bounded()
	texts, err := v.texts()
	if err != nil {
		return err
	}
	n, err := tx.ExecRows(`INSERT INTO validations (validation_id, execution_id, pipeline_execution, pipeline_id, dataset_id, n, dataset_uri, dataset_digest,
			contract_id, contract_version, contract_digest, contract_object, engine, status, score, dimensions, performed, passed, failed, anomalies,
			row_count, byte_count, seconds, checks, samples, profile, findings, report_html, report_json, previous, changes, alert_id, project,
			classification, requested_by, started_at, validated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29,
			$30, $31, $32, $33, $34, $35, $36, $37)
		ON CONFLICT DO NOTHING`,
		v.ValidationID, v.ExecutionID, v.PipelineExecution, v.PipelineID, v.DatasetID, v.N, v.DatasetURI, v.DatasetDigest,
		v.ContractID, v.ContractVersion, v.ContractDigest, v.ContractObject, v.Engine, v.Status, nullable(v.Score), texts[0], v.Performed, v.Passed, v.Failed, v.Anomalies,
		v.Rows, v.Bytes, v.Seconds, texts[1], texts[2], texts[3], texts[4], v.ReportHTML, v.ReportJSON, v.Previous, texts[5], v.AlertID, v.Project,
		v.Classification, v.RequestedBy, v.StartedAt.UnixMicro(), v.ValidatedAt.UnixMicro())
	if err != nil {
		return err
	}
	if n != 1 {
		return caos.Errorf(caos.Conflict, "the validation %s is there already", v.ValidationID)
	}
	if err := d.countValidation(tx, &v); err != nil {
		return err
	}
	return d.events.Emit(tx, event.Event{Type: EventValidated, Subject: v.ValidationID, Time: v.ValidatedAt, Project: v.Project, Classification: v.Classification, Data: map[string]any{
		"validation_id": v.ValidationID, "dataset_id": v.DatasetID, "version": v.N, "validation_rules_id": v.ContractID, "contract_version": v.ContractVersion,
		"status": v.Status, "score": v.Score, "checks_failed": v.Failed, "anomalies": v.Anomalies, "execution_id": v.PipelineExecution,
	}})
}

func nullable(v *float64) any {
	if v == nil {
		return nil
	}
	return *v
}

// texts are the JSON columns: dimensions, checks, samples, profile, findings and changes.
func (v *Validation) texts() (out [6]string, err error) {
	for i, part := range []any{v.Dimensions, v.Checks, v.Samples, v.Profile, v.Findings} {
		if out[i], err = plainJSON(part); err != nil {
			return out, err
		}
	}
	if v.Changes != nil {
		out[5], err = plainJSON(v.Changes)
	}
	return out, err
}

// plainJSON is the JSON text of a column that holds what data say: no page is made of it as
// it is, so that nothing is written in six characters for being markup.
func plainJSON(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", fmt.Errorf("dataset: write what is to be stored: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// Bounded is the validation as a row holds it: without statements, with clipped texts. Where
// there is much of it the texts are shorter.
func (v Validation) Bounded() Validation {
	v.Dimensions, v.Statements = orEmpty(v.Dimensions), nil
	v.Checks = bound(v.Checks, maxKeptChecks)
	var texts []*string
	for i := range v.Checks {
		k := &v.Checks[i]
		k.ID = clipText(k.ID, maxKeptValue) // however much there is: by it checks are compared
		texts = append(texts, &k.Name, &k.Description, &k.Column, &k.Dimension, &k.Metric, &k.Value, &k.Expected, &k.Message)
	}
	clipAll(texts, maxKeptText)
	v.Samples, texts = bound(v.Samples, maxKeptSamples), nil
	for i := range v.Samples {
		s := &v.Samples[i]
		s.Values, texts = bound(s.Values, maxKeptRow), append(texts, &s.Check)
		for j := range s.Values {
			texts = append(texts, &s.Values[j].Column, &s.Values[j].Value)
		}
	}
	clipAll(texts, maxKeptValue)
	v.Profile, texts = bound(v.Profile, maxKeptColumns), nil
	for i := range v.Profile {
		p := &v.Profile[i]
		p.Outliers, texts = bound(p.Outliers, maxKeptRow), append(texts, &p.Name, &p.Type, &p.Min, &p.Max)
		for j := range p.Outliers {
			texts = append(texts, &p.Outliers[j].Check, &p.Outliers[j].Rule)
		}
	}
	clipAll(texts, maxKeptValue)
	v.Findings, texts = bound(v.Findings, maxKeptSamples), nil
	for i := range v.Findings {
		f := &v.Findings[i]
		texts = append(texts, &f.Rule, &f.Message, &f.Subject, &f.Remedy)
	}
	clipAll(texts, 2*maxKeptText)
	if v.Changes != nil {
		c := *v.Changes
		texts = nil
		for _, list := range []*[]string{&c.FailingNow, &c.PassingNow, &c.Added, &c.Dropped} {
			*list = bound(*list, maxNamed)
			for i := range *list {
				texts = append(texts, &(*list)[i])
			}
		}
		clipAll(texts, maxKeptValue)
		v.Changes = &c
	}
	return v
}

// clipAll clips texts to most bytes, or to fewer if they were too much together.
func clipAll(texts []*string, most int) {
	sum := 0
	for _, s := range texts {
		sum += min(len(*s), most)
	}
	if sum > maxKeptAll {
		most = max(16, maxKeptAll/len(texts))
	}
	for _, s := range texts {
		*s = clipText(*s, most)
	}
}

func orEmpty(m map[string]*float64) map[string]*float64 {
	if m == nil {
		return map[string]*float64{}
	}
	return m
}

// bound is a copy of the first n of a list.
func bound[T any](list []T, n int) []T {
	out := make([]T, min(len(list), n))
	copy(out, list)
	return out
}

// clipText shortens a text that may come from anybody's data to at most n bytes and makes it
// one that every database holds.
func clipText(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.Map(func(r rune) rune { // what is no UTF-8 comes as U+FFFD
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return '\uFFFD'
		}
		return r
	}, s)
}

const validationHead = `validation_id, execution_id, pipeline_execution, pipeline_id, dataset_id, n, dataset_uri, dataset_digest, contract_id, contract_version,
	contract_digest, contract_object, engine, status, score, dimensions, performed, passed, failed, anomalies, row_count, byte_count, seconds,
	report_html, report_json, previous, changes, alert_id, project, classification, requested_by, started_at, validated_at`

func scanValidation(scan func(...any) error, more ...any) (*Validation, error) {
	var v Validation
	var score sql.NullFloat64
	var dimensions, changes string
	var started, validated int64
	err := scan(append([]any{&v.ValidationID, &v.ExecutionID, &v.PipelineExecution, &v.PipelineID, &v.DatasetID, &v.N, &v.DatasetURI, &v.DatasetDigest, &v.ContractID,
		&v.ContractVersion, &v.ContractDigest, &v.ContractObject, &v.Engine, &v.Status, &score, &dimensions, &v.Performed, &v.Passed, &v.Failed, &v.Anomalies, &v.Rows, &v.Bytes,
		&v.Seconds, &v.ReportHTML, &v.ReportJSON, &v.Previous, &changes, &v.AlertID, &v.Project, &v.Classification, &v.RequestedBy, &started, &validated}, more...)...)
	if err != nil {
		return nil, err
	}
	if score.Valid {
		v.Score = &score.Float64
	}
	v.StartedAt, v.ValidatedAt = db.Moment(started), db.Moment(validated)
	if changes != "" {
		v.Changes = &ValidationChanges{}
		if err := readJSON(changes, v.Changes); err != nil {
			return nil, err
		}
	}
	return &v, readJSON(dimensions, &v.Dimensions)
}

func getValidation(q query, where string, args ...any) (*Validation, error) {
	var v *Validation
	err := q(`SELECT `+validationHead+`, checks, samples, profile, findings FROM validations WHERE `+where, args, func(scan func(...any) error) (err error) {
		var checks, samples, profile, findings string
		if v, err = scanValidation(scan, &checks, &samples, &profile, &findings); err != nil {
			return err
		}
		for _, part := range []struct {
			text string
			into any
		}{{checks, &v.Checks}, {samples, &v.Samples}, {profile, &v.Profile}, {findings, &v.Findings}} {
			if err := readJSON(part.text, part.into); err != nil {
				return err
			}
		}
		return nil
	})
	return v, err
}

func validationOf(q query, id string) (*Validation, error) {
	var v *Validation
	if validationID.MatchString(id) {
		var err error
		if v, err = getValidation(q, `validation_id = $1`, id); err != nil {
			return nil, err
		}
	}
	if v == nil {
		return nil, caos.Errorf(caos.NotFound, "there is no validation %.80q", id).WithField("validation_id").WithHint("caos validation list shows those there are")
	}
	return v, nil
}

// Validation returns a validation, or a NotFound error.
func (d *Datasets) Validation(ctx context.Context, id string) (*Validation, error) {
	return validationOf(d.pool(ctx), id)
}

// ValidationIn is Validation as a transaction sees it.
func (d *Datasets) ValidationIn(tx *db.Tx, id string) (*Validation, error) {
	return validationOf(within(tx), id)
}

// LastValidation returns the latest validation of a dataset by a contract, nil if there is
// none.
func (d *Datasets) LastValidation(ctx context.Context, datasetID, contractID string) (*Validation, error) {
	if !db.Storable(datasetID) || !db.Storable(contractID) {
		return nil, nil
	}
	return getValidation(d.pool(ctx), `dataset_id = $1 AND contract_id = $2 ORDER BY validated_at DESC, validation_id DESC LIMIT 1`, datasetID, contractID)
}

// Validations lists validations, latest first, without their checks, samples and profiles.
// cursor is "" and then the one returned.
func (d *Datasets) Validations(ctx context.Context, f ValidationFilter, cursor string) ([]*Validation, string, error) {
	w := new(db.Where)
	for column, value := range map[string]string{"dataset_id": f.DatasetID, "contract_id": f.ContractID, "pipeline_id": f.PipelineID, "project": f.Project} {
		w.Is(column, value)
	}
	if f.Status != "" {
		if err := caos.CheckWord("overall_status", f.Status, ValidationStatuses()); err != nil {
			return nil, "", err
		}
		w.Is("status", f.Status)
	}
	if f.Execution != "" {
		if !db.Storable(f.Execution) {
			return []*Validation{}, "", nil
		}
		w.And("(execution_id = ? OR pipeline_execution = ?)", f.Execution, f.Execution)
	}
	if f.N > 0 {
		w.And("n = ?", f.N)
	}
	return db.Page(d.pool(ctx), w, db.Listing[*Validation]{Columns: validationHead, From: "validations", At: "validated_at", ID: "validation_id", Limit: f.Limit,
		Scan: func(scan func(...any) error) (*Validation, error) { return scanValidation(scan) },
		Key:  func(v *Validation) (time.Time, string) { return v.ValidatedAt, v.ValidationID },
	}, cursor)
}

// Trend returns the last validations of a dataset as points, the oldest first: by one
// contract, or by all if contractID is "". There are at most 400.
func (d *Datasets) Trend(ctx context.Context, datasetID, contractID string, limit int) ([]TrendPoint, error) {
	out := []TrendPoint{}
	if !db.Storable(datasetID) || !db.Storable(contractID) {
		return out, nil
	}
	if limit <= 0 || limit > maxTrend {
		limit = maxTrend
	}
	where, args := `dataset_id = $1`, []any{datasetID}
	if contractID != "" {
		where, args = where+` AND contract_id = $2`, append(args, contractID)
	}
	err := d.pool(ctx)(`SELECT validation_id, validated_at, n, contract_version, status, score, failed, anomalies, row_count, project, classification FROM validations WHERE `+where+
		` ORDER BY validated_at DESC, validation_id DESC LIMIT `+strconv.Itoa(limit), args, func(scan func(...any) error) error {
		var p TrendPoint
		var at int64
		var score sql.NullFloat64
		if err := scan(&p.ValidationID, &at, &p.N, &p.ContractVersion, &p.Status, &score, &p.Failed, &p.Anomalies, &p.Rows, &p.Project, &p.Classification); err != nil {
			return err
		}
		if p.At = db.Moment(at); score.Valid {
			p.Score = &score.Float64
		}
		out = append(out, p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("trend of %s: %w", datasetID, err)
	}
	slices.Reverse(out)
	return out, nil
}

// Alerted notes the alert that a validation raised, in the transaction that wrote it.
func (d *Datasets) Alerted(tx *db.Tx, id, alertID string) {
	tx.ExecOne(caos.Errorf(caos.NotFound, "there is no validation %.80q", id).WithField("validation_id"),
		`UPDATE validations SET alert_id = $1 WHERE validation_id = $2`, alertID, id)
}

// Compare says what differs between a validation and the one before it.
func (v *Validation) Compare(before *Validation) *ValidationChanges {
	c := &ValidationChanges{Previous: before.ValidationID, Dataset: v.DatasetDigest != before.DatasetDigest, Contract: v.ContractDigest != before.ContractDigest,
		Rows: v.Rows - before.Rows, Status: before.Status, FailingNow: []string{}, PassingNow: []string{}, Added: []string{}, Dropped: []string{}}
	if v.Score != nil && before.Score != nil {
		diff := *v.Score - *before.Score
		c.Score = &diff
	}
	was := map[string]bool{}
	for _, k := range before.Checks {
		was[k.ID] = k.Passed
	}
	is := map[string]bool{}
	for _, k := range v.Checks {
		is[k.ID] = true
		passed, had := was[clipText(k.ID, maxKeptValue)]
		switch {
		case !had:
			c.Added = append(c.Added, k.ID)
		case passed && !k.Passed:
			c.FailingNow = append(c.FailingNow, k.ID)
		case !passed && k.Passed:
			c.PassingNow = append(c.PassingNow, k.ID)
		}
		is[clipText(k.ID, maxKeptValue)] = true
	}
	for _, k := range before.Checks {
		if !is[k.ID] {
			c.Dropped = append(c.Dropped, k.ID)
		}
	}
	return c
}

// ReportBytes is the report of a validation for programs and terminals: all that is known
// of it, with the statements, indented.
func (v *Validation) ReportBytes() ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("report of %s: %w", v.ValidationID, err)
	}
	return append(text, '\n'), nil
}
