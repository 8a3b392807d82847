package ethereum

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// maxAnswer bounds one answer. The receipts of a full block stay below it.
const maxAnswer = 8 << 20

// How long an endpoint that fails is left alone: not at all the first time, because one
// lost connection says nothing, then doubling.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 15 * time.Second
	wrongPause = 30 * time.Second // of one that lies or is on another chain
)

// trusted is how long an endpoint that does not fail is not asked again which chain it is on:
// what is behind an address may be changed without a failure.
const trusted = 30 * time.Second

// endpoint is one node, and how far it is trusted at present.
type endpoint struct {
	url    string
	shown  string            // without path and query, which may be a key
	hidden *strings.Replacer // takes them out of a node's words, too
	client *http.Client
	limit  time.Duration
	now    func() time.Time
	logger *slog.Logger
	ids    atomic.Uint64
	gate   chan struct{} // who holds it asks which chain this is; the others wait for the answer

	mu       sync.Mutex // guards what follows; never held over a request
	checked  time.Time  // when the chain and the genesis were ours, zero if it failed since
	failures int        // in a row; those that were under way together count as one
	outage   int        // how often failures was counted up, ever
	until    time.Time  // not asked before
	why      string     // the newest failure, "" when it answers
	kind     ErrorKind  // of it
	chainID  uint64
	head     uint64
	headTime time.Time
	behind   bool   // far behind the best, when heads were last compared
	forged   string // on our chain id with another genesis: what it said
}

// redact keeps of a URL what is no secret.
func redact(u *url.URL) string {
	s := u.Scheme + "://" + u.Host
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		s += "/…"
	}
	return s
}

// hiding takes out of a text what redact leaves away: nodes and the gateways before them like
// to repeat what they were asked with, and the text goes into logs and records. Parts of fewer
// than 8 characters ("v2", "mainnet") are no secrets, and would tear up words.
func hiding(u *url.URL) *strings.Replacer {
	parts := []string{}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		parts = append(parts, u.RequestURI())
	}
	parts = append(parts, u.EscapedPath(), strings.Trim(u.EscapedPath(), "/"), u.Path, strings.Trim(u.Path, "/"), u.RawQuery)
	parts = append(parts, strings.Split(u.EscapedPath(), "/")...)
	parts = append(parts, strings.Split(u.Path, "/")...)
	for _, part := range strings.FieldsFunc(u.RawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
		_, value, _ := strings.Cut(part, "=")
		parts = append(parts, value)
	}
	for _, values := range u.Query() {
		parts = append(parts, values...)
	}
	parts = slices.DeleteFunc(parts, func(p string) bool { return len(p) < 8 })
	slices.SortFunc(parts, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // the whole before its parts
	pairs := make([]string, 0, 2*len(parts))
	for _, p := range parts {
		pairs = append(pairs, p, "…")
	}
	return strings.NewReplacer(pairs...)
}

// said is a text without what is hidden of the address.
func (e *endpoint) said(text string) string {
	if e.hidden == nil {
		return text
	}
	return e.hidden.Replace(text)
}

// away says for how much longer the endpoint is left alone.
func (e *endpoint) away() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return max(0, e.until.Sub(e.now()))
}

// answers notes that the endpoint did its part.
func (e *endpoint) answers() {
	e.mu.Lock()
	back := e.why != ""
	e.failures, e.until, e.why, e.kind = 0, time.Time{}, "", ""
	e.mu.Unlock()
	if back {
		e.logger.Info("an endpoint of the chain answers again", "endpoint", e.shown)
	}
}

// since is what tells failures of one outage from those of the next.
func (e *endpoint) since() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.outage
}

