package verify

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"caos"
)

// Whoever was named is asked and nobody else, wherever it sends us.
func TestNodesDoNotSendUsElsewhere(t *testing.T) {
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, `{"result":"0x539"}`)
	}))
	defer elsewhere.Close()
	for _, to := range []string{elsewhere.URL, "file:///etc/hostname", "//" + strings.TrimPrefix(elsewhere.URL, "http://"), "/again"} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", to)
				w.WriteHeader(status)
			}))
			if _, err := OpenChains(t.Context(), []string{node.URL}, nil); caos.KindOf(err) != caos.Invalid || !strings.Contains(err.Error(), "no JSON") {
				t.Errorf("%d to %s: %v", status, to, err)
			}
			node.Close()
		}
	}
	if asked.Load() > 0 {
		t.Errorf("somebody else was asked %d times", asked.Load())
	}
}

// trickle is a node whose answer never ends.
type trickle struct{}

func (trickle) RoundTrip(r *http.Request) (*http.Response, error) {
	in, out := io.Pipe()
	go func() {
		for {
			select {
			case <-r.Context().Done():
				out.CloseWithError(context.Cause(r.Context()))
				return
			case <-time.After(time.Second):
				_, _ = out.Write([]byte(" "))
			}
		}
	}()
	return &http.Response{StatusCode: http.StatusOK, Body: in, Request: r}, nil
}

// A node that answers a space a second is given up.
func TestNodesThatNeverEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := OpenChains(t.Context(), []string{"https://node.example"}, &http.Client{Transport: trickle{}})
		if took := time.Since(began); caos.KindOf(err) != caos.Invalid || took > chainPatience+time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		synctest.Wait()
	})
}

// One node under two spellings of its address would only agree with itself.
func TestOneNodeTwice(t *testing.T) {
	node := newTestNode(t, 1337, testRegistry)
	host := strings.TrimPrefix(node.url, "http://")
	for _, again := range []string{node.url, node.url + "/", "HTTP://" + host, "http://me@" + host, node.url + "#x"} {
		if _, err := OpenChains(t.Context(), []string{node.url, again}, nil); err == nil || !strings.Contains(err.Error(), "named twice") {
			t.Errorf("%s: %v", again, err)
		}
	}
	for a, b := range map[string]string{"https://node.example": "https://NODE.example:443/", "http://node.example/k": "http://node.example:80/k/"} {
		if !sameAddress(a, b) {
			t.Errorf("%s and %s", a, b)
		}
	}
	for a, b := range map[string]string{"https://node.example": "http://node.example", "https://node.example/a": "https://node.example/A", "https://node.example?k=1": "https://node.example?k=2", "https://a": "https://a:8443"} {
		if sameAddress(a, b) {
			t.Errorf("%s and %s", a, b)
		}
	}
}
