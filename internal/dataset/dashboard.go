package dataset

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"caos/internal/db"
)

// Quality is the dashboard "data-quality".
type Quality struct {
	Standing []QualityStanding `json:"standing"` // the latest validated first, at most 1000
	Days     []QualityDay      `json:"days"`     // the newest first, at most 90 of them
}

// QualityStanding is how a dataset stands by a contract.
type QualityStanding struct {
	DatasetID      string     `json:"dataset_id"`
	ContractID     string     `json:"validation_rules_id"`
	PipelineID     string     `json:"pipeline_id"`
	Validations    int64      `json:"validations"`
	Passes         int64      `json:"passes"`
	Warnings       int64      `json:"warnings"`
	Fails          int64      `json:"fails"`
	ValidationID   string     `json:"validation_id"` // the latest, whose what follows is
	N              int64      `json:"dataset_version"`
	Status         string     `json:"overall_status"`
	Score          *float64   `json:"quality_score"`
	Failed         int64      `json:"checks_failed"`
	Anomalies      int64      `json:"anomalies_detected"`
	ValidatedAt    time.Time  `json:"validated_at"`
	FailingSince   *time.Time `json:"failing_since"` // first of the FAILs in a row that end with it
	Project        string     `json:"project"`
	Classification string     `json:"classification"`
}

// QualityDay is what a day brought in a project.
type QualityDay struct {
	Day          string `json:"day"` // 2026-11-22, UTC
	Project      string `json:"project"`
	Status       string `json:"overall_status"`
	Validations  int64  `json:"validations"`
	ChecksFailed int64  `json:"checks_failed"`
	Anomalies    int64  `json:"anomalies"`
}

const (
	maxStanding = 1000
	daysShown   = 90
	dayMicros   = 24 * 3600 * 1_000_000
)

// countValidation brings the dashboard up to a validation that was written in tx. Of several
// that end in another order than they are written, the one of the latest moment stands.
func (d *Datasets) countValidation(tx *db.Tx, v *Validation) error {
	one := func(status string) int64 {
		if v.Status == status {
			return 1
		}
		return 0
	}
	pass, warn, fail := one(ValidationPass), one(ValidationWarning), one(ValidationFail)
	tx.Exec(`INSERT INTO quality_days (day, project, classification, status, validations, checks_failed, anomalies) VALUES ($1, $2, $3, $4, 1, $5, $6)
		ON CONFLICT (day, project, classification, status) DO UPDATE SET validations = quality_days.validations + 1,
			checks_failed = quality_days.checks_failed + excluded.checks_failed, anomalies = quality_days.anomalies + excluded.anomalies`,
		v.ValidatedAt.UnixMicro()/dayMicros, v.Project, v.Classification, v.Status, v.Failed, v.Anomalies)
	tx.Exec(`INSERT INTO quality_standing (dataset_id, contract_id, pipeline_id, validations, passes, warnings, fails, validation_id, n, status, score, failed, anomalies,
			validated_at, failing_since, project, classification)
		VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, $14, $15)
		ON CONFLICT (dataset_id, contract_id) DO UPDATE SET validations = quality_standing.validations + 1, passes = quality_standing.passes + excluded.passes,
			warnings = quality_standing.warnings + excluded.warnings, fails = quality_standing.fails + excluded.fails`,
		v.DatasetID, v.ContractID, v.PipelineID, pass, warn, fail, v.ValidationID, v.N, v.Status, nullable(v.Score), v.Failed, v.Anomalies,
		v.ValidatedAt.UnixMicro(), v.Project, v.Classification)
	tx.Exec(`UPDATE quality_standing SET pipeline_id = $1, validation_id = $2, n = $3, status = $4, score = $5, failed = $6, anomalies = $7, validated_at = $8, project = $9, classification = $10
		WHERE dataset_id = $11 AND contract_id = $12 AND (validated_at < $13 OR validated_at = $14 AND validation_id < $15)`,
		v.PipelineID, v.ValidationID, v.N, v.Status, nullable(v.Score), v.Failed, v.Anomalies, v.ValidatedAt.UnixMicro(), v.Project, v.Classification,
		v.DatasetID, v.ContractID, v.ValidatedAt.UnixMicro(), v.ValidatedAt.UnixMicro(), v.ValidationID)
	since, err := failingSince(tx, v.DatasetID, v.ContractID)
	if err != nil {
		return err
	}
	tx.Exec(`UPDATE quality_standing SET failing_since = $1 WHERE dataset_id = $2 AND contract_id = $3`, since, v.DatasetID, v.ContractID)
	return nil
}

