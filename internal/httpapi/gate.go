package httpapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"strings"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
)

// kindOf is the entity type, in the policies' schema, of what an action is done to.
func kindOf(action string) string {
	switch action {
	case "role:grant", "role:revoke":
		return "Account"
	case "on-behalf":
		return "Hook"
	}
	noun, _, _ := strings.Cut(action, ":")
	switch noun {
	case "audit":
		return "Record"
	case "role":
		return "RoleTable"
	case "user", "totp":
		return "Account"
	case "":
		return ""
	}
	return strings.ToUpper(noun[:1]) + noun[1:]
}

// authenticate finds out who sent the request. A second factor counts for this request
// alone, so its body is read first: what the code was spent on can be told afterwards.
func (a *API) authenticate(c *call, bearer string) (caos.Principal, error) {
	ctx := auth.WithSource(c.ctx(), sourceOf(c.r.RemoteAddr))
	mfa := c.r.Header.Get("Caos-Mfa")
	if mfa == "" {
		return a.Auth.Authenticate(ctx, bearer, "", nil)
	}
	h := sha256.New()
	h.Write([]byte(c.r.Method + " " + c.r.URL.RequestURI() + "\n"))
	if !c.endpoint.streams {
		body, err := c.readBody(c.endpoint.bodyLimit())
		if err != nil {
			return caos.Principal{}, err
		}
		h.Write(body)
	}
	return a.Auth.Authenticate(ctx, bearer, mfa, h.Sum(nil))
}

// sourceOf is the address of a client without its port.
func sourceOf(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// allow asks whether the caller may use a route: about the thing that the route names, or
// about the kind of thing as a whole.
func (a *API) allow(c *call) error {
	res := auth.Resource{Type: kindOf(c.endpoint.Rule.Action)}
	if c.endpoint.subject != nil {
		var known bool
		if res, known = c.endpoint.subject(c); !known {
			return nil
		}
	}
	err := a.Auth.Allow(c.by, c.endpoint.Rule.Action, res)
	// Who was refused a decision is recorded with what it was about, where nothing else could
	// have told yet.
	if r := (*auth.Refusal)(nil); c.endpoint.either != nil && errors.As(err, &r) && r.Resource.ID == "" {
		r.Resource.ID = c.subjectID()
	}
	return err
}

// subjectID is the id that a route's path begins with.
func (c *call) subjectID() string {
	_, name, _ := strings.Cut(c.endpoint.Path, "{")
	name, _, _ = strings.Cut(name, "}")
	return c.path(name)
}

// authorize decides inside the transaction that acts.
func (a *API) authorize(c *call, tx *db.Tx, res auth.Resource) error {
	return a.Auth.Authorize(tx, c.by, c.endpoint.Rule.Action, res, nil)
}

// see decides whether the caller may know that a thing exists. What they may not see is
// answered like what is not there, and recorded as refused.
func (a *API) see(c *call, noun string, res auth.Resource) error {
	return a.seeFor(c, c.endpoint.Rule.Action, noun, res)
}

func (a *API) seeFor(c *call, action, noun string, res auth.Resource) error {
	res.Type = kindOf(action)
	err := a.Auth.Allow(c.by, action, res)
	if caos.KindOf(err) == caos.Denied {
		a.recordRefusal(c.ctx(), err)
		return c.absent(noun)
	}
	return err
}

// absent is the one answer for what is not there and for what is not the caller's to know
// of: an id that can be guessed must not tell the two apart.
func (c *call) absent(noun string) error {
	_, field, _ := strings.Cut(c.endpoint.Path, "{")
	field, _, _ = strings.Cut(field, "}")
	return caos.Errorf(caos.NotFound, "there is no such %s, or it is not for you", noun).WithField(field)
}

// unknown makes an error that says what is not there into that answer.
func (c *call) unknown(noun string, err error) error {
	if caos.KindOf(err) == caos.NotFound {
		return c.absent(noun)
	}
	return err
}

// visibility is what the caller sees of a kind of thing, for lists.
func (a *API) visibility(c *call) (auth.Visibility, error) {
	action := c.endpoint.Rule.Action
	return a.Auth.Visible(c.by, action, kindOf(action))
}

// recordRefusal keeps what was refused. The refusal stands when that fails: the log says
// so by itself.
func (a *API) recordRefusal(ctx context.Context, err error) {
	if failed := a.Auth.RecordRefusal(context.WithoutCancel(ctx), err); failed != nil {
		a.log.ErrorContext(ctx, "a refusal could not be recorded", "error", failed, "trace_id", TraceID(ctx))
	}
}
