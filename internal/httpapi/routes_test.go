package httpapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"caos/internal/policy"
)

var update = flag.Bool("update", false, "rewrite testdata/openapi.json")

// TestEveryRouteHasARule walks the routes of the multiplexer and the OpenAPI document, and
// asks each of them without a credential.
func TestEveryRouteHasARule(t *testing.T) {
	w := newWorld(t)
	policies := must(policy.Load())(t)
	actions := policies.Actions()
	public := []string{
		"/", "/docs", "/openapi.json", "/healthz", "/readyz", "/log/checkpoint", "/log/tile/{path...}", "/log/entries/{path...}", "/v1/trust", "/v1/triggers/{name}/webhook",
		"/dpp/{passport_id}", "/dpp/{passport_id}/{file}", "/dpp/status/{list}", "/ipfs/{cid}", "/contexts/{name}", "/assets/passport_verify.js",
	}
	documented := documentedRules(t, w.api.OpenAPI())
	for _, r := range w.api.Routes() {
		name := r.Method + " " + r.Path
		switch {
		case r.Rule.Public:
			if !slices.Contains(public, strings.TrimSuffix(r.Path, "{$}")) {
				t.Errorf("%s is public; is that meant? list it here", name)
			}
		case !slices.Contains(actions, r.Rule.Action):
			t.Errorf("%s is guarded by %q, which is no action of the policies", name, r.Rule.Action)
		case !slices.Contains(policies.ResourceTypes(r.Rule.Action), kindOf(r.Rule.Action)):
			t.Errorf("%s: %q is not done to a %s", name, r.Rule.Action, kindOf(r.Rule.Action))
		default:
			p := strings.NewReplacer("{", "", "}", "", "...", "").Replace(r.Path)
			a := w.do("", r.Method, p, nil)
			if a.status != 401 || a.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s without a credential: %d", name, a.status)
			}
		}
		rule, ok := documented[r.Method+" "+strings.ReplaceAll(r.Path, "...}", "}")]
		if undocumented := slices.Contains([]string{"/docs", "/openapi.json", "/{$}"}, r.Path); ok == undocumented {
			t.Errorf("%s: in the OpenAPI document: %v", name, ok)
		}
		if ok && rule != r.Rule {
			t.Errorf("%s: the OpenAPI document says %+v, the route is %+v", name, rule, r.Rule)
		}
		delete(documented, r.Method+" "+strings.ReplaceAll(r.Path, "...}", "}"))
	}
	for name := range documented {
		t.Errorf("%s is in the OpenAPI document and not in the multiplexer", name)
	}
}

// documentedRules reads the rules out of the OpenAPI document.
func documentedRules(t *testing.T, doc []byte) map[string]Rule {
	t.Helper()
	var root struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Summary     string
			Rule        *struct {
				Action string `json:"action"`
				StepUp bool   `json:"step_up"`
				Public bool   `json:"public"`
			} `json:"x-caos-rule"`
			Security []map[string][]string
		}
	}
	if err := json.Unmarshal(doc, &root); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(root.OpenAPI, "3.1") {
		t.Errorf("OpenAPI %s", root.OpenAPI)
	}
	out := map[string]Rule{}
	ids := map[string]bool{}
	for path, ops := range root.Paths {
		for method, op := range ops {
			name := strings.ToUpper(method) + " " + path
			if op.Rule == nil || op.OperationID == "" || op.Summary == "" || ids[op.OperationID] {
				t.Errorf("%s lacks a rule, a summary or an id of its own", name)
				continue
			}
			ids[op.OperationID] = true
			if (len(op.Security) == 0) != op.Rule.Public {
				t.Errorf("%s: security %v", name, op.Security)
			}
			out[name] = Rule{Action: op.Rule.Action, StepUp: op.Rule.StepUp, Public: op.Rule.Public}
		}
	}
	return out
}

// TestSensitiveRoutesStepUp asks every guarded route with a credential and no second
// factor: those whose action is sensitive answer with the challenge, and say so.
func TestSensitiveRoutesStepUp(t *testing.T) {
	w := newWorld(t)
	for _, r := range w.api.Routes() {
		if r.Rule.Public {
			continue
		}
		challenged := false
		for _, who := range []string{"root", "cora", "cert", "chief", "qa", "mo", "ira"} {
			a := w.do(who, r.Method, strings.NewReplacer("{", "", "}", "", "...", "").Replace(r.Path), nil)
			if a.status == 401 {
				challenged = true
				if got := a.header.Get("WWW-Authenticate"); !strings.Contains(got, `error="insufficient_user_authentication"`) || !strings.Contains(got, "acr_values=") {
					t.Errorf("%s %s: %s", r.Method, r.Path, got)
				}
			}
		}
		if r.Path == "/v1/me/totp" {
			continue // a first second factor cannot be asked for one; replacing it is
		}
		if challenged != r.Rule.StepUp {
			t.Errorf("%s %s: step-up is %v, asked for: %v", r.Method, r.Path, r.Rule.StepUp, challenged)
		}
	}
}

