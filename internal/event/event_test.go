package event

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"caos"
)

func TestStructuredForm(t *testing.T) {
	e := Event{
		ID: "EVENT-20261122T101500.123456Z", Type: "caos.evidence.collected", Source: "/caos", Subject: "EVID-1",
		Time: time.Date(2026, 11, 22, 10, 15, 0, 123456000, time.UTC), Project: "fcs", Sequence: 7,
		Data: map[string]any{"package_id": "CERT-PKG-FCS"},
	}
	const want = `{"specversion":"1.0","id":"EVENT-20261122T101500.123456Z","source":"/caos","type":"caos.evidence.collected",` +
		`"datacontenttype":"application/json","subject":"EVID-1","time":"2026-11-22T10:15:00.123456Z","project":"fcs","sequence":"7",` +
		`"data":{"package_id":"CERT-PKG-FCS"}}`
	text, err := json.Marshal(e)
	if err != nil || string(text) != want {
		t.Fatalf("got %s, %v\nwant %s", text, err, want)
	}
	var back Event
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != want {
		t.Errorf("after a round trip: %s, %v", again, err)
	}
	var data struct {
		PackageID string `json:"package_id"`
	}
	if err := back.Decode(&data); err != nil || data.PackageID != "CERT-PKG-FCS" {
		t.Errorf("Decode: %+v, %v", data, err)
	}
	if err := e.Decode(&data); err != nil {
		t.Errorf("Decode before emission: %v", err)
	}
	for _, bad := range []string{
		`{"specversion":"0.3","id":"1","time":"2026-11-22T10:15:00Z"}`,
		`{"specversion":"1.0","id":"1","time":"yesterday"}`,
		`{"specversion":"1.0","id":"1","time":"2026-11-22T10:15:00Z","sequence":"x"}`,
		`[]`,
	} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

func TestMatch(t *testing.T) {
	cases := []struct {
		pattern, eventType string
		want               bool
	}{
		{"*", "caos.execution.succeeded", true},
		{"caos.*", "caos.execution.succeeded", true},
		{"caos.*", "caos", false},
		{"caos.execution.*", "caos.execution.succeeded", true},
		{"caos.execution.*", "caos.executions.succeeded", false},
		{"caos.*.succeeded", "caos.execution.succeeded", true},
		{"caos.*.succeeded", "caos.execution.step.succeeded", false},
		{"caos.execution.succeeded", "caos.execution.succeeded", true},
		{"caos.execution", "caos.execution.succeeded", false},
		{"caos.execution.succeeded", "caos.execution", false},
		{"", "caos.execution", false},
	}
	for _, c := range cases {
		if got := Match(c.pattern, c.eventType); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.eventType, got)
		}
	}
	for pattern, ok := range map[string]bool{
		"*": true, "caos.*": true, "caos.a.b": true, "caos.*.b": true, "caos.a.*": true,
		"": false, "a.b": false, "caos": false, "caos.": false, "caos.a*": false, "caos.**": false, "caos.A": false, "*.a": false,
		"caos." + strings.Repeat("a", maxType): false,
	} {
		if err := CheckPattern("pattern", pattern); (err == nil) != ok {
			t.Errorf("CheckPattern(%q) = %v", pattern, err)
		} else if !ok && caos.AsError(err).Field != "pattern" {
			t.Errorf("CheckPattern(%q) does not name the field: %v", pattern, err)
		}
	}
}

// FuzzMatch compares Match with a regular expression of the same meaning.
func FuzzMatch(f *testing.F) {
	f.Add("caos.*.x", "caos.a.x")
	f.Add("*", "caos.a")
	f.Fuzz(func(t *testing.T, pattern, eventType string) {
		if CheckPattern("p", pattern) != nil || !validType(eventType) {
			return
		}
		words := strings.Split(pattern, ".")
		for i, w := range words {
			switch {
			case w == "*" && i == len(words)-1:
				words[i] = `.+`
			case w == "*":
				words[i] = `[^.]+`
			default:
				words[i] = regexp.QuoteMeta(w)
			}
		}
		want := regexp.MustCompile(`^` + strings.Join(words, `\.`) + `$`).MatchString(eventType)
		if got := Match(pattern, eventType); got != want {
			t.Errorf("Match(%q, %q) = %v", pattern, eventType, got)
		}
	})
}

func TestRetry(t *testing.T) {
	r := Retry{Attempts: 5, First: time.Second, Max: 10 * time.Second, Factor: 3}
	for attempts, want := range map[int]time.Duration{1: time.Second, 2: 3 * time.Second, 3: 9 * time.Second, 4: 10 * time.Second, 1000: 10 * time.Second} {
		if got := r.pause(attempts, 0.5); got != want {
			t.Errorf("pause after %d failures: %v, want %v", attempts, got, want)
		}
		if low, high := r.pause(attempts, 0), r.pause(attempts, 1); low >= want || high <= want || high > want*6/5 {
			t.Errorf("pause after %d failures is spread from %v to %v", attempts, low, high)
		}
	}
	for _, c := range []struct {
		attempts int
		err      error
		again    bool
	}{
		{1, errors.New("x"), true},
		{4, caos.Errorf(caos.Unavailable, "x"), true},
		{5, caos.Errorf(caos.Unavailable, "x"), false},
		{1, caos.Errorf(caos.Limited, "x"), true},
		{1, caos.Errorf(caos.Invalid, "x"), false},
		{1, caos.Errorf(caos.Conflict, "x"), false},
	} {
		if again, _ := r.verdict(c.attempts, c.err); again != c.again {
			t.Errorf("verdict(%d, %v) = %v", c.attempts, c.err, again)
		}
	}
}
