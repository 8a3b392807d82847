package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
)

// Rule says who may use a route.
type Rule struct {
	Action string // the action that the policies decide on; "" only if Public
	StepUp bool   // the request itself must carry a second factor
	Public bool   // anyone may, without a credential
}

// Route is a way into the API, as [API.Routes] lists them.
type Route struct {
	Method string
	Path   string // with {names} as net/http.ServeMux has them
	Rule   Rule
}

// endpoint is a route with what its description needs.
type endpoint struct {
	Route
	id      string // operationId
	tag     string // the resource it belongs to
	summary string
	doc     string
	status  int   // of success; 200 if 0
	limit   int64 // bytes of a body; the default if 0
	streams bool  // the body is an upload: not read before its route is
	undoc   bool  // not in the OpenAPI document: the pages about the API itself

	either []*huma.Schema // what the answer may be, where it is not one thing

	// subject is what the route's path names; nil: the kind of thing as a whole. It reports
	// false if the path names nothing, which the route then says itself.
	subject func(*call) (auth.Resource, bool)
}

// get, post, put and del begin an endpoint.
func get(path string, rule Rule) endpoint  { return at(http.MethodGet, path, rule) }
func post(path string, rule Rule) endpoint { return at(http.MethodPost, path, rule) }
func put(path string, rule Rule) endpoint  { return at(http.MethodPut, path, rule) }
func del(path string, rule Rule) endpoint  { return at(http.MethodDelete, path, rule) }

// patch begins an endpoint that changes what its body names and leaves the rest.
func patch(path string, rule Rule) endpoint { return at(http.MethodPatch, path, rule) }

func at(method, path string, rule Rule) endpoint {
	return endpoint{Route: Route{Method: method, Path: path, Rule: rule}}
}

// as gives an endpoint its name, resource and one-line description.
func (e endpoint) as(id, tag, summary string) endpoint {
	e.id, e.tag, e.summary = id, tag, summary
	return e
}

// about adds paragraphs to the description.
func (e endpoint) about(doc string) endpoint { e.doc = doc; return e }

// answers sets the status of success.
func (e endpoint) answers(status int) endpoint { e.status = status; return e }

// on says what the route is about, where the policies need to know at once.
func (e endpoint) on(subject func(*call) (auth.Resource, bool)) endpoint {
	e.subject = subject
	return e
}

func (e *endpoint) bodyLimit() int64 {
	if e.limit > 0 {
		return e.limit
	}
	return bodyLimit
}

// may is the rule of most routes: a credential, and the policies' leave.
func may(action string) Rule { return Rule{Action: action} }

// mayWithMFA is the rule of sensitive routes.
func mayWithMFA(action string) Rule { return Rule{Action: action, StepUp: true} }

// anyone is the rule of public routes.
func anyone() Rule { return Rule{Public: true} }

// Routes lists every route in the order of registration.
func (a *API) Routes() []Route { return slices.Clone(a.routes) }

// route is the only way to the multiplexer. It panics on a route without a rule or on one
// that exists already: both are mistakes of this package that no request can cause.
func (a *API) route(e endpoint, h func(c *call)) {
	if (e.Rule.Action == "") != e.Rule.Public || (e.Rule.Public && e.Rule.StepUp) {
		panic(fmt.Sprintf("httpapi: %s %s: a route has an action, or is public", e.Method, e.Path))
	}
	a.routes = append(a.routes, e.Route)
	seen := a.metrics.route(e.Method, e.Path)
	a.mux.HandleFunc(e.Method+" "+e.Path, func(_ http.ResponseWriter, r *http.Request) {
		c := callOf(r.Context())
		c.r, c.routed, c.endpoint, c.seen = r, true, &e, seen
		if err := a.guard(c); err != nil {
			c.fail(err)
			return
		}
		h(c)
	})
}

// guard decides whether a request may pass to its route: authentication, then the
// policies' answer about the kind of thing, then the second factor. What a policy says
// about the thing itself is asked again by the route, or inside its transaction.
func (a *API) guard(c *call) error {
	rule := c.endpoint.Rule
	if rule.Public {
		return nil
	}
	bearer, err := c.credential()
	if err != nil {
		return err
	}
	c.by, err = a.authenticate(c, bearer)
	if err != nil {
		return err
	}
	if err := a.allow(c); err != nil {
		return err
	}
	if rule.StepUp && c.by.MFA == "" {
		return caos.Errorf(caos.StepUp, "this operation needs a second factor").WithRule("step-up").
			WithHint("repeat the request with the header CAOS-MFA: totp CODE")
	}
	return nil
}

// credential returns the bearer token of the request. A browser that asks for a page may
// bring the token as the password of Basic authentication; nothing that changes anything
// can be asked for in that way, because browsers send it along unasked.
func (c *call) credential() (string, error) {
	values := c.r.Header["Authorization"]
	if len(values) != 1 || values[0] == "" {
		return "", caos.Errorf(caos.Unauthenticated, "a bearer token is needed").WithField("Authorization").
			WithHint("send the header Authorization: Bearer TOKEN")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	switch {
	case strings.EqualFold(scheme, "Bearer") && token != "":
		return token, nil
	case strings.EqualFold(scheme, "Basic") && c.basicAllowed():
		if _, password, ok := c.r.BasicAuth(); ok && password != "" {
			return password, nil
		}
	}
	return "", caos.Errorf(caos.Unauthenticated, "the Authorization header holds no bearer token").WithField("Authorization").
		WithHint("send the header Authorization: Bearer TOKEN")
}

// basicAllowed reports whether the request is a person's browser asking for a page of its
// own accord, or the script of such a page asking for what belongs to it: the page of a
// passport checks the passport. No page of another site can say that of itself.
func (c *call) basicAllowed() bool {
	site := c.r.Header.Get("Sec-Fetch-Site")
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		return false
	}
	if site == "same-origin" && c.r.Header.Get("Sec-Fetch-Dest") == "empty" {
		return true
	}
	return c.wantsPage() && (site == "" || site == "same-origin" || site == "none")
}
