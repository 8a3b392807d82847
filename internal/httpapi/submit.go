package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/engine"
	"caos/internal/hook"
)

// maxWait is the longest that Prefer: wait can ask for.
const maxWait = 60 * time.Second

// submit runs a hook. It is the route of most requests, so it goes past everything that
// reads a body twice: the hook service validates the bytes as they came.
func (a *API) submit(c *call) error {
	id := c.path("hook_id")
	req := hook.Request{Hook: id, Version: c.r.Header.Get("Caos-Hook-Version"), IdemKey: c.r.Header.Get("Idempotency-Key"), By: c.by}
	dry, err := dryRun(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	wait, applied, err := waitOf(c.r.Header["Prefer"])
	if err != nil {
		return err
	}
	if len(c.r.Header["Idempotency-Key"]) > 1 {
		return caos.Errorf(caos.Invalid, "there is more than one").WithField("Idempotency-Key")
	}
	if req.ContentType, err = c.mediaType(); err != nil {
		return err
	}
	if req.Body, err = c.readBody(c.endpoint.bodyLimit()); err != nil {
		return err
	}
	if dry {
		x, err := a.Hooks.DryRun(c.ctx(), req)
		if err != nil {
			return a.refusedByHook(c, err)
		}
		return c.json(http.StatusOK, x)
	}
	x, err := a.Hooks.Submit(c.ctx(), req)
	if err != nil {
		return a.refusedByHook(c, err)
	}
	if x.Existing {
		// The key is the account's; what it stands for may lie outside this token's project.
		if err := a.seeFor(c, "execution:read", "execution", executionResource(x)); err != nil {
			return caos.AsError(err).WithField("Idempotency-Key")
		}
	}
	if !x.Status.Final() && wait > 0 {
		c.execution = x.ID
		ctx, cancel := a.untilDrained(c.ctx())
		defer cancel()
		if x, err = a.Engine.Await(ctx, x.ID, wait); err != nil {
			return err
		}
	}
	if applied != "" {
		c.set("Preference-Applied", applied)
	}
	return a.answerExecution(c, x)
}

// refusedByHook marks a refusal that the hook service has recorded.
func (a *API) refusedByHook(c *call, err error) error {
	c.recorded = true
	return err
}

// answerExecution writes an execution: 200 if it has ended, 202 with its address if not.
func (a *API) answerExecution(c *call, x *engine.Execution) error {
	c.execution = x.ID
	a.metrics.submitted(x.HookID, x.Status)
	status := http.StatusOK
	h := c.w.Header()
	if x.Existing {
		h["Idempotent-Replayed"] = yes
	}
	if a.isDeprecated(c.ctx(), x.HookID) {
		h["Caos-Hook-Status"] = deprecated
	}
	if !x.Status.Final() {
		status = http.StatusAccepted
		h.Set("Location", "/v1/executions/"+url.PathEscape(x.ID))
	}
	if c.wantsPage() {
		c.writePage(status, x)
		return nil
	}
	body := appendExecution(make([]byte, 0, 2048+len(x.Input)+len(x.Output)), x)
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // the execution stands, whether its submitter hears of it or not
	return nil
}

var (
	jsonType = []string{"application/json"}
	yes      = []string{"true"}

	deprecated = []string{hook.Deprecated}
)

// json answers with a value.
func (c *call) json(status int, v any) error {
	if c.wantsPage() {
		c.writePage(status, v)
		return nil
	}
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.w.Header()["Content-Type"] = jsonType
	c.set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // nobody is left to tell
	return nil
}

// dryRun reads the query, which has one parameter.
func dryRun(query string) (bool, error) {
	if query == "" {
		return false, nil
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return false, caos.Errorf(caos.Invalid, "the query cannot be read").WithField("query")
	}
	for name := range q {
		if name != "dry_run" {
			return false, caos.Errorf(caos.Invalid, "unknown query parameter").WithField(clip(name, 80)).WithHint("this route has dry_run")
		}
	}
	switch values := q["dry_run"]; {
	case len(values) == 1 && values[0] == "true":
		return true, nil
	case len(values) == 1 && values[0] == "false":
		return false, nil
	}
	return false, caos.Errorf(caos.Invalid, "it is true or false, once").WithField("dry_run")
}

// waitOf reads the preference wait=SECONDS (RFC 7240). Other preferences are not ours to
// judge; a wait that is no number is.
func waitOf(prefer []string) (wait time.Duration, applied string, err error) {
	for _, header := range prefer {
		for one := range strings.SplitSeq(header, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(one), "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") || applied != "" {
				continue // the first one counts
			}
			value, _, _ = strings.Cut(value, ";")
			seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err != nil {
				return 0, "", caos.Errorf(caos.Invalid, "wait is a number of seconds").WithField("Prefer").WithHint("send Prefer: wait=10")
			}
			wait = min(time.Duration(seconds)*time.Second, maxWait)
			applied = "wait=" + strconv.Itoa(int(wait/time.Second))
		}
	}
	return wait, applied, nil
}
