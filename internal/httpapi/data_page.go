package httpapi

import (
	"net/url"
	"strconv"
	"time"

	"caos/internal/dataset"
)

// Lists of the data layer have items with a lot in them. A page shows of each what people look
// for, on a line, and leads to the rest.

type pipelineLine struct {
	ID         string `json:"pipeline_id"`
	Version    string `json:"pipeline_version"`
	Title      string `json:"title"`
	Schedule   string `json:"schedule"`
	Owner      string `json:"owner"`
	Project    string `json:"project"`
	Retired    string `json:"retired"`
	Registered string `json:"registered_at"`
}

type runLine struct {
	ID       string   `json:"execution_id"`
	Status   string   `json:"status"`
	Interval string   `json:"interval"`
	Mode     string   `json:"mode"`
	Records  int64    `json:"records"`
	Score    *float64 `json:"score"`
	Seconds  float64  `json:"seconds"`
	Started  string   `json:"started_at"`
	Run      string   `json:"run"`
	Issues   string   `json:"issues"`
}

type versionLine struct {
	ID        string `json:"dataset_id"`
	N         int64  `json:"version"`
	Rows      int64  `json:"rows"`
	Interval  string `json:"interval"`
	Contract  string `json:"contract"`
	Digest    string `json:"digest"`
	Execution string `json:"execution_id"`
	Published string `json:"published_at"`
}

type validationLine struct {
	ID        string   `json:"validation_id"`
	Status    string   `json:"overall_status"`
	Score     *float64 `json:"quality_score"`
	Failed    string   `json:"checks_failed"`
	Anomalies int64    `json:"anomalies_detected"`
	Dataset   string   `json:"dataset_id"`
	N         int64    `json:"dataset_version"`
	Pipeline  string   `json:"pipeline_id"`
	Rules     string   `json:"validation_rules_id"`
	At        string   `json:"validated_at"`
}

// inLines is a list as a page shows it, and anything else as it is.
func inLines(v any) any {
	switch list := v.(type) {
	case Page[*dataset.Pipeline]:
		return eachLine(list, func(p *dataset.Pipeline) pipelineLine {
			l := pipelineLine{ID: p.PipelineID, Version: p.PipelineVersion, Title: p.Title, Owner: p.Owner, Project: p.Project, Retired: p.RetiredReason, Registered: momentOf(p.RegisteredAt)}
			if p.Schedule != nil {
				l.Schedule = p.Schedule.Cron + " " + p.Schedule.Zone
			}
			return l
		})
	case Page[*dataset.Run]:
		return eachLine(list, func(r *dataset.Run) runLine {
			l := runLine{ID: r.ExecutionID, Status: r.Status, Interval: r.Interval, Mode: r.Mode, Records: r.Records, Score: r.Score, Seconds: r.Seconds, Started: momentOf(r.StartedAt),
				Run: "/v1/pipelines/" + url.PathEscape(r.PipelineID) + "/runs/" + url.PathEscape(r.ExecutionID)}
			if n := len(r.Issues); n > 0 {
				l.Issues = r.Issues[0]
				if n > 1 {
					l.Issues += " (and " + strconv.Itoa(n-1) + " more)"
				}
			}
			return l
		})
	case Page[*DatasetVersion]:
		return eachLine(list, func(v *DatasetVersion) versionLine {
			return versionLine{ID: v.DatasetID, N: v.N, Rows: v.Rows, Interval: v.Interval, Contract: v.Contract, Digest: v.Digest, Execution: v.ExecutionID, Published: momentOf(v.PublishedAt)}
		})
	case Page[*dataset.Validation]:
		return eachLine(list, func(v *dataset.Validation) validationLine {
			return validationLine{ID: v.ValidationID, Status: v.Status, Score: v.Score, Failed: strconv.Itoa(v.Failed) + " of " + strconv.Itoa(v.Performed), Anomalies: v.Anomalies,
				Dataset: v.DatasetID, N: v.N, Pipeline: v.PipelineID, Rules: v.ContractID, At: momentOf(v.ValidatedAt)}
		})
	}
	return chainLines(logLines(v))
}

func eachLine[T, L any](list Page[*T], line func(*T) L) Page[L] {
	out := Page[L]{Items: []L{}, NextCursor: list.NextCursor}
	for _, x := range list.Items {
		out.Items = append(out.Items, line(x))
	}
	return out
}

// momentOf writes a moment to the second, as a table has room for.
func momentOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}
