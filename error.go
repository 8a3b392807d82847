package caos

import (
	"errors"
	"fmt"
)

// Kind says what went wrong in terms that a caller can act on. It is translated to an
// HTTP status in one place (internal/httpapi) and to an exit code in another (cmd/caos).
type Kind string

// The error kinds. Only Unavailable, Full and Internal are worth a retry.
const (
	Invalid         Kind = "invalid"         // the request can never succeed as written
	TooLarge        Kind = "too_large"       // a size, depth or count limit was passed
	Unauthenticated Kind = "unauthenticated" // no, unknown, expired or revoked credential
	StepUp          Kind = "step_up"         // authenticated, but a second factor is needed
	Denied          Kind = "denied"          // a policy or a rule says no
	NotFound        Kind = "not_found"       // no such thing, or not for this caller
	Conflict        Kind = "conflict"        // the state of things forbids it
	Limited         Kind = "limited"         // too many requests
	Unavailable     Kind = "unavailable"     // a part of the system or a peer is down; try later
	Full            Kind = "full"            // no room left to store anything
	Internal        Kind = "internal"        // a defect of CAOS or of its environment
)

// Retryable reports whether trying the same thing again later may succeed.
func (k Kind) Retryable() bool { return k == Unavailable || k == Full || k == Internal }

// Error is the one error type that crosses package borders. Message, Field, Hint and
// Rule may be shown to the caller; Err may not: it is for the log.
type Error struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`         // one sentence, no trailing dot needed
	Field   string `json:"field,omitempty"` // path of the offending input field, such as "artifact_uri" or "plan[3].id"
	Hint    string `json:"hint,omitempty"`  // what to do next
	Rule    string `json:"rule,omitempty"`  // name of the policy or rule that refused
	Err     error  `json:"-"`               // hidden cause
}

// Error returns the message, led by the field and followed by the cause.
func (e *Error) Error() string {
	s := e.Message
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the hidden cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a kind. A %w verb becomes the hidden cause as well as part of
// the message, as with fmt.Errorf; use Wrap to keep a cause out of the message.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Errorf(format, args...).Error()}
}

// Wrap makes an Error whose cause is kept for the log and not shown to callers. A nil
// cause is allowed.
func Wrap(kind Kind, cause error, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Err: cause}
}

// WithField returns a copy that names the offending input field.
func (e *Error) WithField(field string) *Error { c := *e; c.Field = field; return &c }

// WithHint returns a copy that says what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// WithRule returns a copy that names the policy or rule that refused.
func (e *Error) WithRule(rule string) *Error { c := *e; c.Rule = rule; return &c }

// KindOf returns the kind of the first Error in err's chain, Internal for any other
// error, and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// AsError returns the first Error in err's chain. Any other error becomes an Internal one
// whose text hides the cause.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Internal, Message: "internal error", Hint: "the server's log has the cause under this request's trace id", Err: err}
}
