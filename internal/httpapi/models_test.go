package httpapi

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// newModel registers a model of owen's, "" for no project.
func (w *world) newModel(id, project string) string {
	w.t.Helper()
	w.do("cora", "POST", "/v1/models", map[string]any{"model_id": id, "name": "A model", "owner": "owen", "project": project, "safety_level": "DAL-B"}).wants(w.t, 201)
	return "/v1/models/" + id
}

// newVersion registers a model with one version and returns the version's path.
func (w *world) newVersion(id, project string) string {
	w.t.Helper()
	path := w.newModel(id, project)
	w.do("cora", "POST", path+"/versions", `{"version":"1.0.0"}`).wants(w.t, 201)
	return path + "/versions/1.0.0"
}

// upload stores bytes and returns their digest.
func (w *world) upload(who, content string) string {
	w.t.Helper()
	return w.do(who, "POST", "/v1/objects", content).wants(w.t, 201).json(w.t)["digest"].(string)
}

// refused is a request that has to be answered with a status and, if given, a field.
type refused struct {
	who, method, path string
	body              any
	headers           []string
	status            int
	field             string
}

// refuses sends requests that must be refused as they say.
func (w *world) refuses(cases map[string]refused) {
	w.t.Helper()
	for name, r := range cases {
		a := w.do(r.who, r.method, r.path, r.body, r.headers...)
		if a.status != r.status {
			w.t.Errorf("%s: status %d, want %d: %s", name, a.status, r.status, a.body)
			continue
		}
		if p := a.json(w.t); r.field != "" && p["field"] != r.field || p["detail"] == "" || p["kind"] == "" {
			w.t.Errorf("%s: want field %s: %s", name, r.field, a.body)
		}
	}
}

// alike fails unless two answers tell a client nothing apart.
func (w *world) alike(a, b answer) {
	w.t.Helper()
	x, y := a.json(w.t), b.json(w.t)
	if a.status != 404 || b.status != 404 || x["detail"] != y["detail"] || x["hint"] != y["hint"] || x["field"] != y["field"] || x["rule"] != y["rule"] {
		w.t.Errorf("what is not for the caller and what is not there are told apart:\n%d %s\n%d %s", a.status, a.body, b.status, b.body)
	}
}

func items(t testing.TB, a answer) []any {
	t.Helper()
	return a.wants(t, 200).json(t)["items"].([]any)
}

