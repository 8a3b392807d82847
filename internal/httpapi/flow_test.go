package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/notify"
	"caos/internal/trigger"
)

func TestSubmit(t *testing.T) {
	w := newWorld(t)
	in := report()
	a := w.do("mo", "POST", auditPathURL, in, "Idempotency-Key", "k1", "Prefer", "respond-async, wait=5",
		"Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").wants(t, 200)
	x := a.json(t)
	if x["status"] != "SUCCEEDED" || a.header.Get("Preference-Applied") != "wait=5" || a.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%v %s", a.header, a.body)
	}
	if a.header.Get("Caos-Trace-Id") != "4bf92f3577b34da6a3ce929d0e0e4736" || !strings.Contains(w.lines.String(), `"execution_id":"`+x["execution_id"].(string)) {
		t.Errorf("trace and execution are not in the log: %v", a.header)
	}
	again := w.do("mo", "POST", auditPathURL, in, "Idempotency-Key", "k1").wants(t, 200)
	if again.json(t)["execution_id"] != x["execution_id"] || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the repeat is another execution: %s", again.body)
	}
	in["actor_id"] = "somebody"
	w.do("mo", "POST", auditPathURL, in, "Idempotency-Key", "k1").wants(t, 409)
	yaml := "action_type: ROLLBACK\nactor_id: mo\ntimestamp: \"2026-11-22T10:15:00Z\"\naffected_resources: [NN-FCS-001]\naction_details: {why: test}\n"
	w.do("mo", "POST", auditPathURL, yaml, "Content-Type", "application/yaml; charset=utf-8").wants(t, 200)
	// What the output names can be read with the submitter's token, by its path.
	uri := x["output"].(map[string]any)["audit_trail_uri"].(string)
	w.do("mo", "GET", strings.TrimPrefix(uri, "https://caos.test"), nil).wants(t, 200)
	before := w.executions()
	dry := w.do("mo", "POST", auditPathURL+"?dry_run=true", report()).wants(t, 200).json(t)
	if dry["would"] != "run" || len(dry["gates"].([]any)) == 0 || w.executions() != before {
		t.Errorf("%v", dry)
	}
}

// TestLongExecution follows an execution that waits for a word.
func TestLongExecution(t *testing.T) {
	w := newWorld(t)
	id := w.start("P1")
	path := "/v1/executions/" + id
	events := w.follow("chief", path+"/events", "")
	if e := <-events; e.name != "execution" || e.data["status"] == "SUCCEEDED" {
		t.Fatalf("%+v", e)
	}
	w.do("chief", "POST", path+"/decisions", `{"topic":"other","payload":"x"}`, "MFA", "").wants(t, 409)
	close(w.hold)
	w.until(id, engine.Waiting)
	body := `{"topic":"go","payload":"yes"}`
	w.do("chief", "POST", path+"/decisions", body).wants(t, 401)
	w.do("mo", "POST", path+"/decisions", body, "MFA", "").wants(t, 403)
	w.do("chief", "POST", path+"/decisions", `{"topic":"go","payload":7}`, "MFA", "").wants(t, 422)
	inHisName := `{"topic":"go","payload":"yes","actor_id":"mo"}`
	w.do("chief", "POST", path+"/decisions", inHisName, "MFA", "").wants(t, 403)
	code := w.code("chief")
	a := w.do("chief", "POST", path+"/decisions", body, "CAOS-MFA", "totp "+code).wants(t, 200)
	if a.json(t)["status"] != "SUCCEEDED" {
		t.Errorf("%s", a.body)
	}
	w.do("chief", "POST", path+"/decisions", body, "CAOS-MFA", "totp "+code).wants(t, 401) // a code counts once
	var last told
	for e := range events {
		if e.name == "execution" {
			last = e
		}
	}
	if last.data["status"] != "SUCCEEDED" || last.id == "" {
		t.Errorf("the stream ended with %+v", last)
	}
	// Whoever saw the last event is told nothing more; any other id starts anew.
	if n := len(drain(w.follow("chief", path+"/events", last.id))); n != 0 {
		t.Errorf("%d events again", n)
	}
	if n := len(drain(w.follow("chief", path+"/events", "what"))); n != 1 {
		t.Errorf("%d events after an unknown id", n)
	}
	w.do("chief", "POST", path+"/cancel", `{"reason":"late"}`).wants(t, 403)
	w.do("mo", "POST", path+"/cancel", `{"reason":"late"}`).wants(t, 409)
	w.do("mo", "POST", path+"/retry", nil).wants(t, 409)
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	id := w.start("")
	w.do("mo", "POST", "/v1/executions/"+id+"/cancel", `{}`).wants(t, 422)
	a := w.do("mo", "POST", "/v1/executions/"+id+"/cancel", `{"reason":"not needed"}`).wants(t, 200)
	if a.json(t)["status"] != "CANCELLED" {
		t.Errorf("%s", a.body)
	}
}