// TestRoutesComeThroughOneDoor reads this package: only API.route reaches the multiplexer.
func TestRoutesComeThroughOneDoor(t *testing.T) {
	files := must(filepath.Glob("*.go"))(t)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f := must(parser.ParseFile(token.NewFileSet(), name, nil, 0))(t)
		ast.Inspect(f, func(n ast.Node) bool {
			if fn, ok := n.(*ast.FuncDecl); ok && fn.Name.Name == "route" {
				return false
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && (sel.Sel.Name == "HandleFunc" || sel.Sel.Name == "Handle") {
				t.Errorf("%s registers a route by itself", name)
			}
			return true
		})
	}
}

// TestOpenAPI holds the document to the committed one: a change of the interface is seen
// in review. go test ./internal/httpapi -run TestOpenAPI -update rewrites it.
func TestOpenAPI(t *testing.T) {
	w := newWorld(t)
	got := w.do("", "GET", "/openapi.json", nil).wants(t, 200).body
	golden := filepath.Join("testdata", "openapi.json")
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want := must(os.ReadFile(golden))(t); !bytes.Equal(got, want) {
		t.Errorf("the OpenAPI document is not the committed one; run with -update and look at the difference")
	}
	if !bytes.Contains(got, []byte(`"$ref": "#/components/schemas/CAOS.PROD.CERT.AUDIT-1.0.0.input"`)) {
		t.Error("the hooks' schemas are not referred to")
	}
	checkReferences(t, got)
}

// checkReferences follows every $ref.
func checkReferences(t *testing.T, doc []byte) {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(doc, &root); err != nil {
		t.Fatal(err)
	}
	schemas := root["components"].(map[string]any)["schemas"].(map[string]any)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				if name, found := strings.CutPrefix(ref, "#/components/schemas/"); !found || schemas[name] == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(root)
}