func TestModels(t *testing.T) {
	w := newWorld(t)
	made := w.do("owen", "POST", "/v1/models", `{"model_id":"NN-DLY-001","name":"Delay","family":"MLP","safety_level":"DAL-D","regime":"EASA_CS-25","project":"P2"}`).wants(t, 201)
	if got := made.json(t); made.header.Get("Location") != "/v1/models/NN-DLY-001" || made.header.Get("ETag") != `"1"` || got["owner"] != "owen" || got["created_by"] != "owen" {
		t.Errorf("%v %s", made.header, made.body)
	}
	w.newModel("NN-FCS-001", "P1")
	one, post := "/v1/models/NN-DLY-001", "/v1/models"
	w.refuses(map[string]refused{
		"there already":          {"owen", "POST", post, `{"model_id":"NN-DLY-001","name":"Again"}`, nil, 409, ""},
		"wrong form":             {"owen", "POST", post, `{"model_id":"nn-dly-1","name":"x"}`, nil, 422, "model_id"},
		"no name":                {"owen", "POST", post, `{"model_id":"NN-DLY-002"}`, nil, 422, "name"},
		"control characters":     {"owen", "POST", post, `{"model_id":"NN-DLY-002","name":"a\u0007b"}`, nil, 422, "name"},
		"unknown level":          {"owen", "POST", post, `{"model_id":"NN-DLY-002","name":"x","safety_level":"DAL-F"}`, nil, 422, "safety_level"},
		"unknown owner":          {"cora", "POST", post, `{"model_id":"NN-DLY-002","name":"x","owner":"nobody"}`, nil, 422, "owner"},
		"for another":            {"owen", "POST", post, `{"model_id":"NN-DLY-002","name":"x","owner":"mo"}`, nil, 403, ""},
		"missing role":           {"mo", "POST", post, `{"model_id":"NN-DLY-002","name":"x"}`, nil, 403, ""},
		"no role":                {"newbie", "POST", post, `{"model_id":"NN-DLY-002","name":"x"}`, nil, 403, ""},
		"foreign project":        {"o1", "POST", post, `{"model_id":"NN-DLY-002","name":"x","project":"P2"}`, nil, 403, ""},
		"duplicate key":          {"owen", "POST", post, `{"model_id":"NN-DLY-002","model_id":"NN-DLY-003","name":"x"}`, nil, 422, "model_id"},
		"wrong-case key":         {"owen", "POST", post, `{"Model_id":"NN-DLY-002","name":"x"}`, nil, 422, "Model_id"},
		"unknown key":            {"owen", "POST", post, `{"model_id":"NN-DLY-002","name":"x","revision":7}`, nil, 422, "revision"},
		"no classification":      {"cora", "POST", post, `{"model_id":"NN-DLY-002","name":"x","classification":"Secret"}`, nil, 422, "classification"},
		"not cleared":            {"cora", "POST", post, `{"model_id":"NN-DLY-002","name":"x","classification":"Restricted"}`, nil, 403, ""},
		"stale":                  {"owen", "PATCH", one, `{"name":"x"}`, []string{"If-Match", `"7"`}, 412, "If-Match"},
		"zero":                   {"owen", "PATCH", one, `{"name":"x"}`, []string{"If-Match", `"0"`}, 412, "If-Match"},
		"no ETag":                {"owen", "PATCH", one, `{"name":"x"}`, []string{"If-Match", `seven`}, 412, "If-Match"},
		"not the owner":          {"o1", "PATCH", "/v1/models/NN-FCS-001", `{"name":"x"}`, nil, 403, ""},
		"may not":                {"mo", "PATCH", one, `{"name":"x"}`, nil, 403, ""},
		"project stays":          {"cora", "PATCH", one, `{"project":"P1"}`, nil, 422, "project"},
		"given to nobody":        {"owen", "PATCH", one, `{"owner":"nobody"}`, nil, 422, "owner"},
		"moved beyond one's own": {"owen", "PATCH", one, `{"classification":"Restricted"}`, nil, 403, ""},
	})
	for _, path := range []string{"", "/versions", "/versions/1.0.0", "/versions/1.0.0/artifacts", "/versions/1.0.0/conversions"} {
		w.alike(w.do("p1", "GET", one+path, nil), w.do("p1", "GET", "/v1/models/NN-NOT-001"+path, nil))
	}
	w.alike(w.do("o1", "PATCH", one, `{"name":"x"}`), w.do("o1", "PATCH", "/v1/models/NN-NOT-001", `{"name":"x"}`))
	if n := len(items(t, w.do("p1", "GET", "/v1/models", nil))); n != 1 {
		t.Errorf("%d models are shown to somebody of one project", n)
	}
	if n := len(items(t, w.do("aud", "GET", "/v1/models?owner=owen&limit=1", nil))); n != 1 {
		t.Errorf("%d models on a page of one", n)
	}
	got := w.do("owen", "GET", one, nil).wants(t, 200)
	changed := w.do("owen", "PATCH", one, `{"name":"Arrival delay","owner":"cora"}`, "If-Match", got.header.Get("ETag")).wants(t, 200)
	if changed.header.Get("ETag") != `"2"` || changed.json(t)["name"] != "Arrival delay" || changed.json(t)["family"] != "MLP" {
		t.Errorf("%v %s", changed.header, changed.body)
	}
	w.do("owen", "PATCH", one, `{"name":"Mine again"}`).wants(t, 403)
	// Opening what is classified is not for the owner alone.
	w.do("owen", "PATCH", "/v1/models/NN-FCS-001", `{"classification":"Public"}`).wants(t, 403)
	w.do("cora", "PATCH", "/v1/models/NN-FCS-001", `{"classification":"Public"}`).wants(t, 200)
	if n := len(items(t, w.do("aud", "GET", "/v1/audit?resource=NN-DLY-001&type=DATA", nil))); n != 2 {
		t.Errorf("%d records of two changes", n)
	}
}