// TestWatchEndsWithTheServer shows that a stream does not keep the server from stopping.
func TestWatchEndsWithTheServer(t *testing.T) {
	w := newWorld(t)
	id := w.start("")
	events := w.follow("chief", "/v1/executions/"+id+"/events", "")
	<-events // and the world's cleanup stops the server with the stream open
}

// TestWatchEndsWithTheToken shows that a stream outlives neither the token nor the role by
// which it was opened.
func TestWatchEndsWithTheToken(t *testing.T) {
	w := newWorld(t)
	id := w.start("")
	mo, qa := w.follow("mo", "/v1/executions/"+id+"/events", ""), w.follow("qa", "/v1/executions/"+id+"/events", "")
	<-mo
	<-qa
	w.do("root", "DELETE", "/v1/tokens/"+strings.Split(w.tokens["mo"], "_")[1], nil).wants(t, 200)
	w.do("root", "DELETE", "/v1/users/qa/roles/qa-lead", nil, "MFA", "").wants(t, 200)
	close(w.hold)
	w.until(id, engine.Waiting)
	for name, events := range map[string]<-chan told{"revoked token": mo, "revoked role": qa} {
		for _, e := range drain(events) {
			if e.name == "execution" && e.data["status"] == "WAITING" {
				t.Errorf("%s: told that it is %v", name, e.data["status"])
			}
		}
	}
}

// TestTooManyStreams opens one stream more than an account may have.
func TestTooManyStreams(t *testing.T) {
	w := newWorld(t)
	path := "/v1/executions/" + w.start("") + "/events"
	for range maxStreamsFor {
		<-w.follow("chief", path, "")
	}
	w.do("chief", "GET", path, nil).wants(t, 429)
	<-w.follow("mo", path, "")
	w.do("qa", "HEAD", path, nil).wants(t, 200)
	w.api.Drain()
	w.idle()
	w.do("chief", "HEAD", path, nil).wants(t, 200)
}

// start submits the sample hook, past the hook service.
func (w *world) start(project string) string {
	w.t.Helper()
	x, err := w.eng.Submit(w.t.Context(), engine.Submission{Hook: sampleHook, Input: json.RawMessage(`{}`), Project: project,
		By: caos.Principal{ID: "bot", Roles: []string{"service"}}})
	if err != nil {
		w.t.Fatal(err)
	}
	return x.ID
}

func (w *world) until(id string, want engine.Status) {
	w.t.Helper()
	for u := range w.eng.Watch(w.t.Context(), id) {
		if u.Execution != nil && u.Execution.Status == want {
			return
		}
	}
	w.t.Fatalf("%s did not become %s", id, want)
}

// told is one server-sent event.
type told struct {
	name, id string
	data     map[string]any
}

// follow opens an event stream; the channel closes with it.
func (w *world) follow(who, path, lastID string) <-chan told {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	w.t.Cleanup(cancel)
	req := must(http.NewRequestWithContext(ctx, http.MethodGet, w.url+path, nil))(w.t)
	req.Header.Set("Authorization", "Bearer "+w.tokens[who])
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp := must(w.client.Do(req))(w.t)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		w.t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	out := make(chan told, 100)
	go func() {
		defer close(out)
		defer resp.Body.Close()
		var e told
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case name == "event":
				e.name = value
			case name == "id":
				e.id = value
			case name == "data":
				_ = json.Unmarshal([]byte(value), &e.data)
			case name == "" && e.name != "":
				out <- e
				e = told{}
			}
		}
	}()
	return out
}

func drain(events <-chan told) (all []told) {
	for e := range events {
		all = append(all, e)
	}
	return all
}

