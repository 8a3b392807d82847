package client

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"caos"
)

// serve starts a TLS server and returns a client of it.
func serve(t *testing.T, codes Codes, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{URL: srv.URL, Token: "caos_t", CAFile: ca, Agent: "test", Codes: codes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func problem(w http.ResponseWriter, status int, kind caos.Kind, field string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"detail": "no", "kind": kind, "field": field, "hint": "try", "rule": "r", "trace_id": "t1"})
}

func TestRefusals(t *testing.T) {
	cases := []struct {
		status int
		kind   caos.Kind // in the body; "" for an answer that is no problem
		want   caos.Kind
	}{
		{422, caos.Invalid, caos.Invalid}, {401, caos.Unauthenticated, caos.Unauthenticated}, {403, caos.Denied, caos.Denied},
		{404, "", caos.NotFound}, {502, "", caos.Unavailable}, {507, "", caos.Full}, {302, "", caos.Internal}, {418, "", caos.Invalid}, {500, "", caos.Internal},
	}
	for _, tc := range cases {
		c := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer caos_t" {
				t.Error("no token")
			}
			if tc.kind != "" {
				problem(w, tc.status, tc.kind, "f")
				return
			}
			w.WriteHeader(tc.status)
		})
		err := c.Get(t.Context(), "/x", nil, new(any))
		if got := caos.KindOf(err); got != tc.want {
			t.Errorf("%d %q: %s, want %s", tc.status, tc.kind, got, tc.want)
		}
		var r *Refusal
		if !errors.As(err, &r) || r.Status != tc.status {
			t.Errorf("%d: %v is not a refusal", tc.status, err)
		}
		if e := caos.AsError(err); tc.kind != "" && (e.Field != "f" || e.Hint != "try" || e.Rule != "r" || r.TraceID != "t1") {
			t.Errorf("%d: lost something: %+v", tc.status, e)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{"", "http://x", "https://", "https://x/y", "https://u:p@x", "https://x?y", "x:1", "https://x:y"} {
		if _, err := New(Config{URL: bad}); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := New(Config{URL: "https://x/"}); err != nil {
		t.Error(err)
	}
}

func TestNobodyThere(t *testing.T) {
	c, err := New(Config{URL: "https://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Get(t.Context(), "/", nil, new(any))
	if e := caos.AsError(err); e.Kind != caos.Unavailable || !strings.Contains(e.Hint, "caos serve") {
		t.Errorf("%+v", e)
	}
}

func TestUnknownAuthority(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	c, err := New(Config{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Get(t.Context(), "/", nil, new(any))
	if e := caos.AsError(err); e.Kind != caos.Unavailable || !strings.Contains(e.Hint, "CAOS_CA") {
		t.Errorf("%+v", e)
	}
}

type list struct {
	codes []string
	asked int
}

func (l *list) Next(context.Context, int) (string, error) {
	l.asked++
	if l.asked > len(l.codes) {
		return "", caos.Errorf(caos.StepUp, "no more")
	}
	return l.codes[l.asked-1], nil
}

// A challenge is answered by the same request with a code; a code that is not taken by the
// next one; anything else the server says is its answer.
func TestSecondFactor(t *testing.T) {
	cases := []struct {
		name  string
		codes []string
		used  int
		want  caos.Kind
	}{
		{"first", []string{"good"}, 1, ""},
		{"used before", []string{"old", "good"}, 2, ""},
		{"none left", []string{"old"}, 2, caos.StepUp},
		{"always wrong", []string{"a", "b", "c", "d", "e"}, maxAttempts, caos.Unauthenticated},
		{"refused for another reason", []string{"denied", "good"}, 1, caos.Denied},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			l := &list{codes: tc.codes}
			c := serve(t, l, func(w http.ResponseWriter, r *http.Request) {
				var body map[string]string
				if json.NewDecoder(r.Body).Decode(&body) != nil || body["a"] != "b" {
					t.Error("the body is not sent again")
				}
				switch r.Header.Get("CAOS-MFA") {
				case "":
					problem(w, 401, caos.StepUp, "")
				case "totp good":
					_, _ = w.Write([]byte("{}"))
				case "totp denied":
					problem(w, 403, caos.Denied, "")
				default:
					problem(w, 401, caos.Unauthenticated, "CAOS-MFA")
				}
			})
			err := c.Post(t.Context(), "/x", map[string]string{"a": "b"}, nil)
			if got := caos.KindOf(err); got != tc.want {
				t.Errorf("%v, want %q", err, tc.want)
			}
			if l.asked != tc.used {
				t.Errorf("asked %d times, want %d", l.asked, tc.used)
			}
		})
	}
}

type memory struct{ at int64 }

func (m *memory) Last() int64       { return m.at }
func (m *memory) Remember(at int64) { m.at = at }

// Three codes can count at a moment; the fourth is waited for, and none is given twice,
// not even by another program with the same memory.
func TestCodesCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		start := time.Now()
		seen := map[string]bool{}
		for i := range 6 {
			s := &Secret{Base32: "JBSWY3DPEHPK3PXP", Now: time.Now, Memory: m}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			code, err := s.Next(t.Context(), 1)
			if err != nil || seen[code] {
				t.Fatalf("%d: %q %v", i, code, err)
			}
			seen[code] = true
			took := time.Since(start)
			if i < 3 && took != 0 {
				t.Errorf("code %d was waited for: %s", i, took)
			}
			if now := time.Now().Unix() / period; m.at > now+1 || m.at < now-1 {
				t.Errorf("code %d is of period %+d", i, m.at-now)
			}
		}
		if took := time.Since(start); took > 90*time.Second || took < 60*time.Second {
			t.Errorf("six codes took %s", took)
		}
	})
}

func TestBadSecret(t *testing.T) {
	s := &Secret{Base32: "no!", Now: time.Now}
	if err := s.Check(); caos.KindOf(err) != caos.Invalid {
		t.Error(err)
	}
}

func TestEvents(t *testing.T) {
	c := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Last-Event-ID") != "7" {
			t.Error("the last id is not sent")
		}
		_, _ = w.Write([]byte("retry: 2000\n\n: alive\n\nevent: execution\nid: 8\ndata: {\"a\":\ndata: 1}\n\nevent: progress\ndata: {}\n\nevent: cut"))
	})
	var got []string
	err := c.Events(t.Context(), "/e", "7", func(e Event) error {
		got = append(got, e.Name+"|"+e.ID+"|"+string(e.Data))
		return nil
	})
	if err != nil || strings.Join(got, ";") != "execution|8|{\"a\":\n1};progress||{}" {
		t.Errorf("%q %v", got, err)
	}
}

// A body that breaks off is an error, never a short file.
func TestDownloadBreaksOff(t *testing.T) {
	c := serve(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("half"))
		panic(http.ErrAbortHandler)
	})
	var b strings.Builder
	if _, err := c.Download(t.Context(), "/d", nil, &b); caos.KindOf(err) != caos.Unavailable {
		t.Errorf("%v", err)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add("event: a\ndata: b\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		_ = readEvents(strings.NewReader(text), func(Event) error { return nil })
	})
}