func TestVersions(t *testing.T) {
	w := newWorld(t)
	path := w.newModel("NN-DLY-001", "P2") + "/versions"
	made := w.do("owen", "POST", path, `{"version":"1.0.0","framework":"PyTorch 2.9","compatible_with":["0.9.x"]}`).wants(t, 201)
	if made.header.Get("Location") != path+"/1.0.0" || made.json(t)["state"] != "REGISTERED" {
		t.Errorf("%v %s", made.header, made.body)
	}
	w.do("mo", "POST", path, `{"version":"1.2.0","supersedes":"1.0.0"}`).wants(t, 201)
	cases := map[string]refused{
		"there already":   {"owen", "POST", path, `{"version":"1.0.0"}`, nil, 409, ""},
		"lower":           {"owen", "POST", path, `{"version":"1.1.9"}`, nil, 422, "version"},
		"missing role":    {"vera", "POST", path, `{"version":"3.0.0"}`, nil, 403, ""},
		"datasets only":   {"dana", "POST", path, `{"version":"3.0.0"}`, nil, 403, ""},
		"foreign project": {"p1", "POST", path, `{"version":"3.0.0"}`, nil, 404, "model_id"},
		"no such version": {"owen", "GET", path + "/9.9.9", nil, nil, 404, "version"},
		"stale":           {"owen", "PATCH", path + "/1.0.0", `{"framework":"x"}`, []string{"If-Match", `"9"`}, 412, "If-Match"},
		"may not change":  {"mo", "PATCH", path + "/1.0.0", `{"framework":"x"}`, nil, 403, ""},
		"state":           {"cora", "PATCH", path + "/1.0.0", `{"state":"RELEASED"}`, nil, 422, "state"},
		"former unclear":  {"owen", "POST", path, `{"version":"4.0.0","supersedes":"the last one"}`, nil, 422, "supersedes"},
	}
	for _, v := range []string{"1.0", "v2.0.0", "2.0.0+build", "2.0.0 ", "02.0.0", "latest", "", "../2.0.0", strings.Repeat("9", 40) + ".0.0"} {
		cases["version "+v] = refused{"owen", "POST", path, map[string]any{"version": v}, nil, 422, "version"}
	}
	w.refuses(cases)
	if a := w.do("owen", "POST", path, `{"version":"1.1.9"}`); !strings.Contains(string(a.body), "1.2.0") {
		t.Errorf("the refusal does not name the predecessor: %s", a.body)
	}
	got := w.do("owen", "GET", path+"/1.2.0", nil).wants(t, 200)
	a := w.do("owen", "PATCH", path+"/1.2.0", `{"safety_impact":"none"}`, "If-Match", got.header.Get("ETag")).wants(t, 200)
	if a.json(t)["safety_impact"] != "none" || a.json(t)["supersedes"] != "1.0.0" {
		t.Errorf("%s", a.body)
	}
	if list := items(t, w.do("aud", "GET", path, nil)); len(list) != 2 || list[0].(map[string]any)["version"] != "1.2.0" {
		t.Errorf("%v", list)
	}
}

func TestArtifacts(t *testing.T) {
	w := newWorld(t)
	version := w.newVersion("NN-DLY-001", "P1")
	path := version + "/artifacts"
	foreign := w.newVersion("NN-FCS-001", "P2") + "/artifacts"
	digest := w.upload("owen", `{"layers":3}`)
	attach := func(name, role, digest string) map[string]any {
		return map[string]any{"name": name, "role": role, "digest": digest}
	}
	made := w.do("owen", "POST", path, attach("config/model.json", "configuration", digest)).wants(t, 201).json(t)
	if made["size"] != 12.0 || made["digest"] != digest || made["added_by"] != "owen" || made["scan"] == nil || made["format"] == "" {
		t.Errorf("%v", made)
	}
	w.do("owen", "POST", path, attach("config/model.json", "configuration", digest)).wants(t, 201)
	w.do("o1", "POST", path, attach("x", "other", digest)).wants(t, 403) // not the owner
	w.do("mo", "POST", path, map[string]any{"name": "again.json", "role": "other", "uri": "object://" + digest}).wants(t, 201)
	data := w.upload("dana", "a,b\n1,2\n")
	w.do("dana", "POST", path, attach("train.csv", "training-dataset", data)).wants(t, 201)
	secret := w.upload("cora", "the other project's weights")
	w.do("cora", "POST", foreign, attach("w.bin", "weights", secret)).wants(t, 201)
	empty, other := w.upload("owen", ""), w.upload("owen", "other bytes")
	fresh := w.upload("p1", "of P1, referred to by nothing yet")
	unknown := "SHA256:" + strings.Repeat("0", 64)
	cases := map[string]refused{
		"unknown digest":     {"owen", "POST", path, attach("a", "other", unknown), nil, 404, "digest"},
		"no digest":          {"owen", "POST", path, attach("a", "other", ""), nil, 422, "digest"},
		"malformed digest":   {"owen", "POST", path, attach("a", "other", "SHA256:12"), nil, 422, "digest"},
		"another algorithm":  {"owen", "POST", path, attach("a", "other", "MD5:"+strings.Repeat("0", 64)), nil, 422, "digest"},
		"another address":    {"owen", "POST", path, map[string]any{"name": "a", "role": "other", "uri": "file:///etc/passwd"}, nil, 422, "uri"},
		"contradiction":      {"owen", "POST", path, map[string]any{"name": "a", "role": "other", "uri": "object://" + digest, "digest": other}, nil, 422, "digest"},
		"zero bytes":         {"owen", "POST", path, attach("a", "other", empty), nil, 422, ""},
		"other bytes":        {"owen", "POST", path, attach("config/model.json", "configuration", other), nil, 409, ""},
		"unknown role":       {"owen", "POST", path, attach("a", "payload", digest), nil, 422, "role"},
		"no dataset":         {"dana", "POST", path, attach("w.bin", "weights", data), nil, 403, ""},
		"foreign model":      {"p1", "POST", foreign, attach("a", "other", digest), nil, 404, "model_id"},
		"no such version":    {"owen", "POST", strings.Replace(path, "1.0.0", "9.0.0", 1), attach("a", "other", digest), nil, 404, "version"},
		"no such artifact":   {"owen", "DELETE", path + "?name=none", nil, nil, 404, ""},
		"no name":            {"owen", "DELETE", path, nil, nil, 422, "name"},
		"stale":              {"owen", "DELETE", path + "?name=config%2Fmodel.json", nil, []string{"If-Match", `"1"`}, 412, "If-Match"},
		"detach what is not": {"dana", "DELETE", path + "?name=config%2Fmodel.json", nil, nil, 403, ""},
		"may not detach":     {"vera", "DELETE", path + "?name=config%2Fmodel.json", nil, nil, 403, ""},
	}
	for _, name := range []string{"../up", "a/../b", "/etc/passwd", "a//b", "a/", ".hidden", "a/.git/config", `a\b`, "a\x00b", "a\nb", "", ".", "..", strings.Repeat("n", 201)} {
		cases["name "+fmt.Sprintf("%.20q", name)] = refused{"owen", "POST", path, attach(name, "other", digest), nil, 422, "name"}
	}
	w.refuses(cases)
	// An object of another project is answered like one that is not there.
	w.alike(w.do("p1", "POST", path, attach("stolen", "weights", secret)), w.do("p1", "POST", path, attach("stolen", "weights", unknown)))
	w.do("p1", "POST", path, attach("fresh", "weights", fresh)).wants(t, 201)
	// Who has the bytes may use them, whoever else keeps them; who knows the digest may not.
	w.do("p1", "POST", path, attach("mine.bin", "weights", w.upload("p1", "the other project's weights"))).wants(t, 201)
	w.do("owen", "DELETE", path+"?name=mine.bin", nil).wants(t, 200)
	idle := w.upload("cora", "referred to by nothing yet")
	w.do("p1", "POST", path, attach("idle", "weights", idle)).wants(t, 404)
	pickle := w.upload("owen", "\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.")
	scan, _ := w.do("owen", "POST", path, attach("model.pkl", "trained", pickle)).wants(t, 201).json(t)["scan"].(map[string]any)
	if findings, _ := scan["findings"].([]any); scan["code"] != true || len(findings) == 0 {
		t.Errorf("a pickle that runs a program: %v", scan)
	}
	list := items(t, w.do("aud", "GET", path, nil))
	if len(list) != 5 {
		t.Errorf("%d artifacts", len(list))
	}
	at := w.do("owen", "GET", version, nil).wants(t, 200)
	w.do("owen", "DELETE", path+"?name="+url.QueryEscape("again.json"), nil, "If-Match", at.header.Get("ETag")).wants(t, 200)
	w.do("dana", "DELETE", path+"?name=train.csv", nil).wants(t, 200)
	if list := items(t, w.do("aud", "GET", path, nil)); len(list) != 3 {
		t.Errorf("%d artifacts", len(list))
	}
}

