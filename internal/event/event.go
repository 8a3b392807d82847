package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"caos"
)

// Bounds of an event. A subscriber that needs more than MaxData follows Subject.
const (
	MaxData      = 64 << 10 // bytes of the JSON of Data
	maxAttribute = 200      // bytes of Source and Subject
	maxType      = 100
)

// Event is a CloudEvents 1.0 event. Its JSON is the structured form.
type Event struct {
	ID             string    // unique; minted by Emit when empty
	Type           string    // "caos.<noun>.<past participle>", such as "caos.execution.succeeded"
	Source         string    // URI reference of what emitted it; the outbox's own when empty
	Subject        string    // id of what it is about, such as an execution id; may be empty
	Time           time.Time // when it happened; the outbox's clock when zero
	Project        string    // extension attribute "project"
	Classification string    // extension attribute "classification"

	// Data is any JSON value. Events that were read hold a json.RawMessage; see Decode.
	Data any

	// Sequence is the event's place in the outbox, from 1; extension attribute "sequence".
	// Emit ignores it.
	Sequence int64
}

// Decode reads Data of a delivered event.
func (e Event) Decode(into any) error {
	raw, ok := e.Data.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(e.Data); err != nil {
			return fmt.Errorf("event %s: encode data: %w", e.ID, err)
		}
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("event %s: decode data: %w", e.ID, err)
	}
	return nil
}

// envelope is the structured form. The order of its fields is that of the specification of
// CloudEvents: required, optional, extensions, data.
type envelope struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	DataContentType string          `json:"datacontenttype,omitempty"`
	Subject         string          `json:"subject,omitempty"`
	Time            string          `json:"time"`
	Project         string          `json:"project,omitempty"`
	Classification  string          `json:"classification,omitempty"`
	Sequence        string          `json:"sequence,omitempty"` // a string, as its CloudEvents extension says
	Data            json.RawMessage `json:"data,omitempty"`
}

// MarshalJSON gives the structured form.
func (e Event) MarshalJSON() ([]byte, error) {
	env := envelope{
		SpecVersion: "1.0", ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject,
		Time: caos.FormatTime(e.Time), Project: e.Project, Classification: e.Classification,
	}
	if e.Sequence > 0 {
		env.Sequence = strconv.FormatInt(e.Sequence, 10)
	}
	if e.Data != nil {
		data, err := json.Marshal(e.Data)
		if err != nil {
			return nil, fmt.Errorf("event data: %w", err)
		}
		env.Data, env.DataContentType = data, "application/json"
	}
	return json.Marshal(env)
}

// UnmarshalJSON reads the structured form. Unknown extension attributes are ignored, as
// CloudEvents asks of a consumer.
func (e *Event) UnmarshalJSON(text []byte) error {
	var env envelope
	if err := json.Unmarshal(text, &env); err != nil {
		return err
	}
	if env.SpecVersion != "1.0" {
		return fmt.Errorf("specversion %q is not 1.0", env.SpecVersion)
	}
	at, err := time.Parse(time.RFC3339Nano, env.Time)
	if err != nil {
		return fmt.Errorf("event time: %w", err)
	}
	read := Event{
		ID: env.ID, Type: env.Type, Source: env.Source, Subject: env.Subject,
		Time: at.UTC(), Project: env.Project, Classification: env.Classification,
	}
	if env.Sequence != "" {
		if read.Sequence, err = strconv.ParseInt(env.Sequence, 10, 64); err != nil {
			return fmt.Errorf("event sequence: %w", err)
		}
	}
	if len(env.Data) > 0 {
		read.Data = json.RawMessage(bytes.Clone(env.Data))
	}
	*e = read
	return nil
}

// check refuses what would not be a CloudEvent, or too much for an outbox.
func (e Event) check() error {
	if !validType(e.Type) {
		return caos.Errorf(caos.Internal, "event type %q is not of the form caos.<noun>.<what happened>", e.Type)
	}
	if e.Source == "" || len(e.Source) > maxAttribute {
		return caos.Errorf(caos.Internal, "event %s has no source of 1 to %d bytes", e.Type, maxAttribute)
	}
	if _, err := url.Parse(e.Source); err != nil {
		return caos.Wrap(caos.Internal, err, "event %s: source is not a URI reference", e.Type)
	}
	if len(e.Subject) > maxAttribute {
		return caos.Errorf(caos.Internal, "event %s: subject is longer than %d bytes", e.Type, maxAttribute)
	}
	return nil
}

// validType reports whether t is "caos." and one or more lower-case words between dots.
func validType(t string) bool {
	rest, ok := strings.CutPrefix(t, "caos.")
	if !ok || len(t) > maxType {
		return false
	}
	for word := range strings.SplitSeq(rest, ".") {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
			return false
		}
	}
	return true
}

// Match reports whether an event type fits a pattern. A pattern is a type in which "*"
// stands for one word; a last "*" stands for one or more. "*" alone fits everything.
func Match(pattern, eventType string) bool {
	for {
		want, restPattern, more := strings.Cut(pattern, ".")
		word, restType, moreType := strings.Cut(eventType, ".")
		switch {
		case word == "":
			return false
		case want == "*" && !more:
			return true
		case want != "*" && want != word:
			return false
		case !more || !moreType:
			return more == moreType
		}
		pattern, eventType = restPattern, restType
	}
}

// CheckPattern returns an Invalid error that names field unless Match can use the pattern.
func CheckPattern(field, pattern string) error {
	if pattern == "*" || validType(strings.ReplaceAll(pattern, "*", "x")) && !strings.Contains(strings.ReplaceAll(pattern, ".*", ""), "*") {
		return nil
	}
	return caos.Errorf(caos.Invalid, "%q is not a pattern of event types", pattern).WithField(field).
		WithHint(`write a type such as "caos.execution.succeeded"; "*" stands for one word, and at the end for all that follow`)
}