// TestPagination walks lists from end to end while things are added.
func TestPagination(t *testing.T) {
	w := newWorld(t)
	for range 12 {
		w.do("mo", "POST", auditPathURL, report()).wants(t, 200)
	}
	for _, list := range []struct {
		who, path, id string
		least         int
	}{
		{"aud", "/v1/executions?limit=5", "execution_id", 12}, {"aud", "/v1/audit?limit=5", "id", 12}, {"aud", "/v1/users?limit=5", "id", len(people())},
		{"aud", "/v1/executions?limit=5&hook_id=CAOS.PROD.CERT.AUDIT&status=SUCCEEDED&model_id=NN-FCS-001", "execution_id", 12},
		{"aud", "/v1/audit?limit=5&type=DEPLOYMENT&resource=NN-FCS-001", "id", 12},
		{"aud", "/v1/audit?limit=5&from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z", "id", 0},
	} {
		seen := map[any]bool{}
		for path, pages := list.path, 0; ; pages++ {
			page := w.do(list.who, "GET", path, nil).wants(t, 200).json(t)
			items := page["items"].([]any)
			if len(items) > 5 || pages > 20 {
				t.Fatalf("%s: %d items on page %d", path, len(items), pages)
			}
			for _, it := range items {
				id := it.(map[string]any)[list.id]
				if seen[id] {
					t.Errorf("%s: %v twice", list.path, id)
				}
				seen[id] = true
			}
			w.do("mo", "POST", auditPathURL, report()).wants(t, 200)
			next, ok := page["next_cursor"].(string)
			if !ok {
				break
			}
			path = list.path + "&cursor=" + next
		}
		if len(seen) < list.least {
			t.Errorf("%s: %d items", list.path, len(seen))
		}
	}
}

// TestNeedToKnow shows that a caller confined to a project sees nothing of others, and
// cannot tell it from what does not exist.
func TestNeedToKnow(t *testing.T) {
	w := newWorld(t)
	mine, other := w.start("P1"), w.start("P2")
	w.do("p1", "GET", "/v1/executions/"+mine, nil).wants(t, 200)
	hidden := w.do("p1", "GET", "/v1/executions/"+other, nil).wants(t, 404).json(t)
	if strings.Contains(fmt.Sprint(hidden), "P2") {
		t.Errorf("%v", hidden)
	}
	missing := w.do("p1", "GET", "/v1/executions/EXEC-20200101T000000.000000Z", nil).wants(t, 404).json(t)
	for _, name := range []string{"detail", "field", "hint", "rule"} {
		if hidden[name] != missing[name] {
			t.Errorf("%s tells what is hidden from what is not there: %v and %v", name, hidden[name], missing[name])
		}
	}
	w.do("p1", "GET", "/v1/executions/"+other+"/events", nil).wants(t, 404)
	w.do("p1", "POST", "/v1/executions/"+other+"/cancel", `{"reason":"x"}`).wants(t, 404)
	for _, query := range []string{"", "?project=P2", "?project=P1"} {
		page := w.do("p1", "GET", "/v1/executions"+query, nil).wants(t, 200).json(t)
		for _, it := range page["items"].([]any) {
			if it.(map[string]any)["execution_id"] == other {
				t.Errorf("the list %s shows another project's execution", query)
			}
		}
	}
	if n := len(w.do("bot", "GET", "/v1/executions", nil).wants(t, 200).json(t)["items"].([]any)); n != 2 {
		t.Errorf("a service sees %d of its 2 executions", n)
	}
	w.do("newbie", "GET", "/v1/executions/"+mine, nil).wants(t, 404)
	// Nor does one see what is classified above one's clearance.
	secret := must(w.eng.Submit(t.Context(), engine.Submission{Hook: sampleHook, Input: json.RawMessage(`{}`), Classification: "Restricted",
		By: caos.Principal{ID: "bot", Roles: []string{"service"}}}))(t).ID
	w.do("mo", "GET", "/v1/executions/"+secret, nil).wants(t, 404)
	if list := w.do("mo", "GET", "/v1/executions", nil).wants(t, 200); strings.Contains(string(list.body), secret) || !strings.Contains(string(list.body), mine) {
		t.Errorf("the list without a clearance: %s", list.body)
	}
	// No account learns who else exists.
	exists, not := w.do("mo", "GET", "/v1/users/root", nil), w.do("mo", "GET", "/v1/users/nobody-here", nil)
	if exists.status != not.status || exists.status != 403 {
		t.Errorf("%d and %d", exists.status, not.status)
	}
}