func TestDocsPage(t *testing.T) {
	w := newWorld(t)
	a := w.do("", "GET", "/docs", nil).wants(t, 200)
	for _, want := range []string{"/v1/hooks/{hook_id}/executions", "RegistrationBody", "second factor", "</html>"} {
		if !strings.Contains(string(a.body), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, never := range []string{"<script", "http://", "https://cdn", "src="} {
		if strings.Contains(string(a.body), never) {
			t.Errorf("the page has %s", never)
		}
	}
	if a := w.do("", "GET", "/", nil); a.status != 302 || a.header.Get("Location") != "/docs" {
		t.Errorf("%d %s", a.status, a.header.Get("Location"))
	}
}

// TestAnswersAreAsDocumented validates real answers against the OpenAPI document.
func TestAnswersAreAsDocumented(t *testing.T) {
	w := newWorld(t)
	pkg := w.do("cert", "POST", "/v1/packages", `{"model_id":"NN-FCS-001"}`).wants(t, 201).json(t)["package_id"].(string)
	w.do("cert", "PUT", "/v1/packages/"+pkg+"/plan", `{"requirement_ids":["REQ-1"]}`).wants(t, 200)
	item := w.collect(pkg, junit)
	x := w.do("mo", "POST", auditPathURL, report()).wants(t, 200).json(t)
	running := w.start("")
	w.freeze("P2")
	change := w.do("owen", "POST", "/v1/changes", `{"model_id":"NN-DLY-001","title":"t","class":"Minor"}`).wants(t, 201).json(t)["change_id"].(string)
	found := w.do("owen", "POST", "/v1/problem-reports", `{"model_id":"NN-DLY-001","title":"t","severity":"LOW"}`).wants(t, 201).json(t)["problem_id"].(string)
	link := w.do("vera", "POST", "/v1/links", `{"source_id":"NN-DLY-001","source_type":"Model","target_id":"REQ-1","target_type":"Requirement","relation":"IMPL"}`).wants(t, 201).json(t)["link_id"].(string)
	w.do("mo", "PATCH", "/v1/industrialisation/NN-DLY-001/1.0.0", `{"phase":"PREPARATION"}`).wants(t, 200)
	w.do("cert", "POST", "/v1/imports?name=matrix.csv", matrix).wants(t, 200)
	w.review("APPROVED")
	list := w.do("cora", "POST", "/v1/checklists", `{"baseline_id":"BL-DLY-1.0.0"}`).wants(t, 201).json(t)["checklist_id"].(string)
	risk := w.do("mo", "POST", "/v1/risks", `{"model_id":"NN-DLY-001","title":"t","likelihood":1,"impact":1}`).wants(t, 201).json(t)["risk_id"].(string)
	plan := w.do("cert", "POST", "/v1/certification-plans", `{"model_id":"NN-DLY-001","catalogue_id":"easa-cp-02"}`).wants(t, 201).json(t)["plan_id"].(string)
	w.ranges()
	w.do("dana", "POST", "/v1/pipelines", w.definition("DP-TST-001", "1.0", "")).wants(t, 201)
	w.do("dana", "POST", "/v1/contracts", dataContract, "Content-Type", "application/yaml").wants(t, 201)
	w.flow()
	root := must(jsonschema.UnmarshalJSON(bytes.NewReader(w.api.OpenAPI())))(t)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("openapi.json", root); err != nil {
		t.Fatal(err)
	}
	paths := root.(map[string]any)["paths"].(map[string]any)
	schemaOf := func(path, code, media string) *jsonschema.Schema {
		r := paths[path].(map[string]any)["get"].(map[string]any)["responses"].(map[string]any)[code].(map[string]any)
		ref := r["content"].(map[string]any)[media].(map[string]any)["schema"].(map[string]any)["$ref"].(string)
		return must(compiler.Compile("openapi.json" + ref))(t)
	}
	check := func(name string, s *jsonschema.Schema, body []byte) {
		v := must(jsonschema.UnmarshalJSON(bytes.NewReader(body)))(t)
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v\n%.500s", name, err, body)
		}
	}
	for _, c := range []struct{ who, template, path string }{
		{"aud", "/v1/executions", ""}, {"aud", "/v1/executions/{id}", "/v1/executions/" + x["execution_id"].(string)},
		{"aud", "/v1/executions/{id}", "/v1/executions/" + running}, {"aud", "/v1/hooks", ""}, {"aud", "/v1/hooks/{hook_id}/stats", "/v1/hooks/CAOS.PROD.CERT.AUDIT/stats"},
		{"aud", "/v1/audit", ""}, {"aud", "/v1/audit/{id}", "/v1/audit/" + x["output"].(map[string]any)["audit_record_id"].(string)},
		{"cert", "/v1/packages", ""}, {"cert", "/v1/packages/{package_id}/status", "/v1/packages/" + pkg + "/status"},
		{"cert", "/v1/packages/{package_id}/plan", "/v1/packages/" + pkg + "/plan"}, {"cert", "/v1/evidence", ""}, {"cert", "/v1/evidence/{evidence_id}", "/v1/evidence/" + item},
		{"root", "/v1/users", ""}, {"root", "/v1/me", ""}, {"root", "/v1/tokens", ""}, {"root", "/v1/keys", ""}, {"root", "/v1/roles", ""}, {"root", "/v1/policies", ""},
		{"root", "/v1/alerts", ""}, {"root", "/v1/notices", ""}, {"root", "/v1/trust", ""}, {"cert", "/v1/dashboards/evidence", ""}, {"root", "/v1/triggers", ""}, {"", "/readyz", ""},
		{"aud", "/v1/models", ""}, {"aud", "/v1/models/{model_id}", "/v1/models/NN-DLY-001"}, {"aud", "/v1/models/{model_id}/versions", "/v1/models/NN-DLY-001/versions"},
		{"aud", "/v1/models/{model_id}/versions/{version}", "/v1/models/NN-DLY-001/versions/1.0.0"},
		{"aud", "/v1/models/{model_id}/versions/{version}/artifacts", "/v1/models/NN-DLY-001/versions/1.0.0/artifacts"},
		{"aud", "/v1/models/{model_id}/versions/{version}/conversions", "/v1/models/NN-DLY-001/versions/1.0.0/conversions"},
		{"aud", "/v1/models/{model_id}/versions/{version}/why/{operation}", "/v1/models/NN-DLY-001/versions/1.0.0/why/freeze"},
		{"aud", "/v1/documents", ""}, {"aud", "/v1/documents/{document_id}", "/v1/documents/95-00-07-01-001"}, {"aud", "/v1/documents/{document_id}/versions", "/v1/documents/95-00-07-01-001/versions"},
		{"aud", "/v1/baselines", ""}, {"aud", "/v1/baselines/{baseline_id}", "/v1/baselines/BL-DLY-1.0.0"}, {"aud", "/v1/changes", ""}, {"aud", "/v1/changes/{change_id}", "/v1/changes/" + change},
		{"aud", "/v1/problem-reports", ""}, {"aud", "/v1/problem-reports/{problem_id}", "/v1/problem-reports/" + found}, {"aud", "/v1/links", ""}, {"aud", "/v1/links/{link_id}", "/v1/links/" + link},
		{"aud", "/v1/trace/{id}", "/v1/trace/NN-DLY-001"}, {"aud", "/v1/industrialisation", ""}, {"aud", "/v1/industrialisation/{model_id}/{version}", "/v1/industrialisation/NN-DLY-001/1.0.0"},
		{"aud", "/v1/statements", ""},
		{"aud", "/v1/checklist-templates", ""}, {"aud", "/v1/checklist-templates/{template_id}", "/v1/checklist-templates/95-00-09-01-005"}, {"aud", "/v1/checklists", ""},
		{"aud", "/v1/checklists/{checklist_id}", "/v1/checklists/" + list}, {"aud", "/v1/risks", ""}, {"aud", "/v1/risks/{risk_id}", "/v1/risks/" + risk},
		{"aud", "/v1/objective-catalogues", ""}, {"aud", "/v1/objective-catalogues/{catalogue_id}", "/v1/objective-catalogues/easa-cp-02"}, {"aud", "/v1/certification-plans", ""},
		{"aud", "/v1/certification-plans/{plan_id}", "/v1/certification-plans/" + plan}, {"aud", "/v1/reviews", ""}, {"aud", "/v1/reviews/{prr_id}", "/v1/reviews/PRR-NN-DLY-001-1.0.0"},
		{"aud", "/v1/release-authorizations", ""}, {"aud", "/v1/decisions", ""},
		{"aud", "/v1/pipelines", ""}, {"aud", "/v1/pipelines/{pipeline_id}", "/v1/pipelines/DP-TST-001"}, {"aud", "/v1/pipelines/{pipeline_id}/versions", "/v1/pipelines/DP-TST-001/versions"},
		{"aud", "/v1/pipelines/{pipeline_id}/runs", "/v1/pipelines/DP-TST-001/runs"}, {"aud", "/v1/contracts", ""}, {"aud", "/v1/contracts/{contract_id}", "/v1/contracts/95-00-09-02-004"},
		{"aud", "/v1/contracts/{contract_id}/versions", "/v1/contracts/95-00-09-02-004/versions"}, {"aud", "/v1/datasets", ""}, {"aud", "/v1/validations", ""},
		{"aud", "/v1/lineage", lineageOf("DP-DLY-001.train@3", "")},
		{"aud", "/v1/lineage/events", "/v1/lineage/events?execution=EXEC-DP-DLY-001-20261123T100000.000001Z"}, {"root", "/v1/secrets", ""},
	} {
		if c.path == "" {
			c.path = c.template
		}
		check(c.path, schemaOf(c.template, "200", "application/json"), w.do(c.who, "GET", c.path, nil).wants(t, 200).body)
	}
	problem := schemaOf("/v1/executions", "default", problemType)
	check("problem", problem, w.do("", "GET", "/v1/executions", nil).wants(t, 401).body)
	check("problem", problem, w.do("mo", "GET", "/v1/executions?limit=-1", nil).wants(t, 422).body)
}

// TestDocumentedPaths: every path in the pages about models and about roles is one of the API.
func TestDocumentedPaths(t *testing.T) {
	w := newWorld(t)
	for page, least := range map[string]int{"models.md": 40, "roles.md": 35} {
		found := 0
		for line := range strings.Lines(string(must(os.ReadFile("../../docs/" + page))(t))) {
			words := strings.Fields(line)
			if len(words) < 2 || !strings.HasPrefix(words[1], "/v1/") {
				continue
			}
			found++
			path, _, _ := strings.Cut(words[1], "?")
			r := must(http.NewRequestWithContext(t.Context(), words[0], "https://caos.test"+path, nil))(t)
			if _, pattern := w.api.mux.Handler(r); !strings.HasPrefix(pattern, words[0]+" /v1/") {
				t.Errorf("%s: %s %s is no route: %q", page, words[0], path, pattern)
			}
		}
		if found < least {
			t.Errorf("%s: only %d paths were found", page, found)
		}
	}
}
