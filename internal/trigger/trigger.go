package trigger

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/event"
)

// Kind is what a trigger waits for.
type Kind string

// The kinds.
const (
	KindEvent   Kind = "EVENT"
	KindCron    Kind = "CRON"
	KindWebhook Kind = "WEBHOOK"
)

// Definition is what people write of a trigger.
type Definition struct {
	Name        string          `json:"name" maxLength:"48" doc:"lower case, never changed"`
	Kind        Kind            `json:"kind" enum:"EVENT,CRON,WEBHOOK" doc:"never changed"`
	Description string          `json:"description" maxLength:"500"`
	Hook        string          `json:"hook_id" maxLength:"100"`
	Input       json.RawMessage `json:"input" doc:"the hook's input; a string that is a reference such as ${event.data.package_id} stands for that value"`
	EventType   string          `json:"event_type" maxLength:"100" doc:"EVENT: a type or pattern such as caos.package.closed"`
	Where       map[string]any  `json:"where" doc:"EVENT, WEBHOOK: fields and the values that they must have, such as data.full_coverage: true"`
	Cron        string          `json:"cron" maxLength:"100" doc:"CRON: minute hour day month weekday"`
	Zone        string          `json:"zone" maxLength:"64" doc:"CRON: IANA time zone; UTC if empty. Times that a change of the clock leaves out do not come; times that it repeats come once"`
	RunsAs      string          `json:"runs_as" maxLength:"64" doc:"the service account that submits"`

	// Project and Classification limit who sees the trigger, and which events it sees: those
	// of its project alone (all, if it has none), and none more secret than itself.
	Project        string `json:"project" maxLength:"100"`
	Classification string `json:"classification" enum:",Public,Internal,Restricted,Confidential,Regulated"`
	Enabled        bool   `json:"enabled"`
}

// Trigger is a row: a definition, who answers for it, and what became of it.
type Trigger struct {
	Definition
	EnabledBy string     `json:"enabled_by"` // "" while it is disabled
	EnabledAt *time.Time `json:"enabled_at"`
	Stopped   string     `json:"stopped"` // why CAOS switched it off; "" if it did not
	Revision  int64      `json:"revision"`
	CreatedAt time.Time  `json:"created_at"`
	CreatedBy string     `json:"created_by"`
	UpdatedAt time.Time  `json:"updated_at"`
	UpdatedBy string     `json:"updated_by"`
	NextAt    *time.Time `json:"next_at"` // CRON: the next nominal time

	Fired         int64      `json:"fired"`     // how often its cause came
	Submitted     int64      `json:"submitted"` // executions
	Refused       int64      `json:"refused"`   // firings that made none
	LastFiredAt   *time.Time `json:"last_fired_at"`
	LastExecution string     `json:"last_execution_id"`
	LastError     string     `json:"last_error"` // of the last firing that was refused or is tried again
	LastErrorAt   *time.Time `json:"last_error_at"`

	sealed    []byte // the secret
	nominalAt int64
	windowAt  int64
	window    int64
}

// Bounds of a definition.
const (
	maxTemplate   = 64 << 10 // bytes
	maxConditions = 20
	maxText       = 1000 // bytes of a condition's value, of an error kept in a row

	// MaxDepth is how many links a chain of triggers has at most.
	MaxDepth = 8
)

var (
	nameWord    = regexp.MustCompile(`^[a-z][a-z0-9-]{1,47}$`)
	projectWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
)

func invalid(field, format string, args ...any) *caos.Error {
	return caos.Errorf(caos.Invalid, format, args...).WithField(field)
}

// normalise fills in what may be left out.
func (d Definition) normalise() Definition {
	if d.Kind == KindCron && d.Zone == "" {
		d.Zone = "UTC"
	}
	if d.Where == nil {
		d.Where = map[string]any{}
	}
	return d
}

// compiled is a definition that has been checked, ready to use.
type compiled struct {
	template *template
	filter   filter
}