// TestNarrowToken shows what a token for one project does not reach although its account
// does: notices of others, and an execution by repeating its Idempotency-Key.
func TestNarrowToken(t *testing.T) {
	w := newWorld(t)
	err := w.db.Update(t.Context(), func(tx *db.Tx) error {
		for _, project := range []string{"P1", "P2", ""} {
			if _, err := w.notices.Send(tx, notify.Notice{Subject: "about " + project, Source: "test", People: []string{"root"}, Project: project}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	in := report()
	w.do("root", "POST", auditPathURL, in, "Idempotency-Key", "wide").wants(t, 200)
	made := w.do("root", "POST", "/v1/tokens", `{"project":"P1"}`, "MFA", "").wants(t, 201).json(t)
	w.tokens["narrow"] = made["token"].(string)
	w.do("narrow", "POST", auditPathURL, in, "Idempotency-Key", "wide").wants(t, 404)
	if n := len(w.do("root", "GET", "/v1/notices", nil).wants(t, 200).json(t)["items"].([]any)); n != 3 {
		t.Errorf("the account has %d notices", n)
	}
	list := w.do("narrow", "GET", "/v1/notices", nil).wants(t, 200)
	if n := len(list.json(t)["items"].([]any)); n != 2 || strings.Contains(string(list.body), "P2") {
		t.Errorf("the token for P1 reads %s", list.body)
	}
}

// TestAttachNeedToKnow shows that a record goes into no package whose readers may not see it.
func TestAttachNeedToKnow(t *testing.T) {
	w := newWorld(t)
	w.do("root", "PUT", "/v1/users/cert/scope", `{"all_projects":true,"clearances":["Restricted"]}`, "MFA", "").wants(t, 200)
	recordOf := func(id, more string) string {
		w.do("cert", "POST", "/v1/packages", `{"package_id":"`+id+`","model_id":"NN-FCS-001"`+more+`}`).wants(t, 201)
		items := w.do("cert", "GET", "/v1/audit?resource="+id, nil).wants(t, 200).json(t)["items"].([]any)
		return items[0].(map[string]any)["id"].(string)
	}
	open, secret := recordOf("CERT-PKG-OPEN", ""), recordOf("CERT-PKG-SECRET", `,"classification":"Restricted"`)
	other := recordOf("CERT-PKG-P2", `,"project":"P2"`)
	for _, c := range []struct {
		into, record string
		status       int
	}{{"OPEN", open, 200}, {"OPEN", secret, 403}, {"OPEN", other, 403}, {"SECRET", secret, 200}, {"SECRET", open, 200}, {"P2", open, 200}, {"P2", other, 200}} {
		a := w.do("cert", "POST", "/v1/packages/CERT-PKG-"+c.into+"/records", `{"audit_record_id":"`+c.record+`"}`).wants(t, c.status)
		if c.status == 403 && a.json(t)["field"] != "audit_record_id" {
			t.Errorf("%s", a.body)
		}
	}
}

// TestPages shows that a browser gets pages, with everything escaped.
func TestPages(t *testing.T) {
	w := newWorld(t)
	in := report()
	in["action_details"] = map[string]any{"note": `<script>alert(1)</script>`, "<b>": "javascript:alert(1)", "away": "https://evil.example/"}
	x := w.do("mo", "POST", auditPathURL, in).wants(t, 200).json(t)
	record := x["output"].(map[string]any)["audit_record_id"].(string)
	const accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, path := range []string{"/v1/audit/" + record, "/v1/executions/" + x["execution_id"].(string), "/v1/executions?limit=1", "/v1/audit", "/v1/hooks", "/v1/packages", "/v1/evidence"} {
		a := w.do("aud", "GET", path, nil, "Accept", accept).wants(t, 200)
		page := string(a.body)
		if a.header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(page, "</html>") {
			t.Errorf("%s: %s", path, a.header.Get("Content-Type"))
		}
		for _, never := range []string{"<script", "<b>", `href="javascript`, `href="https://evil`, " src="} {
			if strings.Contains(page, never) {
				t.Errorf("%s has %s", path, never)
			}
		}
		csp := a.header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, a.header)
		}
	}
	a := w.do("", "GET", "/v1/executions", nil, "Accept", accept).wants(t, 401)
	if len(a.header.Values("WWW-Authenticate")) != 2 || !strings.Contains(string(a.body), "Unauthorized") {
		t.Errorf("%v", a.header)
	}
	// A browser may bring the token as a password, for pages alone and not across sites.
	token := "Basic " + basic(w.tokens["aud"])
	w.do("", "GET", "/v1/executions", nil, "Accept", accept, "Authorization", token).wants(t, 200)
	w.do("", "GET", "/v1/executions", nil, "Accept", accept, "Authorization", token, "Sec-Fetch-Site", "cross-site").wants(t, 401)
	w.do("", "GET", "/v1/executions", nil, "Authorization", token).wants(t, 401)
	w.do("", "POST", auditPathURL, report(), "Accept", accept, "Authorization", "Basic "+basic(w.tokens["mo"])).wants(t, 401)
	y := w.do("aud", "GET", "/v1/executions?limit=1", nil, "Accept", "application/yaml").wants(t, 200)
	if y.header.Get("Content-Type") != "application/yaml" || !strings.Contains(string(y.body), "execution_id: EXEC-") {
		t.Errorf("%s", y.body)
	}
}

// TestAccounts runs the life of an account over HTTP.
func TestAccounts(t *testing.T) {
	w := newWorld(t)
	me := w.do("mo", "GET", "/v1/me", nil).wants(t, 200).json(t)
	if me["user"].(map[string]any)["id"] != "mo" {
		t.Errorf("%v", me)
	}
	body := `{"id":"lee","name":"Lee","roles":["vv-lead"],"token":{"label":"first"}}`
	w.do("root", "POST", "/v1/users", body).wants(t, 401)
	w.do("mo", "POST", "/v1/users", body, "MFA", "").wants(t, 403)
	made := w.do("root", "POST", "/v1/users", body, "MFA", "").wants(t, 201)
	if made.header.Get("Location") != "/v1/users/lee" {
		t.Errorf("%v", made.header)
	}
	w.tokens["lee"] = made.json(t)["token"].(map[string]any)["token"].(string)
	w.do("lee", "GET", "/v1/hooks", nil).wants(t, 200)
	w.do("root", "POST", "/v1/users", body, "MFA", "").wants(t, 409)
	w.do("root", "PUT", "/v1/users/lee/roles/admin", nil, "MFA", "").wants(t, 403)
	w.do("root", "PUT", "/v1/users/lee/roles/emperor", nil, "MFA", "").wants(t, 422)
	w.do("root", "PUT", "/v1/users/lee/roles/data-engineer", nil, "MFA", "").wants(t, 200)
	w.do("root", "DELETE", "/v1/users/lee/roles/data-engineer", nil, "MFA", "").wants(t, 200)
	w.do("root", "PUT", "/v1/users/lee/scope", `{"all_projects":false,"projects":["P1"],"clearances":[]}`, "MFA", "").wants(t, 200)
	secret := w.do("lee", "POST", "/v1/me/totp", nil).wants(t, 201).json(t)
	w.totp["lee"] = secret["secret"].(string)
	w.do("lee", "POST", "/v1/me/totp/confirm", `{"code":"000000"}`)
	w.do("lee", "POST", "/v1/me/totp/confirm", `{"code":"`+w.code("lee")+`"}`).wants(t, 200)
	token := w.do("lee", "POST", "/v1/tokens", `{"label":"ci","life_seconds":3600}`, "MFA", "").wants(t, 201).json(t)
	w.tokens["ci"] = token["token"].(string)
	w.do("ci", "GET", "/v1/me", nil).wants(t, 200)
	w.do("lee", "DELETE", "/v1/tokens/"+token["id"].(string), nil).wants(t, 200)
	w.do("ci", "GET", "/v1/me", nil).wants(t, 401)
	if n := len(w.do("lee", "GET", "/v1/tokens", nil).wants(t, 200).json(t)["items"].([]any)); n != 2 {
		t.Errorf("%d tokens", n)
	}
	w.do("mo", "GET", "/v1/tokens?user=lee", nil).wants(t, 403)
	w.do("root", "POST", "/v1/users/lee/disable", nil, "MFA", "").wants(t, 200)
	w.do("lee", "GET", "/v1/me", nil).wants(t, 401)
	w.do("root", "POST", "/v1/users/lee/totp/reset", nil, "MFA", "").wants(t, 200)
	w.do("root", "POST", "/v1/users/root/disable", nil, "MFA", "").wants(t, 403)
	if strings.Contains(w.lines.String(), w.tokens["lee"]) {
		t.Error("a token is in the server's log")
	}
}

// TestRegistration changes a hook's registration under its ETag.
func TestRegistration(t *testing.T) {
	w := newWorld(t)
	a := w.do("cora", "GET", "/v1/hooks/CAOS.PROD.CERT.AUDIT", nil).wants(t, 200)
	old := a.header.Get("ETag")
	path := "/v1/hooks/CAOS.PROD.CERT.AUDIT/versions/1.0.0"
	change := func(timeout int) string {
		return fmt.Sprintf(`{"hook_status":"ACTIVE","hook_owner":"Board","timeout_seconds":%d,"retry_policy":{"max_attempts":3,"initial_interval_ms":10,"max_interval_ms":100,"factor":2,"jitter":0}}`, timeout)
	}
	w.do("cora", "PUT", path, change(60)).wants(t, 401)
	b := w.do("cora", "PUT", path, change(60), "MFA", "", "If-Match", old).wants(t, 200)
	if b.header.Get("ETag") == old || b.json(t)["timeout_seconds"] != 60.0 {
		t.Errorf("%v %s", b.header, b.body)
	}
	w.do("cora", "PUT", path, change(70), "MFA", "", "If-Match", old).wants(t, 412)
	w.do("cora", "PUT", path, change(70), "MFA", "", "If-Match", "rubbish").wants(t, 412)
	w.do("cora", "PUT", path, change(-1), "MFA", "").wants(t, 422)
	w.do("mo", "PUT", path, change(70), "MFA", "").wants(t, 403)
	w.do("cora", "PUT", "/v1/hooks/CAOS.PROD.CERT.AUDIT/versions/7.0.0", change(70), "MFA", "").wants(t, 404)
	if a := w.do("mo", "POST", auditPathURL, report()).wants(t, 200); a.header.Get("CAOS-Hook-Status") != "" {
		t.Errorf("%v", a.header)
	}
	w.do("cora", "PUT", path, strings.Replace(change(60), "ACTIVE", "DEPRECATED", 1), "MFA", "").wants(t, 200)
	if a := w.do("mo", "POST", auditPathURL, report()).wants(t, 200); a.header.Get("CAOS-Hook-Status") != "DEPRECATED" {
		t.Errorf("%v", a.header)
	}
	schema := w.do("mo", "GET", "/v1/schemas/CAOS.PROD.CERT.AUDIT/1.0.0/input", nil).wants(t, 200)
	if schema.header.Get("Content-Type") != "application/schema+json" || !json.Valid(schema.body) {
		t.Errorf("%v", schema.header)
	}
	w.do("mo", "GET", "/v1/schemas/CAOS.PROD.CERT.AUDIT/1.0.0/secrets", nil).wants(t, 404)
	w.do("mo", "POST", auditPathURL, report()).wants(t, 200)
	if st := w.do("mo", "GET", "/v1/hooks/CAOS.PROD.CERT.AUDIT/stats", nil).wants(t, 200).json(t); st["executions"] != 3.0 {
		t.Errorf("%v", st)
	}
}

func TestTriggers(t *testing.T) {
	w := newWorld(t)
	input := `{"action_type":"DEPLOYMENT","actor_id":"bot","timestamp":"${event.time}","affected_resources":["NN-FCS-001"],"action_details":{"from":"${event.data.from}"}}`
	body := `{"name":"hooked","kind":"WEBHOOK","hook_id":"CAOS.PROD.CERT.AUDIT","input":` + input + `,"runs_as":"bot","enabled":true,"project":"P2"}`
	w.do("mo", "POST", "/v1/triggers", body).wants(t, 401)
	w.do("aud", "POST", "/v1/triggers", body, "MFA", "").wants(t, 403)
	w.do("mo", "POST", "/v1/triggers", strings.Replace(body, "runs_as", "Runs_as", 1), "MFA", "").wants(t, 422)
	w.do("p1", "POST", "/v1/triggers", body, "MFA", "").wants(t, 403) // another project
	made := w.do("mo", "POST", "/v1/triggers", body, "MFA", "").wants(t, 201)
	secret := made.json(t)["secret"].(string)
	const path = "/v1/triggers/hooked"
	if made.json(t)["trigger"].(map[string]any)["enabled_by"] != "mo" || made.header.Get("Location") != path {
		t.Errorf("%s", made.body)
	}
	w.do("mo", "PUT", path, body, "MFA", "", "If-Match", `"7"`).wants(t, 412)
	w.do("mo", "PUT", path, body, "MFA", "", "If-Match", made.header.Get("ETag")).wants(t, 200)
	w.do("p1", "GET", path, nil).wants(t, 404)
	w.do("p1", "DELETE", path, nil, "MFA", "").wants(t, 404)
	if n := len(w.do("p1", "GET", "/v1/triggers", nil).wants(t, 200).json(t)["items"].([]any)); n != 0 {
		t.Errorf("%d triggers", n)
	}
	deliver := func(id, secret, text string) answer {
		d := trigger.Delivery{ID: id, Timestamp: strconv.FormatInt(w.now().Unix(), 10), Body: []byte(text)}
		sig := must(trigger.Sign(secret, d))(t)
		return w.do("", "POST", "/v1/triggers/hooked/webhook", text, "webhook-id", d.ID, "webhook-timestamp", d.Timestamp, "webhook-signature", sig)
	}
	got := deliver("d1", secret, `{"from":"ci"}`).wants(t, 200).json(t)
	if got["state"] != "SUBMITTED" || got["execution_id"] == "" {
		t.Errorf("%v", got)
	}
	if again := deliver("d1", secret, `{"from":"ci"}`).wants(t, 200).json(t); again["execution_id"] != got["execution_id"] || again["repeated"] != true {
		t.Errorf("%v", again)
	}
	w.do("", "POST", "/v1/triggers/hooked/webhook", `{}`).wants(t, 401)
	fresh := w.do("mo", "POST", path+"/secret", nil, "MFA", "").wants(t, 200).json(t)["secret"].(string)
	deliver("d2", secret, `{"from":"ci"}`).wants(t, 401)
	deliver("d2", fresh, `{"from":"ci"}`).wants(t, 200)
	deliver("d3", fresh, strings.Repeat(" ", 70_000)).wants(t, 413)
	w.do("mo", "POST", path+"/disable", nil, "MFA", "").wants(t, 200)
	deliver("d4", fresh, `{"from":"ci"}`).wants(t, 409)
	w.do("mo", "POST", path+"/enable", nil, "MFA", "").wants(t, 200)
	w.do("aud", "GET", path, nil).wants(t, 200)
	w.do("mo", "DELETE", path, nil, "MFA", "").wants(t, 200)
	w.do("aud", "GET", path, nil).wants(t, 404)
}

// TestHTTP2 repeats what depends on the connection over HTTP/2.
func TestHTTP2(t *testing.T) {
	w := newWorld(t)
	tr := w.client.Transport.(*http.Transport)
	tr.ForceAttemptHTTP2 = true
	a := w.do("mo", "POST", auditPathURL, report(), "Prefer", "wait=1").wants(t, 200)
	if a.proto != "HTTP/2.0" {
		t.Errorf("%s", a.proto)
	}
	if a, err := w.try("mo", "POST", auditPathURL, io.LimitReader(zeros{}, 1<<30)); err == nil && a.status != 413 {
		t.Errorf("%d", a.status)
	}
	id := w.start("")
	events := w.follow("chief", "/v1/executions/"+id+"/events", "")
	<-events
	close(w.hold)
	w.until(id, engine.Waiting)
	w.do("chief", "POST", "/v1/executions/"+id+"/decisions", `{"topic":"go","payload":"yes"}`, "MFA", "").wants(t, 200)
	all := drain(events)
	if all[len(all)-1].data["status"] != "SUCCEEDED" {
		t.Errorf("%+v", all)
	}
	w.do("vera", "POST", "/v1/objects", bytes.NewReader(make([]byte, 4<<20))).wants(t, 201)
}
