package auditlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"caos"
)

// Type says what kind of thing a record is about. The first four are the action types of
// the specification; the others are what CAOS records of its own accord.
type Type string

// The record types. Stored and hashed: never rename one.
const (
	ModelFreeze   Type = "MODEL_FREEZE"
	Deployment    Type = "DEPLOYMENT"
	Rollback      Type = "ROLLBACK"
	ConfigChange  Type = "CONFIG_CHANGE"
	Decided       Type = "DECISION"
	Authorisation Type = "AUTHORISATION"
	Override      Type = "OVERRIDE"
	Access        Type = "ACCESS"
	Data          Type = "DATA"
	Evidence      Type = "EVIDENCE"
	Alert         Type = "ALERT"
	Incident      Type = "INCIDENT"
	Execution     Type = "EXECUTION"
	Key           Type = "KEY"
)

// Types returns every record type in the order of the documentation.
func Types() []Type {
	return []Type{
		ModelFreeze, Deployment, Rollback, ConfigChange, Decided, Authorisation, Override,
		Access, Data, Evidence, Alert, Incident, Execution, Key,
	}
}

// Valid reports whether t is one of Types.
func (t Type) Valid() bool { return slices.Contains(Types(), t) }

// Record is what the log keeps of one thing that happened. Its canonical JSON (RFC 8785,
// the tags below, empty fields left out) is what the leaf commits to. Actors are opaque
// ids; names live elsewhere.
type Record struct {
	V              int       `json:"v"`                        // 1; set by Append
	ID             string    `json:"id"`                       // "" = Append mints AUDIT-<stamp>
	Time           time.Time `json:"time"`                     // zero = the moment of Append; kept to the microsecond
	Type           Type      `json:"type"`                     // what kind of thing happened
	Actor          string    `json:"actor"`                    // who is said to have acted
	RecordedBy     string    `json:"recorded_by,omitempty"`    // who authenticated
	Resources      []string  `json:"resources,omitempty"`      // ids of what it was done to
	Details        any       `json:"details,omitempty"`        // a JSON object: json.RawMessage, or anything that marshals to one
	Authorization  string    `json:"authorization,omitempty"`  // id of what allowed it
	Execution      string    `json:"execution,omitempty"`      // EXEC-… that did it
	Hook           string    `json:"hook,omitempty"`           // CAOS.PROD.… of that execution
	Actions        []Action  `json:"actions,omitempty"`        // numbered actions of the specification that it completed
	Decision       *Decision `json:"decision,omitempty"`       // what the policies said
	Project        string    `json:"project,omitempty"`        // need-to-know scope
	Classification string    `json:"classification,omitempty"` // need-to-know scope

	// Minted says that ID is fresh from the installation's Stamper and that no transaction
	// with it has been sent, so that it need not be looked up: that costs a round trip.
	Minted bool `json:"-"`
}

// Action is one numbered action of the specification that the recorded commit completed.
type Action struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
	Step   string `json:"step,omitempty"`
	Status string `json:"status,omitempty"`
}

// Decision is the answer of the policies: ids of those that decided, and why.
type Decision struct {
	Effect   string   `json:"effect"`
	Policies []string `json:"policies,omitempty"`
	Reasons  []string `json:"reasons,omitempty"`
}

// Limits of a record. The leaf's 512 bytes follow from the first.
const (
	maxID        = 100
	maxName      = 256
	maxText      = 4096
	maxList      = 1000
	maxRecord    = 1 << 20
	recordFormat = 1
)