// failingSince is the moment of the first FAIL after the last verdict that was none, 0 for
// a dataset that does not fail.
func failingSince(tx *db.Tx, datasetID, contractID string) (since int64, err error) {
	var at int64
	var id string
	err = tx.Query(`SELECT validated_at, validation_id FROM validations WHERE dataset_id = $1 AND contract_id = $2 AND status <> 'FAIL'
		ORDER BY validated_at DESC, validation_id DESC LIMIT 1`, []any{datasetID, contractID}, func(scan func(...any) error) error { return scan(&at, &id) })
	if err != nil {
		return 0, err
	}
	err = tx.Query(`SELECT validated_at FROM validations WHERE dataset_id = $1 AND contract_id = $2 AND status = 'FAIL' AND (validated_at > $3 OR validated_at = $4 AND validation_id > $5)
		ORDER BY validated_at, validation_id LIMIT 1`, []any{datasetID, contractID, at, at, id}, func(scan func(...any) error) error { return scan(&since) })
	return since, err
}

// Quality reads the dashboard, of what sees says that the reader may know of.
func (d *Datasets) Quality(ctx context.Context, sees func(project, classification string) bool) (*Quality, error) {
	out := &Quality{Standing: []QualityStanding{}, Days: []QualityDay{}}
	q := d.pool(ctx)
	err := q(`SELECT dataset_id, contract_id, pipeline_id, validations, passes, warnings, fails, validation_id, n, status, score, failed, anomalies, validated_at, failing_since,
			project, classification FROM quality_standing ORDER BY validated_at DESC, dataset_id, contract_id LIMIT `+strconv.Itoa(10*maxStanding), nil, func(scan func(...any) error) error {
		var s QualityStanding
		var score sql.NullFloat64
		var at, since int64
		if err := scan(&s.DatasetID, &s.ContractID, &s.PipelineID, &s.Validations, &s.Passes, &s.Warnings, &s.Fails, &s.ValidationID, &s.N, &s.Status, &score, &s.Failed, &s.Anomalies,
			&at, &since, &s.Project, &s.Classification); err != nil {
			return err
		}
		if len(out.Standing) == maxStanding || !sees(s.Project, s.Classification) {
			return nil
		}
		if score.Valid {
			s.Score = &score.Float64
		}
		s.ValidatedAt, s.FailingSince = db.Moment(at), db.Optional(since)
		out.Standing = append(out.Standing, s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("data quality: %w", err)
	}
	out.Days, err = qualityDays(q, d.now(), sees)
	if err != nil {
		return nil, fmt.Errorf("data quality by day: %w", err)
	}
	return out, nil
}

func qualityDays(q query, now time.Time, sees func(project, classification string) bool) ([]QualityDay, error) {
	out := []QualityDay{}
	err := q(`SELECT day, project, classification, status, validations, checks_failed, anomalies FROM quality_days WHERE day > $1
		ORDER BY day DESC, project, status, classification`, []any{now.UnixMicro()/dayMicros - daysShown}, func(scan func(...any) error) error {
		var x QualityDay
		var day int64
		var classification string
		if err := scan(&day, &x.Project, &classification, &x.Status, &x.Validations, &x.ChecksFailed, &x.Anomalies); err != nil {
			return err
		}
		if !sees(x.Project, classification) {
			return nil
		}
		x.Day = time.Unix(day*24*3600, 0).UTC().Format(time.DateOnly)
		if n := len(out); n > 0 && out[n-1].Day == x.Day && out[n-1].Project == x.Project && out[n-1].Status == x.Status {
			last := &out[n-1] // of another classification: how much is classified how is not shown
			last.Validations, last.ChecksFailed, last.Anomalies = last.Validations+x.Validations, last.ChecksFailed+x.ChecksFailed, last.Anomalies+x.Anomalies
			return nil
		}
		out = append(out, x)
		return nil
	})
	return out, err
}
