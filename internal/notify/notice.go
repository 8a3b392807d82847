// Package notify tells people. A notice is written in the transaction of what it tells
// about ([Notifier.Send]), for named people and for whoever holds a role at that moment.
// Everybody can read their own notices ([Notifier.List]); an outbox carries each one to
// the configured sinks as well (a log now; mail, chat and webhooks are sinks too), at least
// once, with growing pauses, until the sink takes it or it is parked with an alert.
package notify

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/db"
)

// Notice is what people are told.
type Notice struct {
	Subject string   // one line
	Body    string   // plain text
	Link    string   // path or URI of what it is about; may be empty
	Source  string   // what sends it, such as an execution id
	Roles   []string // whoever holds one of these roles and may know of what it is about
	People  []string // user ids

	Project        string
	Classification string
}

// Delivery says who was told.
type Delivery struct {
	NoticeID string         `json:"notice_id"` // "" when nobody was
	Reached  int            `json:"reached"`   // how many people
	People   []string       `json:"people"`    // their ids, sorted
	Findings []caos.Finding `json:"findings"`  // a role that nobody holds, a notice that reaches nobody
}

// People says who holds a role and may know of things of a project and a classification.
// The ids are those of active users.
type People interface {
	WithRole(tx *db.Tx, role, project, classification string) ([]string, error)
}

// Alerts is where a notice that no sink takes is reported.
type Alerts interface {
	Raise(tx *db.Tx, a alert.Alert) (string, error)
}

// Message is one notice on its way to one person.
type Message struct {
	Key      string // the same whenever this delivery is repeated: sinks that can, drop repetitions by it
	NoticeID string
	Person   string // user id; the sink knows the address
	Subject  string
	Body     string
	Link     string
	Source   string
	Attempt  int // from 1
	SentAt   time.Time
}

// Sink carries messages out of CAOS. Deliver may be called again for a message that it has
// taken already, after a crash. An error of a kind that no retry can help
// (caos.Kind.Retryable) parks the message at once. Names are stored: never reuse one.
type Sink interface {
	Name() string
	Deliver(ctx context.Context, m Message) error
}

// LogSink writes messages to the log. It is the sink of an installation that has no other.
// The body stays out: a log is read by more people than the notice is for.
type LogSink struct{ Log *slog.Logger }

// Name is "log".
func (LogSink) Name() string { return "log" }

// Deliver writes one line.
func (s LogSink) Deliver(ctx context.Context, m Message) error {
	log := s.Log
	if log == nil {
		log = slog.Default()
	}
	log.LogAttrs(ctx, slog.LevelInfo, "notice", slog.String("notice", m.NoticeID), slog.String("person", m.Person),
		slog.String("subject", m.Subject), slog.String("link", m.Link), slog.String("source", m.Source))
	return nil
}

// Bounds of a notice's text, in bytes.
const (
	maxSubject = 200
	maxBody    = 8 << 10
	maxLink    = 1000
)

// clip shortens a text to at most about n bytes, and makes it one that every database
// takes: it may quote a hostile file.
func clip(s string, n int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.ToValidUTF8(s, "�")
}

func (n Notice) normalise() (Notice, error) {
	if strings.TrimSpace(n.Subject) == "" {
		return n, caos.Errorf(caos.Invalid, "a notice has a subject").WithField("subject")
	}
	if n.Source == "" {
		return n, caos.Errorf(caos.Invalid, "a notice names its source").WithField("source")
	}
	// A line break in a subject would start a header of a mail.
	n.Subject = clip(strings.Join(strings.Fields(n.Subject), " "), maxSubject)
	n.Body, n.Link, n.Source = clip(n.Body, maxBody), clip(n.Link, maxLink), clip(n.Source, maxSubject)
	return n, nil
}