// check refuses what cannot be recorded, naming the field. It looks at everything that
// becomes a column: text that a database refuses would fail the commit of others.
func (r *Record) check() error {
	if !r.Type.Valid() {
		return caos.Errorf(caos.Invalid, "%q is no record type", clip(string(r.Type))).WithField("type")
	}
	if err := checkText("actor", r.Actor, maxName, true); err != nil {
		return err
	}
	if r.ID != "" && !validID(r.ID) {
		return caos.Errorf(caos.Invalid, "%q is no record id", clip(r.ID)).WithField("id").
			WithHint("leave it empty: the log gives AUDIT-<timestamp>")
	}
	if y := r.Time.UTC().Year(); !r.Time.IsZero() && (y < 1970 || y > 9999) {
		return caos.Errorf(caos.Invalid, "the year %d cannot be recorded", y).WithField("time")
	}
	for _, f := range []struct{ name, text string }{
		{"recorded_by", r.RecordedBy}, {"authorization", r.Authorization}, {"execution", r.Execution},
		{"hook", r.Hook}, {"project", r.Project}, {"classification", r.Classification},
	} {
		if err := checkText(f.name, f.text, maxName, false); err != nil {
			return err
		}
	}
	if len(r.Resources) > maxList {
		return tooMany("resources", len(r.Resources))
	}
	for i, s := range r.Resources {
		if err := checkText(fmt.Sprintf("resources[%d]", i), s, maxName, true); err != nil {
			return err
		}
	}
	return r.checkParts()
}

func (r *Record) checkParts() error {
	if len(r.Actions) > maxList {
		return tooMany("actions", len(r.Actions))
	}
	for i, a := range r.Actions {
		for _, s := range []string{a.Name, a.Step, a.Status} {
			if err := checkText(fmt.Sprintf("actions[%d]", i), s, maxText, false); err != nil {
				return err
			}
		}
	}
	if r.Decision == nil {
		return nil
	}
	if err := checkText("decision.effect", r.Decision.Effect, maxName, true); err != nil {
		return err
	}
	for i, s := range slices.Concat(r.Decision.Policies, r.Decision.Reasons) {
		if i >= maxList {
			return tooMany("decision", i)
		}
		if err := checkText("decision", s, maxText, false); err != nil {
			return err
		}
	}
	return nil
}

func tooMany(field string, n int) error {
	return caos.Errorf(caos.TooLarge, "%d are too many, the limit is %d", n, maxList).WithField(field)
}

func checkText(field, s string, limit int, required bool) error {
	switch {
	case s == "" && required:
		return caos.Errorf(caos.Invalid, "it is missing").WithField(field)
	case len(s) > limit:
		return caos.Errorf(caos.TooLarge, "%d bytes are too long, the limit is %d", len(s), limit).WithField(field)
	}
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' && limit == maxName || s[i] == 0 || s[i] == 0x7f {
			return caos.Errorf(caos.Invalid, "it holds a control character").WithField(field)
		}
	}
	if !utf8.ValidString(s) {
		return caos.Errorf(caos.Invalid, "it is not UTF-8").WithField(field)
	}
	return nil
}

func validID(id string) bool {
	if !strings.HasPrefix(id, "AUDIT-") || len(id) > maxID {
		return false
	}
	for i := 0; i < len(id); i++ {
		switch b := id[i]; {
		case b >= '0' && b <= '9', b >= 'A' && b <= 'Z', b >= 'a' && b <= 'z', b == '-', b == '.', b == '_':
		default:
			return false
		}
	}
	return true
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

// encode returns the canonical JSON of a record. The members are written in their sorted
// order by hand, because this runs while every other writer waits.
func (r *Record) encode(dst []byte) ([]byte, error) {
	dst = append(dst, '{')
	dst = appendActions(dst, r.Actions)
	dst = appendMember(dst, "actor", r.Actor)
	dst = appendMember(dst, "authorization", r.Authorization)
	dst = appendMember(dst, "classification", r.Classification)
	dst = appendDecision(dst, r.Decision)
	dst, err := appendDetails(dst, r.Details)
	if err != nil {
		return nil, err
	}
	dst = appendMember(dst, "execution", r.Execution)
	dst = appendMember(dst, "hook", r.Hook)
	dst = appendMember(dst, "id", r.ID)
	dst = appendMember(dst, "project", r.Project)
	dst = appendMember(dst, "recorded_by", r.RecordedBy)
	dst = appendList(dst, "resources", r.Resources)
	dst = appendMember(dst, "time", caos.FormatTime(r.Time))
	dst = appendMember(dst, "type", string(r.Type))
	dst = append(sep(dst), `"v":`...)
	dst = strconv.AppendInt(dst, recordFormat, 10)
	dst = append(dst, '}')
	if len(dst) > maxRecord {
		return nil, caos.Errorf(caos.TooLarge, "the record has %d bytes, the limit is %d", len(dst), maxRecord).
			WithField("details").WithHint("store large content as an object and record its digest")
	}
	return dst, nil
}

// sep appends the comma that a further member needs.
func sep(dst []byte) []byte {
	if b := dst[len(dst)-1]; b != '{' && b != '[' {
		return append(dst, ',')
	}
	return dst
}

// appendMember appends "name":"text", or nothing for an empty text.
func appendMember(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	dst = append(sep(dst), '"')
	dst = append(dst, name...)
	dst = append(dst, `":`...)
	return appendString(dst, text)
}

func appendList(dst []byte, name string, list []string) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(sep(dst), '"')
	dst = append(dst, name...)
	dst = append(dst, `":[`...)
	for _, s := range list {
		dst = appendString(sep(dst), s)
	}
	return append(dst, ']')
}

