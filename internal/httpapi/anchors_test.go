package httpapi

import (
	"strings"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// TestAnchors: who may anchors at once, everybody who reads the log sees them, and what is
// wrong with a request is named.
func TestAnchors(t *testing.T) {
	w := newWorldOn(t, dbtest.Open(t, db.SQLite))
	w.do("newbie", "POST", "/v1/anchors", map[string]any{}).wants(t, 403)
	w.do("", "POST", "/v1/anchors", map[string]any{}).wants(t, 401)
	w.do("", "GET", "/v1/anchors", nil).wants(t, 401)
	for _, bad := range []any{map[string]any{"kinds": []string{"pigeon"}}, map[string]any{"kind": []string{"file"}}, `{"kinds":"file"}`} {
		if a := w.do("root", "POST", "/v1/anchors", bad); a.status != 400 && a.status != 422 {
			t.Errorf("%v: %d %s", bad, a.status, a.body)
		}
	}
	if a := w.do("root", "POST", "/v1/anchors", map[string]any{"kinds": []string{"chain"}}); a.status != 422 || !strings.Contains(string(a.body), "kinds") {
		t.Errorf("a kind that is not configured: %d %s", a.status, a.body)
	}
	if list := w.do("root", "GET", "/v1/anchors", nil).wants(t, 200).json(t); len(list["items"].([]any)) != 0 {
		t.Errorf("refused requests have anchored: %v", list)
	}
	made := w.do("root", "POST", "/v1/anchors", map[string]any{}).wants(t, 200).json(t)
	first := made["destinations"].([]any)[0].(map[string]any)
	if first["state"] != "OK" || first["kind"] != "file" {
		t.Errorf("%v", made)
	}
	list := w.do("mo", "GET", "/v1/anchors?kind=file&state=CONFIRMED", nil).wants(t, 200).json(t)
	items := list["items"].([]any)
	if len(items) != 1 || items[0].(map[string]any)["asked_by"] != "root" {
		t.Fatalf("%v", list)
	}
	id := items[0].(map[string]any)["anchor_id"].(string)
	one := w.do("mo", "GET", "/v1/anchors/"+id, nil).wants(t, 200).json(t)
	if note := one["checkpoint"].(string); !strings.HasPrefix(note, "caos.test/log\n") && !strings.Contains(note, "\n\n— ") {
		t.Errorf("%v", one)
	}
	w.do("mo", "GET", "/v1/anchors/ANCHOR-none", nil).wants(t, 404)
	w.do("mo", "GET", "/v1/anchors?state=GONE", nil).wants(t, 422)
	status := w.do("mo", "GET", "/v1/anchors/status", nil).wants(t, 200).json(t)
	if d := status["destinations"].([]any); len(d) != 1 || d[0].(map[string]any)["state"] != "OK" {
		t.Errorf("%v", status)
	}
	if text := string(w.do("mo", "GET", "/v1/anchors/status", nil, "Accept", "text/html").wants(t, 200).body); !strings.Contains(text, `<td data-column="state">`) || strings.Contains(text, "\n— ") {
		t.Errorf("the page of the destinations is no table, or has signed texts in it:\n%s", text)
	}
	a := w.do("", "GET", "/log/checkpoint", nil).wants(t, 200)
	if got := a.header.Get("Cache-Control"); got != "no-cache" || !strings.Contains(string(a.body), "\n\n— ") {
		t.Errorf("%s %s", got, a.body)
	}
}
