// Package alert is the one store of alerts, for data, monitoring and integrity alike. An
// alert is raised in the transaction that finds the trouble ([Store.Raise]); the same
// trouble found again while its alert is not closed adds to the alert's count. People
// acknowledge an alert (somebody looks after it) and close it (with a reason); the caller
// of those writes the audit record, in the same transaction.
package alert

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"caos"
)

// Type is the spec's alert_type (section 7.1).
type Type string

// The alert types.
const (
	Latency  Type = "LATENCY"
	Accuracy Type = "ACCURACY"
	Drift    Type = "DRIFT"
	Anomaly  Type = "ANOMALY" // also whatever is wrong with data, storage or delivery
)

// Severity is the spec's severity.
type Severity string

// The severities, rising.
const (
	Low      Severity = "LOW"
	Medium   Severity = "MEDIUM"
	High     Severity = "HIGH"
	Critical Severity = "CRITICAL"
)

// rank orders severities; 0 is none. It is stored: do not renumber.
func (s Severity) rank() int {
	switch s {
	case Low:
		return 1
	case Medium:
		return 2
	case High:
		return 3
	case Critical:
		return 4
	}
	return 0
}

// State is what people have done about an alert.
type State string

// The states. An alert goes from OPEN to ACKNOWLEDGED to CLOSED, or straight to CLOSED; one
// that gets more severe goes back from ACKNOWLEDGED to OPEN.
const (
	Open         State = "OPEN"
	Acknowledged State = "ACKNOWLEDGED"
	Closed       State = "CLOSED"
)

// Report is an alert in exactly the nine fields of section 7.1 of the specification.
type Report struct {
	AlertID            string   `json:"alert_id"` // ALERT-<KIND>-<stamp>, made by Raise
	AlertType          Type     `json:"alert_type"`
	Severity           Severity `json:"severity"`
	ModelID            string   `json:"model_id"` // "" when the alert is about no model
	MetricName         string   `json:"metric_name"`
	CurrentValue       *float64 `json:"current_value"`   // null when nothing was measured
	ThresholdValue     *float64 `json:"threshold_value"` // null when there is no threshold
	AlertMessage       string   `json:"alert_message"`
	RecommendedActions []string `json:"recommended_actions"` // words such as "investigate"
}

// Alert is a row of the store: the fields of [Report], what it is about, and what became of
// it. Raise reads the fields down to Classification and sets the rest.
type Alert struct {
	AlertID            string   `json:"alert_id"`
	AlertType          Type     `json:"alert_type"`
	Severity           Severity `json:"severity"`
	ModelID            string   `json:"model_id"`
	MetricName         string   `json:"metric_name"`
	CurrentValue       *float64 `json:"current_value"`
	ThresholdValue     *float64 `json:"threshold_value"`
	AlertMessage       string   `json:"alert_message"`
	RecommendedActions []string `json:"recommended_actions"`

	Kind           string `json:"-"`       // the word in the id, such as PERF or DATA; from AlertType when ""
	Subject        string `json:"subject"` // id of what is wrong: a model version, a dataset, a digest
	Source         string `json:"source"`  // what found it, such as a hook id or "event"
	Project        string `json:"project"`
	Classification string `json:"classification"`

	State          State      `json:"state"`
	Count          int64      `json:"count"`        // how often it was raised
	RaisedAt       time.Time  `json:"raised_at"`    // the first time
	LastSeenAt     time.Time  `json:"last_seen_at"` // the last time
	AcknowledgedAt *time.Time `json:"acknowledged_at"`
	AcknowledgedBy string     `json:"acknowledged_by"`
	ClosedAt       *time.Time `json:"closed_at"`
	ClosedBy       string     `json:"closed_by"`
	Note           string     `json:"note"`    // of whoever acknowledged or closed it last
	Version        int64      `json:"version"` // grows with every change, for ETags
}