// fails notes a failure of a question that was put when since was what it says. Which chain the endpoint is on is asked again before the next use:
// what comes back at an address need not be what went away.
func (e *endpoint) fails(err *RPCError, since int, slow bool) {
	e.mu.Lock()
	if since != e.outage { // a node that was killed fails everybody at once
		e.mu.Unlock()
		return
	}
	first := e.why == ""
	e.failures++
	e.outage++
	e.checked = time.Time{}
	e.why, e.kind = err.Text, err.Kind
	var pause time.Duration
	switch {
	case err.Kind == WrongChain || err.Kind == Disagree:
		pause = wrongPause
	case e.failures > 1 || slow:
		pause = min(firstPause<<min(max(e.failures-2, 0), 12), lastPause)
		if slow {
			pause = max(pause, 2*time.Second)
		}
	}
	e.until = e.now().Add(pause)
	e.mu.Unlock()
	if first {
		e.logger.Warn("an endpoint of the chain fails", "endpoint", e.shown, "method", err.Method, "kind", err.Kind, "reason", err.Text)
	}
}

// post asks one question. The error is never nil when the result is.
func (e *endpoint) post(ctx context.Context, method string, params []any) (json.RawMessage, *RPCError) {
	fail := func(text string, args ...any) *RPCError {
		return &RPCError{Kind: Down, Method: method, Endpoint: e.shown, Text: e.shown + " " + clip(e.said(fmt.Sprintf(text, args...)), 300)}
	}
	if params == nil {
		params = []any{}
	}
	id := e.ids.Add(1)
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
	if err != nil {
		return nil, fail("cannot be asked: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, e.limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return nil, fail("has an address that cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	// Every question may be asked twice. This tells net/http so, and nothing goes out: a
	// connection that the node closed meanwhile is then no failure.
	req.Header["X-Idempotency-Key"] = nil
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, fail("does not answer: %v", plainCause(err))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fail("does not finish its answer: %v", plainCause(err))
	case len(text) > maxAnswer:
		err := fail("answers with more than %d MiB", maxAnswer>>20)
		err.huge = method == "eth_getLogs"
		return nil, err
	}
	return e.open(text, resp.StatusCode, id, method)
}

// open reads the envelope of an answer.
func (e *endpoint) open(text []byte, status int, id uint64, method string) (json.RawMessage, *RPCError) {
	fail := func(kind ErrorKind, format string, args ...any) (json.RawMessage, *RPCError) {
		return nil, &RPCError{Kind: kind, Method: method, Endpoint: e.shown, Text: e.shown + " " + clip(fmt.Sprintf(format, args...), 300)}
	}
	var answer struct {
		ID     json.RawMessage `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code    int             `json:"code"`
			Message string          `json:"message"`
			Data    json.RawMessage `json:"data"`
		} `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Result == nil && answer.Error == nil {
		if status != http.StatusOK {
			return fail(Down, "answers with HTTP status %d", status)
		}
		return fail(Down, "does not speak JSON-RPC")
	}
	if answer.Error != nil {
		data := revertBytes(answer.Error.Data)
		words := clip(e.said(answer.Error.Message), 300)
		kind := classify(method, answer.Error.Code, answer.Error.Message, data)
		if kind != Reverted {
			data = nil
		}
		if kind == Down || kind == WrongChain {
			words = e.shown + " refuses " + method + ": " + words
		}
		return nil, &RPCError{Kind: kind, Method: method, Endpoint: e.shown, Code: answer.Error.Code, Text: words, Data: data}
	}
	if status != http.StatusOK {
		return fail(Down, "answers with HTTP status %d", status)
	}
	if string(answer.ID) != strconv.FormatUint(id, 10) {
		return fail(Disagree, "answers another question than it was asked")
	}
	return answer.Result, nil
}

// revertBytes finds a revert's data in an error's: hexadecimal, led by "Reverted " in some
// nodes, inside an object in others.
func revertBytes(raw json.RawMessage) []byte {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		var in struct {
			Data string `json:"data"`
		}
		if json.Unmarshal(raw, &in) != nil {
			return nil
		}
		s = in.Data
	}
	s = strings.TrimPrefix(s, "Reverted ")
	b, err := hexutil.Decode(s)
	if err != nil {
		return nil
	}
	return b
}

// tooLong is the end of what is said of an endpoint that hangs.
const tooLong = "it takes too long"

// plainCause takes the address out of an error of net/http: its path may be a key.
func plainCause(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New(tooLong)
	}
	return err
}