func appendActions(dst []byte, actions []Action) []byte {
	if len(actions) == 0 {
		return dst
	}
	dst = append(sep(dst), `"actions":[`...)
	for _, a := range actions {
		dst = append(sep(dst), `{"name":`...)
		dst = appendString(dst, a.Name)
		dst = append(dst, `,"number":`...)
		dst = strconv.AppendInt(dst, int64(a.Number), 10)
		dst = appendMember(dst, "status", a.Status)
		dst = appendMember(dst, "step", a.Step)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendDecision(dst []byte, d *Decision) []byte {
	if d == nil {
		return dst
	}
	dst = append(sep(dst), `"decision":{`...)
	dst = appendMember(dst, "effect", d.Effect)
	dst = appendList(dst, "policies", d.Policies)
	dst = appendList(dst, "reasons", d.Reasons)
	return append(dst, '}')
}

// appendDetails appends the details, which must be a JSON object; an absent or null one
// is left out.
func appendDetails(dst []byte, details any) ([]byte, error) {
	if details == nil {
		return dst, nil
	}
	raw, ok := details.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(details); err != nil {
			return nil, caos.Wrap(caos.Invalid, err, "the details cannot be written as JSON").WithField("details")
		}
	}
	if len(raw) > maxRecord {
		return nil, caos.Errorf(caos.TooLarge, "%d bytes are too many, the limit is %d", len(raw), maxRecord).WithField("details")
	}
	if trimmed := bytes.TrimSpace(raw); len(trimmed) == 0 || string(trimmed) == "null" {
		return dst, nil
	} else if trimmed[0] != '{' {
		return nil, caos.Errorf(caos.Invalid, "the details are no JSON object").WithField("details")
	}
	dst = append(sep(dst), `"details":`...)
	dst, err := appendCanonical(dst, raw)
	if err != nil {
		return nil, caos.Errorf(caos.Invalid, "the details cannot be recorded: %v", err).WithField("details")
	}
	return dst, nil
}

// ParseRecord reads a stored record. Details come back as json.RawMessage. It accepts
// every format ever written, which so far is one.
func ParseRecord(text []byte) (Record, error) {
	if len(text) > 2*maxRecord {
		return Record{}, caos.Errorf(caos.TooLarge, "a record of %d bytes", len(text))
	}
	var raw struct {
		Record
		Details json.RawMessage `json:"details"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return Record{}, caos.Wrap(caos.Invalid, err, "not a record")
	}
	if dec.More() {
		return Record{}, caos.Errorf(caos.Invalid, "something follows the record")
	}
	if raw.V != recordFormat {
		return Record{}, caos.Errorf(caos.Invalid, "a record of format %d", raw.V).
			WithHint("use the verifier of a newer release")
	}
	r := raw.Record
	if len(raw.Details) > 0 {
		r.Details = raw.Details
	}
	return r, nil
}
