package httpapi

import (
	"strings"
	"testing"
)

// TestModelPages: what a browser gets of models, with its links, and that a list is a table.
func TestModelPages(t *testing.T) {
	w := newWorld(t)
	w.freeze("P2")
	w.do("owen", "POST", "/v1/models/NN-DLY-001/versions", `{"version":"1.1.0","compatible_with":["1.0.x"],"description":"<script>alert(1)</script>"}`).wants(t, 201)
	page := func(path string, status int) string {
		a := w.do("aud", "GET", path, nil, "Accept", "text/html").wants(t, status)
		if ct := a.header.Get("Content-Type"); !strings.HasPrefix(ct, "text/html") || strings.Contains(string(a.body), "<script") {
			t.Errorf("%s: %s", path, ct)
		}
		return string(a.body)
	}
	for path, wants := range map[string][]string{
		"/v1/models":                                      {`href="/v1/models/NN-DLY-001"`, `class="rows"`},
		"/v1/models/NN-DLY-001":                           {`<a href="/v1/models/NN-DLY-001/versions">versions</a>`},
		"/v1/models/NN-DLY-001/versions":                  {`href="/v1/models/NN-DLY-001/versions/1.0.0"`, `href="/v1/baselines/BL-DLY-1.0.0"`, "1.0.x", "&lt;script&gt;", `class="rows"`, `<td data-column="version">`},
		"/v1/models/NN-DLY-001/versions/1.0.0":            {`/versions/1.0.0/artifacts">artifacts</a>`, `class="text good">FROZEN`},
		"/v1/baselines/BL-DLY-1.0.0":                      {`/v1/baselines/BL-DLY-1.0.0/bundle">bundle</a>`, `href="/v1/documents/95-00-07-01-001"`, `title="SHA256:`},
		"/v1/documents":                                   {`href="/v1/documents/95-00-07-01-001?version=1.0"`, `href="/v1/models/NN-DLY-001/versions/1.0.0"`},
		"/v1/models/NN-DLY-001/versions/1.1.0/why/freeze": {"vv-registered-by-other"},
	} {
		text := page(path, 200)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %s:\n%s", path, want, text)
			}
		}
	}
	if text := page("/v1/models/NN-NOT-001", 404); strings.Contains(text, "/versions\"") {
		t.Errorf("a page about nothing leads further: %s", text)
	}
}

func TestLinkOf(t *testing.T) {
	for text, want := range map[string]string{
		"NN-DLY-001": "/v1/models/NN-DLY-001", "NN-DLY-001@1.0.0": "/v1/models/NN-DLY-001/versions/1.0.0", "BL-DLY-1.0.0": "/v1/baselines/BL-DLY-1.0.0",
		"CHG-DLY-1": "/v1/changes/CHG-DLY-1", "ALERT-ANCHOR-1": "/v1/alerts/ALERT-ANCHOR-1", "PR-DLY-1": "/v1/problem-reports/PR-DLY-1", "LINK-01": "/v1/links/LINK-01", "CHK-DLY-1.0.0/7.4": "/v1/checklists/CHK-DLY-1.0.0",
		"NN-DLY-001@../../x": "/v1/models/NN-DLY-001/versions/..%2F..%2Fx", "nn-dly-001": "",
		"DP-DLY-001": "/v1/pipelines/DP-DLY-001", "DP-DLY-001.train": "/v1/datasets/DP-DLY-001.train", "DP-DLY-001.train@3": "/v1/datasets/DP-DLY-001.train/versions/3",
		"DP-DLY-001.t/../x@1": "/v1/datasets/DP-DLY-001.t%2F..%2Fx/versions/1", "VAL-EXEC-20261122T101500.123456Z": "/v1/validations/VAL-EXEC-20261122T101500.123456Z", "https://example.com/": "", "BL-": "", "NN-DLY-001 x": "",
	} {
		if got := linkOf(text); got != want {
			t.Errorf("%q leads to %q, want %q", text, got, want)
		}
	}
}