// ready makes sure that the endpoint is on the chain that is meant. It keeps the books
// itself: of many that wait, one asks.
func (e *endpoint) ready(ctx context.Context, c *Client) *RPCError {
	if e.known() {
		return nil
	}
	select {
	case e.gate <- struct{}{}:
		defer func() { <-e.gate }()
	case <-ctx.Done():
		return &RPCError{Kind: Down, Endpoint: e.shown, Text: "the caller did not wait"}
	}
	if e.known() {
		return nil
	}
	e.mu.Lock()
	wait, why, kind := e.until.Sub(e.now()), e.why, e.kind
	e.mu.Unlock()
	if wait > 0 { // who held the gate before us found it wanting
		return &RPCError{Kind: kind, Endpoint: e.shown, Text: why}
	}
	since := e.since()
	err := e.check(ctx, c)
	if err != nil {
		e.blame(ctx, err, since)
	}
	return err
}

// known reports whether the endpoint said lately that it is on the chain that is meant. A
// clock that went back is no proof of anything.
func (e *endpoint) known() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	age := e.now().Sub(e.checked)
	return !e.checked.IsZero() && age >= 0 && age < trusted
}

// blame counts a failure unless it is not the endpoint's: the caller left, asked for too much,
// or the node answered in proper form that it cannot answer.
func (e *endpoint) blame(ctx context.Context, err *RPCError, since int) {
	late := ctx.Err() != nil
	if late && !errors.Is(context.Cause(ctx), errGrace) || err.Code != 0 || err.huge {
		return
	}
	e.fails(err, since, late || strings.HasSuffix(err.Text, tooLong))
}

// check asks which chain this is.
func (e *endpoint) check(ctx context.Context, c *Client) *RPCError {
	raw, err := e.post(ctx, "eth_chainId", nil)
	if err != nil {
		return err
	}
	id, bad := quantity(raw)
	if bad != nil {
		return e.nonsense("eth_chainId", bad)
	}
	e.mu.Lock()
	e.chainID = id
	e.mu.Unlock()
	if id != c.chainID {
		return &RPCError{Kind: WrongChain, Method: "eth_chainId", Endpoint: e.shown, Text: fmt.Sprintf("%s is on chain %d, not on %d", e.shown, id, c.chainID)}
	}
	raw, err = e.post(ctx, "eth_getBlockByNumber", []any{"0x0", false})
	if err != nil {
		return err
	}
	genesis, bad := blockOf(raw)
	if bad == nil && genesis.Number != 0 {
		bad = errors.New("its first block is not number 0")
	}
	if bad != nil {
		return e.nonsense("eth_getBlockByNumber", bad)
	}
	if known := c.firstGenesis(genesis.Hash); known != genesis.Hash {
		err := &RPCError{
			Kind: WrongChain, Method: "eth_getBlockByNumber", Endpoint: e.shown,
			Text: fmt.Sprintf("%s begins with the block %s, and this chain began with %s", e.shown, short(genesis.Hash), short(known)),
		}
		e.mu.Lock()
		e.forged = err.Text
		e.mu.Unlock()
		return err
	}
	e.mu.Lock()
	e.checked, e.forged = e.now(), ""
	e.mu.Unlock()
	return nil
}

// nonsense is an answer whose shape or content cannot be.
func (e *endpoint) nonsense(method string, cause error) *RPCError {
	return &RPCError{Kind: Disagree, Method: method, Endpoint: e.shown, Text: fmt.Sprintf("%s answers %s wrongly: %s", e.shown, method, clip(e.said(cause.Error()), 200))}
}

// short is a hash for sentences.
func short(h common.Hash) string { return h.Hex()[:14] + "…" }