// compile refuses, naming the field, what cannot work whatever happens later. It looks at
// nothing outside the definition.
func (d Definition) compile() (*compiled, error) {
	if err := d.checkWords(); err != nil {
		return nil, err
	}
	switch d.Kind {
	case KindEvent:
		if err := event.CheckPattern("event_type", d.EventType); err != nil {
			return nil, err
		}
	case KindCron:
		if _, err := event.NextTick(d.Cron, d.Zone, time.Unix(0, 0)); err != nil {
			return nil, err
		}
	case KindWebhook:
	default:
		return nil, invalid("kind", "%q is not a kind of trigger", clip(string(d.Kind), 40)).WithHint("one of EVENT, CRON, WEBHOOK")
	}
	f, err := parseFilter(d)
	if err != nil {
		return nil, err
	}
	t, err := parseTemplate(d.Input, d.Kind)
	if err != nil {
		return nil, err
	}
	if err := t.known(d); err != nil {
		return nil, err
	}
	if _, err := codec.Canonical(d); err != nil { // the audit log holds the definition
		return nil, invalid("input", "%s", caos.AsError(err).Message).WithHint("write large numbers as text")
	}
	if d.hearsItself() {
		return nil, invalid("event_type", "the trigger would be fired by the end of the hook that it starts").WithRule("trigger-loop").
			WithHint(`name another hook in where, such as {"data.hook_id": "CAOS.PROD.CERT.EVIDENCE"}`)
	}
	return &compiled{template: t, filter: f}, nil
}

func (d Definition) checkWords() error {
	belongs := func(field string, set bool, kinds ...Kind) error {
		if set && !slices.Contains(kinds, d.Kind) {
			return invalid(field, "a trigger of kind %s has no %s", clip(string(d.Kind), 40), field)
		}
		return nil
	}
	switch {
	case !nameWord.MatchString(d.Name):
		return invalid("name", "%q is not the name of a trigger", clip(d.Name, 80)).WithHint("a name matches %s", nameWord)
	case len(d.Description) > 500 || strings.ContainsRune(d.Description, 0):
		return invalid("description", "a description is text of at most 500 bytes")
	case d.Project != "" && !projectWord.MatchString(d.Project):
		return invalid("project", "%q is not a project", clip(d.Project, 80))
	case d.Classification != "" && !slices.Contains(caos.Classifications(), d.Classification):
		return invalid("classification", "%q is not a classification", clip(d.Classification, 40)).WithHint("one of Public, Internal, Restricted, Confidential, Regulated, or none")
	}
	if err := caos.CheckID("hook", "hook_id", d.Hook); err != nil {
		return err
	}
	if err := caos.CheckID("user", "runs_as", d.RunsAs); err != nil {
		return err
	}
	for _, err := range []error{
		belongs("event_type", d.EventType != "", KindEvent), belongs("where", len(d.Where) > 0, KindEvent, KindWebhook),
		belongs("cron", d.Cron != "", KindCron), belongs("zone", d.Zone != "", KindCron),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// endings are the events that the end of an execution makes, with the status in their data.
func endings() map[string]string {
	return map[string]string{"caos.execution.succeeded": "SUCCEEDED", "caos.execution.failed": "FAILED", "caos.execution.cancelled": "CANCELLED"}
}

// hearsItself reports whether the end of an execution of the trigger's hook would fire it.
func (d Definition) hearsItself() bool {
	if d.Kind != KindEvent {
		return false
	}
	if hook, ok := d.Where["data.hook_id"]; ok && hook != d.Hook {
		return false
	}
	for eventType, status := range endings() {
		if want, ok := d.Where["data.status"]; ok && want != status {
			continue
		}
		if event.Match(d.EventType, eventType) {
			return true
		}
	}
	return false
}

// sees reports whether an event is within the trigger's need to know.
func (d Definition) sees(project, classification string) bool {
	if d.Project != "" && d.Project != project {
		return false
	}
	return classification == d.Classification || slices.Contains([]string{"", "Public", "Internal"}, classification)
}

// latestTick returns the last nominal time of a schedule that is not after t.
func latestTick(cron, zone string, t time.Time) (time.Time, error) {
	return event.TickBefore(cron, zone, t.Truncate(time.Minute).Add(time.Minute))
}

// clip shortens a text to at most n bytes, and makes it one that every database takes.
func clip(s string, n int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.ToValidUTF8(s, "�")
}
