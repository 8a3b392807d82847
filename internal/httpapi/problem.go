package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/db"
)

// Problem is the body of every refusal: application/problem+json, RFC 9457, with members
// that programs can act on.
type Problem struct {
	Type     string `json:"type" doc:"urn:caos:problem: followed by the kind" example:"urn:caos:problem:invalid"`
	Title    string `json:"title" doc:"the status in words" example:"Unprocessable Entity"`
	Status   int    `json:"status" doc:"the HTTP status" example:"422"`
	Detail   string `json:"detail" doc:"what is wrong, in one sentence"`
	Instance string `json:"instance" doc:"the path of the request" example:"/v1/hooks/CAOS.PROD.CERT.AUDIT/executions"`
	Kind     string `json:"kind" enum:"invalid,too_large,unauthenticated,step_up,denied,not_found,conflict,limited,unavailable,full,internal" doc:"what went wrong, in terms to act on"`
	Field    string `json:"field,omitempty" doc:"path of the offending field, parameter or header" example:"plan[3].id"`
	Hint     string `json:"hint,omitempty" doc:"what to do next"`
	Rule     string `json:"rule,omitempty" doc:"the policy or rule that refused"`
	TraceID  string `json:"trace_id" doc:"finds this request in the server's log" example:"4bf92f3577b34da6a3ce929d0e0e4736"`
}

const problemType = "application/problem+json"

// refusal is an error with a status of HTTP's own, for what only HTTP knows: a method, a
// media type, a precondition.
type refusal struct {
	status int
	err    *caos.Error
}

func (e *refusal) Error() string { return e.err.Error() }
func (e *refusal) Unwrap() error { return e.err }

// refuse makes an error that is answered with the given status.
func refuse(status int, err *caos.Error) error { return &refusal{status: status, err: err} }

// statusOf is the one translation of error kinds to HTTP.
func statusOf(kind caos.Kind) int {
	switch kind {
	case caos.Invalid:
		return http.StatusUnprocessableEntity
	case caos.TooLarge:
		return http.StatusRequestEntityTooLarge
	case caos.Unauthenticated, caos.StepUp:
		return http.StatusUnauthorized
	case caos.Denied:
		return http.StatusForbidden
	case caos.NotFound:
		return http.StatusNotFound
	case caos.Conflict:
		return http.StatusConflict
	case caos.Limited:
		return http.StatusTooManyRequests
	case caos.Unavailable:
		return http.StatusServiceUnavailable
	case caos.Full:
		return http.StatusInsufficientStorage
	}
	return http.StatusInternalServerError
}

// acrMFA names the authentication that a step-up challenge asks for (RFC 9470).
const acrMFA = "urn:caos:acr:mfa"

// problem turns any error into the problem that the caller sees, and sets the headers
// that go with it. It is the only place that does.
func (c *call) problem(err error) *Problem {
	e := c.classify(err)
	status := statusOf(e.Kind)
	var forced *refusal
	if errors.As(err, &forced) {
		status = forced.status
	}
	h := c.w.Header()
	switch {
	case e.Kind == caos.Unauthenticated:
		h.Set("WWW-Authenticate", `Bearer realm="CAOS"`)
		if c.r.Header.Get("Authorization") != "" {
			h.Set("WWW-Authenticate", `Bearer realm="CAOS", error="invalid_token"`)
		}
		if c.basicAllowed() {
			h.Add("WWW-Authenticate", `Basic realm="CAOS: any name, and an API token as the password", charset="UTF-8"`)
		}
	case e.Kind == caos.StepUp:
		h.Set("WWW-Authenticate", `Bearer realm="CAOS", error="insufficient_user_authentication", `+
			`error_description="repeat the request with a second factor: CAOS-MFA: totp CODE", acr_values="`+acrMFA+`"`)
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	c.problemKind = string(e.Kind)
	if status >= 500 {
		c.fault = err
	}
	return &Problem{
		Type: "urn:caos:problem:" + string(e.Kind), Title: http.StatusText(status), Status: status,
		Detail: e.Message, Instance: clip(c.r.URL.Path, 300), Kind: string(e.Kind),
		Field: e.Field, Hint: e.Hint, Rule: e.Rule, TraceID: c.trace,
	}
}

// retryAfter is how many seconds a client is asked to wait before it tries again.
const retryAfter = 2

// classify finds the *caos.Error in err. What the database says about itself, and a body
// that ended early, have kinds of their own; everything else is internal, and hidden.
func (c *call) classify(err error) *caos.Error {
	var e *caos.Error
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return tooLarge(big.Limit)
	case caos.KindOf(err) != caos.Full && db.IsFull(err):
		// Whoever handled it in between may have made "unavailable" of it.
		return caos.Wrap(caos.Full, err, "there is no room left to store anything").WithHint("nothing was changed; an operator must make room")
	case errors.As(err, &e):
		if e.Kind == caos.Internal {
			// A message of an internal error was written for the log.
			return caos.AsError(errors.New(e.Error()))
		}
		return e
	case errors.Is(err, db.ErrAborted), errors.Is(err, db.ErrUnknown):
		return caos.Wrap(caos.Unavailable, err, "the database did not confirm the change").
			WithHint("repeat the request with the same Idempotency-Key")
	case c.r.Context().Err() != nil:
		return caos.Wrap(caos.Unavailable, err, "the request ended before the answer was ready")
	}
	return caos.AsError(err)
}

func tooLarge(limit int64) *caos.Error {
	return caos.Errorf(caos.TooLarge, "the body is longer than %d bytes", limit).
		WithHint("upload large content with POST /v1/objects and refer to it")
}

// fail answers the request with a problem, unless an answer is under way already.
func (c *call) fail(err error) {
	p := c.problem(err)
	if c.by.ID != "" && !c.recorded {
		c.api.recordRefusal(c.ctx(), err)
	}
	c.routed = true
	if c.w.status != 0 {
		return
	}
	if c.wantsPage() {
		c.writePage(p.Status, p)
		return
	}
	body, err := json.Marshal(p)
	if err != nil { // strings and an int
		panic(err)
	}
	c.w.Header().Set("Content-Type", problemType)
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(p.Status)
	_, _ = c.w.Write(body) // nobody is left to tell
}

// fromHuma translates what huma says about parameters. Its locations begin with where the
// parameter is, such as query.limit; the name alone is what a caller can correct.
func fromHuma(m *huma.ErrorModel) error {
	e := caos.Errorf(caos.Invalid, "%s", m.Detail)
	if len(m.Errors) > 0 && m.Errors[0] != nil {
		message, field := m.Errors[0].Message, parameterName(m.Errors[0].Location)
		if name, ok := strings.CutPrefix(message, "expected required property "); ok {
			name = strings.TrimSuffix(name, " to be present")
			message, field = "it is missing", strings.TrimPrefix(field+"."+name, ".")
		}
		e = caos.Errorf(caos.Invalid, "%s", message).WithField(field)
	}
	switch m.Status {
	case http.StatusUnprocessableEntity, http.StatusBadRequest:
		return e
	case http.StatusRequestEntityTooLarge:
		e.Kind = caos.TooLarge
	case http.StatusInternalServerError:
		e.Kind = caos.Internal
	}
	return refuse(m.Status, e)
}

func parameterName(location string) string {
	for _, where := range []string{"path.", "query.", "header.", "cookie.", "body."} {
		if len(location) > len(where) && location[:len(where)] == where {
			return location[len(where):]
		}
	}
	return location
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