func TestConversions(t *testing.T) {
	w := newWorld(t)
	version := w.newVersion("NN-DLY-001", "P1")
	for _, name := range []string{"trained", "inference"} {
		w.do("owen", "POST", version+"/artifacts", map[string]any{"name": name + ".bin", "role": name, "digest": w.upload("owen", name)}).wants(t, 201)
	}
	path := version + "/conversions"
	body := func(from, to string) map[string]any {
		return map[string]any{"from": from, "to": to, "tool": "onnx-export", "tool_version": "1.19.0", "parameters": map[string]any{"opset": 17}}
	}
	made := w.do("mo", "POST", path, body("trained.bin", "inference.bin")).wants(t, 201).json(t)
	if made["from_digest"] == "" || made["recorded_by"] != "mo" {
		t.Errorf("%v", made)
	}
	deep := `{"from":"trained.bin","to":"inference.bin","tool":"t","tool_version":"1","parameters":{"a":` + strings.Repeat(`[`, 300) + strings.Repeat(`]`, 300) + `}}`
	wrong := body("trained.bin", "inference.bin")
	wrong["to_digest"] = "SHA256:" + strings.Repeat("0", 64)
	w.refuses(map[string]refused{
		"no such artifact": {"mo", "POST", path, body("trained.bin", "none.bin"), nil, 404, "to"},
		"other digest":     {"mo", "POST", path, wrong, nil, 422, "to_digest"},
		"deep":             {"mo", "POST", path, deep, nil, 413, ""},
		"no tool":          {"mo", "POST", path, `{"from":"trained.bin","to":"inference.bin"}`, nil, 422, "tool"},
		"missing role":     {"vera", "POST", path, body("trained.bin", "inference.bin"), nil, 403, ""},
	})
	if list := items(t, w.do("aud", "GET", path, nil)); len(list) != 1 {
		t.Errorf("%v", list)
	}
}
