package client

import (
	"encoding/json"
	"net/http"
	"strings"

	"caos"
)

// Refusal is a problem that the server answered with. It unwraps to the *caos.Error in it.
type Refusal struct {
	Status  int
	TraceID string // finds the request in the server's log
	Err     *caos.Error
}

// Error returns what the server said, led by the field.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns the error that the server stated.
func (r *Refusal) Unwrap() error { return r.Err }

// refusalOf reads a problem. An answer that is none, as a proxy in between gives, is
// judged by its status.
func refusalOf(res *http.Response, body []byte) error {
	var p struct {
		Detail  string    `json:"detail"`
		Kind    caos.Kind `json:"kind"`
		Field   string    `json:"field"`
		Hint    string    `json:"hint"`
		Rule    string    `json:"rule"`
		TraceID string    `json:"trace_id"`
	}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") && json.Unmarshal(body, &p) == nil && p.Kind != "" {
		return &Refusal{res.StatusCode, p.TraceID, &caos.Error{Kind: p.Kind, Message: p.Detail, Field: p.Field, Hint: p.Hint, Rule: p.Rule}}
	}
	e := caos.Errorf(kindOf(res.StatusCode), "the server answered %s", res.Status)
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		e = e.WithHint("it is not the API of CAOS that answers there: check CAOS_URL")
	}
	return &Refusal{res.StatusCode, "", e}
}

func kindOf(status int) caos.Kind {
	switch status {
	case http.StatusUnauthorized:
		return caos.Unauthenticated
	case http.StatusForbidden:
		return caos.Denied
	case http.StatusNotFound:
		return caos.NotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return caos.Conflict
	case http.StatusRequestEntityTooLarge:
		return caos.TooLarge
	case http.StatusTooManyRequests:
		return caos.Limited
	case http.StatusInsufficientStorage:
		return caos.Full
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return caos.Unavailable
	}
	if status >= 400 && status < 500 {
		return caos.Invalid
	}
	return caos.Internal
}
