package httpapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/engine"
)

// Page is one page of a list.
type Page[T any] struct {
	Items      []T    `json:"items" nullable:"false"`
	NextCursor string `json:"next_cursor,omitempty" doc:"cursor of the next page; absent on the last one"`
}

// Paging are the parameters of every list.
type Paging struct {
	Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"items of a page, at most; a page may hold fewer"`
}

type executionList struct {
	Paging
	Hook        string `query:"hook_id" maxLength:"100" doc:"of this hook"`
	Status      string `query:"status" enum:"QUEUED,RUNNING,WAITING,BLOCKED,SUCCEEDED,FAILED,CANCELLED"`
	Model       string `query:"model_id" maxLength:"100" doc:"about this model"`
	RequestedBy string `query:"requested_by" maxLength:"100"`
	Parent      string `query:"parent" maxLength:"100" doc:"children of this execution"`
	Project     string `query:"project" maxLength:"100"`
}

type executionPath struct {
	ID string `path:"id" maxLength:"200" example:"EXEC-20261122T101500.123456Z"`
}

// DecisionBody is what a person says to a waiting execution.
type DecisionBody struct {
	Topic   string          `json:"topic" minLength:"1" maxLength:"200" doc:"what the execution waits for"`
	ActorID string          `json:"actor_id,omitempty" doc:"who decides; the caller if absent"`
	Payload json.RawMessage `json:"payload,omitempty" doc:"what is decided, in the form that the hook asks for"`
}

// ReasonBody says why.
type ReasonBody struct {
	Reason string `json:"reason" minLength:"1" maxLength:"1000"`
}

func (a *API) registerExecutions() {
	operation(a, get("/v1/executions", may("execution:read")).as("list-executions", "executions", "List executions, newest first"), a.listExecutions)
	operation(a, get("/v1/executions/{id}", may("execution:read")).as("get-execution", "executions", "An execution with its steps"),
		func(c *call, p *executionPath, _ *none) (*engine.Execution, error) { return a.execution(c, p.ID) })
	a.plain(get("/v1/executions/{id}/events", may("execution:read")).as("watch-execution", "executions", "Follow an execution until it ends").
		about("Server-sent events: \"execution\" holds the execution after each change, its id is the number of the change; \"progress\" tells how far a step has come. "+
			"The stream ends with the final state. A comment every 15 seconds keeps the connection."),
		huma.Operation{
			Parameters: []*huma.Param{param("id", "path", "the execution", words()), param("Last-Event-ID", "header", "id of the last event that was seen", words())},
			Responses:  binary("200", "Events", "text/event-stream"),
		}, a.watchExecution)
	operation(a, post("/v1/executions/{id}/decisions", mayWithMFA("execution:decide")).as("decide-execution", "executions", "Give a decision to a waiting execution"),
		a.decide)
	operation(a, post("/v1/executions/{id}/cancel", may("execution:cancel")).as("cancel-execution", "executions", "Stop an execution"),
		func(c *call, p *executionPath, body *ReasonBody) (*engine.Execution, error) {
			if body.Reason == "" {
				return nil, missing("reason")
			}
			prr, err := a.reviewOf(c, p.ID, topicVote)
			if err != nil {
				return nil, err
			}
			return a.intervene(c, p.ID, func(guard engine.Guard) (*engine.Execution, error) {
				return a.Engine.Cancel(c.ctx(), p.ID, body.Reason, c.by, func(tx *db.Tx, x *engine.Execution) error {
					if err := guard(tx, x); err != nil {
						return err
					}
					return a.guardBallots(c, tx, prr)
				})
			})
		})
	operation(a, post("/v1/executions/{id}/retry", may("execution:retry")).as("retry-execution", "executions", "Try the failed step of an execution again"),
		func(c *call, p *executionPath, _ *none) (*engine.Execution, error) {
			return a.intervene(c, p.ID, func(guard engine.Guard) (*engine.Execution, error) {
				return a.Engine.Retry(c.ctx(), p.ID, c.by, guard)
			})
		})
}

func missing(field string) error {
	return caos.Errorf(caos.Invalid, "it is missing").WithField(field)
}

func (a *API) listExecutions(c *call, p *executionList, _ *none) (Page[engine.Execution], error) {
	page := Page[engine.Execution]{Items: []engine.Execution{}}
	sees, err := a.visibility(c)
	if err != nil {
		return page, err
	}
	f := engine.Filter{Hook: p.Hook, Model: p.Model, RequestedBy: p.RequestedBy, Parent: p.Parent, Status: engine.Status(p.Status)}
	if sees.Owner != "" && f.RequestedBy == "" {
		f.RequestedBy = sees.Owner
	}
	if sees.Scoped {
		f.Projects = append([]string{}, sees.Projects...)
	}
	if p.Project != "" {
		f.Projects = []string{p.Project}
	}
	list, next, err := a.Engine.List(c.ctx(), f, p.Cursor, p.Limit)
	if err != nil {
		return page, err
	}
	page.NextCursor = next
	for _, x := range list {
		if sees.Sees(x.RequestedBy, x.Project, x.Classification) && (p.Project == "" || x.Project == p.Project) {
			page.Items = append(page.Items, x)
		}
	}
	return page, nil
}

func executionResource(x *engine.Execution) auth.Resource {
	return auth.Resource{Type: "Execution", ID: x.ID, Project: x.Project, Classification: x.Classification, Owner: x.RequestedBy}
}

// execution returns one execution that the caller may see.
func (a *API) execution(c *call, id string) (*engine.Execution, error) {
	c.execution = clip(id, 100)
	x, err := a.Engine.Get(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("execution", err)
	}
	return x, a.seeFor(c, "execution:read", "execution", executionResource(x))
}

func (a *API) decide(c *call, p *executionPath, body *DecisionBody) (*engine.Execution, error) {
	if body.Topic == "" {
		return nil, missing("topic")
	}
	d := engine.Decision{Topic: body.Topic, Payload: body.Payload, Actor: body.ActorID, By: c.by}
	if d.Actor == "" {
		d.Actor = c.by.ID
	}
	prr, err := a.reviewOf(c, p.ID, d.Topic)
	if err != nil {
		return nil, err
	}
	return a.intervene(c, p.ID, func(guard engine.Guard) (*engine.Execution, error) {
		return a.Engine.Decide(c.ctx(), p.ID, d, func(tx *db.Tx, x *engine.Execution) error {
			if err := guard(tx, x); err != nil {
				return err
			}
			if err := a.guardReview(c, tx, prr, d); err != nil || d.Actor == c.by.ID {
				return err
			}
			return a.Auth.AuthorizeHook(tx, c.by, "on-behalf", x.HookID, x.Project)
		})
	})
}

// intervene changes an execution that the caller may see. Whether they may do this to it
// is decided in the transaction, on the execution as it is there.
func (a *API) intervene(c *call, id string, do func(engine.Guard) (*engine.Execution, error)) (*engine.Execution, error) {
	if _, err := a.execution(c, id); err != nil {
		return nil, err
	}
	return do(func(tx *db.Tx, x *engine.Execution) error {
		return a.authorize(c, tx, executionResource(x))
	})
}

// heartbeat is how often a quiet event stream says that it is alive.
const heartbeat = 15 * time.Second

// watchExecution streams an execution. The id of an event is the execution's version, so
// a client that comes back with the last one it saw is not told again.
func (a *API) watchExecution(c *call) error {
	x, err := a.execution(c, c.path("id"))
	if err != nil {
		return err
	}
	seen := int64(-1)
	if last := c.r.Header.Get("Last-Event-ID"); last != "" {
		if n, err := strconv.ParseInt(last, 10, 64); err == nil && n >= 0 {
			seen = n // anything else is somebody else's id: begin anew
		}
	}
	done, err := a.streams.open(c.by.ID)
	if err != nil {
		return err
	}
	defer done()
	c.set("Content-Type", "text/event-stream")
	c.set("X-Accel-Buffering", "no")
	c.w.WriteHeader(http.StatusOK)
	a.metrics.streams.Inc()
	defer a.metrics.streams.Dec()
	out := c.outflow()
	if c.r.Method == http.MethodHead || x.Status.Final() && x.Version <= seen {
		return nil // everything was told
	}
	ctx, cancel := a.untilDrained(c.ctx())
	defer cancel()
	// A stream may last for days: what was taken from the caller since ends it.
	may := func() bool { return a.Auth.Allow(c.by, c.endpoint.Rule.Action, executionResource(x)) == nil }
	return streamEvents(out, a.Engine.Watch(ctx, x.ID), seen, may)
}

// streamEvents writes updates until their channel closes, the client is gone or may no
// longer see them.
func streamEvents(out outflow, updates <-chan engine.Update, seen int64, may func() bool) error {
	if _, err := fmt.Fprint(out, "retry: 2000\n\n"); err != nil {
		return nil //nolint:nilerr // the client is gone: nothing to answer
	}
	alive := time.NewTicker(heartbeat)
	defer alive.Stop()
	for {
		if err := out.rc.Flush(); err != nil {
			return nil //nolint:nilerr // the client is gone
		}
		select {
		case u, open := <-updates:
			if !open || !may() {
				return nil
			}
			if err := writeUpdate(out, u, seen); err != nil {
				return nil //nolint:nilerr // the client is gone
			}
		case <-alive.C:
			if !may() {
				return nil
			}
			if _, err := fmt.Fprint(out, ": alive\n\n"); err != nil {
				return nil //nolint:nilerr // the client is gone
			}
		}
	}
}

func writeUpdate(out io.Writer, u engine.Update, seen int64) error {
	if u.Progress != nil {
		text, err := json.Marshal(u.Progress)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "event: progress\ndata: %s\n\n", text)
		return err
	}
	if u.Execution == nil || u.Execution.Version <= seen {
		return nil
	}
	text, err := json.Marshal(u.Execution)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "event: execution\nid: %d\ndata: %s\n\n", u.Execution.Version, text)
	return err
}