// Report returns the nine fields alone.
func (a Alert) Report() Report {
	return Report{
		AlertID: a.AlertID, AlertType: a.AlertType, Severity: a.Severity, ModelID: a.ModelID, MetricName: a.MetricName,
		CurrentValue: a.CurrentValue, ThresholdValue: a.ThresholdValue, AlertMessage: a.AlertMessage, RecommendedActions: a.RecommendedActions,
	}
}

// Value makes a current or threshold value.
func Value(v float64) *float64 { return &v }

// Bounds of an alert's text, in bytes.
const (
	maxWord    = 200
	maxMessage = 2000
	maxActions = 20
)

// The grammars of the words that go into ids and filters.
var (
	kindWord   = regexp.MustCompile(`^[A-Z][A-Z0-9]{1,15}$`)
	alertID    = regexp.MustCompile(`^ALERT-[A-Z][A-Z0-9]{1,15}-[0-9TZ.]{8,40}$`)
	metricWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.:/-]{0,99}$`)
)

// normalise fills what may be left out and refuses what no alert can be.
func (a Alert) normalise() (Alert, error) {
	if a.Kind == "" {
		switch a.AlertType {
		case Latency, Accuracy:
			a.Kind = "PERF"
		default:
			a.Kind = string(a.AlertType)
		}
	}
	if a.RecommendedActions == nil {
		a.RecommendedActions = []string{}
	}
	switch a.AlertType {
	case Latency, Accuracy, Drift, Anomaly:
	default:
		return a, invalid("alert_type", "%q is not an alert type", a.AlertType).WithHint("one of LATENCY, ACCURACY, DRIFT, ANOMALY")
	}
	switch {
	case a.Severity.rank() == 0:
		return a, invalid("severity", "%q is not a severity", a.Severity).WithHint("one of LOW, MEDIUM, HIGH, CRITICAL")
	case !kindWord.MatchString(a.Kind):
		return a, invalid("kind", "%q cannot be part of an alert id", a.Kind)
	case !metricWord.MatchString(a.MetricName):
		return a, invalid("metric_name", "%q is not the name of a metric", clip(a.MetricName, maxWord)).WithHint("a metric name matches %s", metricWord)
	case a.Source == "" || clip(a.Source, maxWord) != a.Source:
		return a, invalid("source", "the source is text of 1 to %d bytes", maxWord)
	case a.Subject == "" || clip(a.Subject, maxWord) != a.Subject:
		return a, invalid("subject", "the subject is text of 1 to %d bytes", maxWord)
	case strings.TrimSpace(a.AlertMessage) == "":
		return a, invalid("alert_message", "an alert says what is wrong")
	case len(a.RecommendedActions) > maxActions:
		return a, invalid("recommended_actions", "%d actions, %d at most", len(a.RecommendedActions), maxActions)
	case !finite(a.CurrentValue):
		return a, invalid("current_value", "not a finite number").WithHint("leave it out when nothing was measured")
	case !finite(a.ThresholdValue):
		return a, invalid("threshold_value", "not a finite number").WithHint("leave it out when there is no threshold")
	}
	if a.ModelID != "" {
		if err := caos.CheckID("model", "model_id", a.ModelID); err != nil {
			return a, err
		}
	}
	a.AlertMessage = clip(a.AlertMessage, maxMessage)
	a.RecommendedActions = slices.Clone(a.RecommendedActions)
	for i, word := range a.RecommendedActions {
		a.RecommendedActions[i] = clip(word, maxWord)
	}
	return a, nil
}

func invalid(field, format string, args ...any) *caos.Error {
	return caos.Errorf(caos.Invalid, format, args...).WithField(field)
}

func finite(v *float64) bool { return v == nil || !math.IsNaN(*v) && !math.IsInf(*v, 0) }

// clip shortens a text to at most n bytes, and makes it one that every database takes: a
// message may quote a hostile file.
func clip(s string, n int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.ToValidUTF8(s, "�")
}
