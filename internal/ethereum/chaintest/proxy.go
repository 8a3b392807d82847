package chaintest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// bodyLimit bounds what the proxy passes on, either way.
const bodyLimit = 32 << 20

// Proxy stands before a node and fails on demand. All switches may be used while it serves.
type Proxy struct {
	URL string

	mu     sync.Mutex
	target string
	down   bool
	hang   chan struct{} // closed when it hangs no longer; nil when it does not
	chain  uint64        // what it says its chain is; 0 says the truth
	lies   map[string]func(json.RawMessage) json.RawMessage
	fails  map[string]rpcError
	loses  map[string]*share
	counts map[string]int
	client *http.Client
}

// share is how often something happens: evenly, so that a test that runs twice sees the same.
type share struct{ of, sum float64 }

func (s *share) next() bool {
	s.sum += s.of
	if s.sum >= 1-1e-9 {
		s.sum--
		return true
	}
	return false
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// NewProxy gives a test a proxy before the node at an address.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{
		target: target, lies: map[string]func(json.RawMessage) json.RawMessage{}, fails: map[string]rpcError{}, loses: map[string]*share{},
		counts: map[string]int{}, client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 128}},
	}
	server := httptest.NewServer(http.HandlerFunc(p.serve))
	p.URL = server.URL
	t.Cleanup(func() {
		p.Hang(false)
		server.CloseClientConnections()
		server.Close()
		p.client.CloseIdleConnections()
	})
	return p
}

// Down makes the proxy break off every connection before it answers.
func (p *Proxy) Down(on bool) { p.set(func() { p.down = on }) }

// Hang makes the proxy take requests and answer them only when it hangs no longer.
func (p *Proxy) Hang(on bool) {
	p.set(func() {
		if on && p.hang == nil {
			p.hang = make(chan struct{})
		} else if !on && p.hang != nil {
			close(p.hang)
			p.hang = nil
		}
	})
}

// WrongChain makes the proxy say that its chain has this id; 0 says the truth.
func (p *Proxy) WrongChain(id uint64) { p.set(func() { p.chain = id }) }

// Lie passes the result of a method through a function before it is answered; nil ends that.
func (p *Proxy) Lie(method string, fn func(result json.RawMessage) json.RawMessage) {
	p.set(func() {
		if delete(p.lies, method); fn != nil {
			p.lies[method] = fn
		}
	})
}

// Fail answers calls of a method with an error, without asking the node; an empty text ends
// that.
func (p *Proxy) Fail(method string, code int, text string) {
	p.set(func() {
		if delete(p.fails, method); text != "" {
			p.fails[method] = rpcError{Code: code, Message: text}
		}
	})
}

// LoseAnswer passes calls of a method on and breaks the connection off before the answer, for
// this share of them: 1 is all, 0.25 every fourth, 0 none.
func (p *Proxy) LoseAnswer(method string, part float64) {
	p.set(func() {
		if delete(p.loses, method); part > 0 {
			p.loses[method] = &share{of: part}
		}
	})
}

// Target makes the proxy stand before another node.
func (p *Proxy) Target(url string) { p.set(func() { p.target = url }) }

// Count is how often a method was called, as far as the proxy was up.
func (p *Proxy) Count(method string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[method]
}

func (p *Proxy) set(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn()
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	down, hang := p.down, p.hang
	p.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	calls, batch, err := parse(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answers := make([]message, 0, len(calls))
	lost := false
	for _, call := range calls {
		a, lose, err := p.answer(r, call)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		lost = lost || lose
		answers = append(answers, a)
	}
	if lost {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	if batch {
		_ = json.NewEncoder(w).Encode(answers)
	} else {
		_ = json.NewEncoder(w).Encode(answers[0])
	}
}

func parse(body []byte) (calls []message, batch bool, err error) {
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] == '[' {
		err = json.Unmarshal(body, &calls)
		return calls, true, err
	}
	var one message
	err = json.Unmarshal(body, &one)
	return []message{one}, false, err
}

// answer asks the node, and bends what it says.
func (p *Proxy) answer(r *http.Request, call message) (answer message, lose bool, err error) {
	p.mu.Lock()
	p.counts[call.Method]++
	fail, failing := p.fails[call.Method]
	target := p.target
	p.mu.Unlock()
	if failing {
		text, err := json.Marshal(fail)
		return message{Version: "2.0", ID: call.ID, Error: text}, false, err
	}
	text, err := json.Marshal(call)
	if err != nil {
		return answer, false, err
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, target, bytes.NewReader(text))
	if err != nil {
		return answer, false, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.client.Do(req)
	if err != nil {
		return answer, false, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, bodyLimit)).Decode(&answer); err != nil {
		return answer, false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.chain != 0 {
		switch call.Method {
		case "eth_chainId":
			answer.Result = json.RawMessage(fmt.Sprintf(`"0x%x"`, p.chain))
		case "net_version":
			answer.Result = json.RawMessage(fmt.Sprintf(`"%d"`, p.chain))
		}
	}
	if lie := p.lies[call.Method]; lie != nil && answer.Error == nil {
		answer.Result = lie(answer.Result)
	}
	if s := p.loses[call.Method]; s != nil {
		lose = s.next()
	}
	return answer, lose, nil
}
