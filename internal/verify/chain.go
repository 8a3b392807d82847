package verify

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxChainAnswer  = 1 << 20 // bytes; a receipt has a few thousand
	maxChainNodes   = 16
	chainPatience   = 20 * time.Second // for one answer
	selectorAnchor  = "b12868dc"       // anchorOf(string,uint64)
	selectorLast    = "ab72f78b"       // lastAnchor(string)
	selectorRecord  = "e8ef2834"       // recordOf(string,string,bytes32)
	maxBlockTime    = 1 << 40          // seconds; see maxCosigned
	maxListings     = 4096             // requests for the events of one registry
	listPatience    = 5 * time.Minute  // for all of them
	maxEvents       = 1 << 20          // checkpoints of one log: one each minute for two years
	wordSize        = 32
	hexDigitsOfWord = 2 * wordSize
)

// Chains asks nodes of chains what the registries there have recorded. It is the one part of
// this package that uses the network, and is there only if whoever verifies names a node.
// What a node says is believed as far as all that are named for its chain say the same.
type Chains struct {
	nodes []*chainNode
}

type chainNode struct {
	url  string
	name string // of its host, which is fit to be shown: paths may hold a secret
	id   uint64
	http *http.Client
}

// OpenChains asks every node which chain it follows. client may be nil.
func OpenChains(ctx context.Context, urls []string, client *http.Client) (*Chains, error) {
	if len(urls) > maxChainNodes {
		return nil, refuse("ethereum", "%d nodes are named, at most %d", len(urls), maxChainNodes)
	}
	if client == nil {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	c := &Chains{}
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return nil, refuse("ethereum", "a node's address is https://… or http://…")
		}
		n := &chainNode{url: text, name: u.Host, http: client}
		if slices.ContainsFunc(c.nodes, func(o *chainNode) bool { return sameAddress(o.url, n.url) }) {
			return nil, refuse("ethereum", "the node %s is named twice: it would only agree with itself", n.name)
		}
		var id string
		if err := n.ask(ctx, &id, "eth_chainId"); err != nil {
			return nil, err
		}
		if n.id, err = quantity(id); err != nil || n.id == 0 || n.id > MaxChainID {
			return nil, n.lie("its chain has the number %s", quote(id))
		}
		c.nodes = append(c.nodes, n)
	}
	return c, nil
}

// sameAddress reports whether two addresses are one in two spellings.
func sameAddress(a, b string) bool {
	plain := func(text string) string {
		u, err := url.Parse(text)
		if err != nil {
			return text
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
		}
		return strings.ToLower(u.Scheme+"://"+u.Hostname()) + ":" + port + strings.TrimRight(u.Path, "/") + "?" + u.RawQuery
	}
	return plain(a) == plain(b)
}

// of lists the nodes of a chain. c may be nil.
func (c *Chains) of(chain TrustChain) (list []*chainNode) {
	if c == nil {
		return nil
	}
	for _, n := range c.nodes {
		if n.id == chain.ChainID {
			list = append(list, n)
		}
	}
	return list
}

// Reaches reports whether a node of the chain was named.
func (c *Chains) Reaches(chain TrustChain) bool { return len(c.of(chain)) > 0 }

// unwanted lists the nodes of chains that the trust file does not name.
func (c *Chains) unwanted(trust Trust) (list []string) {
	for _, n := range c.nodes {
		if !slices.ContainsFunc(trust.Chains, func(t TrustChain) bool { return t.ChainID == n.id }) {
			list = append(list, fmt.Sprintf("%s follows the chain %d, which the trust file does not name", n.name, n.id))
		}
	}
	return list
}

// ChainAnchor is a checkpoint that a registry has recorded.
type ChainAnchor struct {
	Exists bool
	Size   int64     // leaves
	Root   [32]byte  //
	Block  uint64    // that has the transaction
	Time   time.Time // of that block
	Depth  uint64    // blocks from it to the newest, itself counted
}

// ChainRecord is a passport that a registry has recorded.
type ChainRecord struct {
	Exists   bool
	Stated   time.Time // when the version went into production, as the recorder said
	Block    uint64
	Time     time.Time // of that block
	Recorder string    // address, in small letters
	Depth    uint64
}

// AnchorOf asks for the checkpoint of a log at exactly a size.
func (c *Chains) AnchorOf(ctx context.Context, chain TrustChain, origin string, size int64) (a ChainAnchor, err error) {
	data := selectorAnchor + word(64) + word(uint64(size)) + abiText(origin) //nolint:gosec // sizes are not negative
	w, head, err := c.call(ctx, chain, data, 4)
	if err != nil {
		return a, err
	}
	exists, ok := w.flag(0)
	block, ok2 := w.number(2)
	at, ok3 := w.moment(3)
	a = ChainAnchor{exists, size, w[1], block, at, depth(head, block)}
	if !ok || !ok2 || !ok3 || exists != (a.Root != [32]byte{}) || block > head {
		return a, refuse("ethereum", "the registry's answer makes no sense: is there a ProductionRegistry at %s?", chain.Registry)
	}
	return a, nil
}

// LastAnchor asks for the largest checkpoint of a log.
func (c *Chains) LastAnchor(ctx context.Context, chain TrustChain, origin string) (a ChainAnchor, err error) {
	w, head, err := c.call(ctx, chain, selectorLast+word(32)+abiText(origin), 4)
	if err != nil {
		return a, err
	}
	size, ok := w.number(0)
	block, ok2 := w.number(2)
	at, ok3 := w.moment(3)
	if !ok || !ok2 || !ok3 || size > MaxTreeSize || block > head {
		return a, refuse("ethereum", "the registry's answer makes no sense: is there a ProductionRegistry at %s?", chain.Registry)
	}
	return ChainAnchor{size > 0, int64(size), w[1], block, at, depth(head, block)}, nil //nolint:gosec // compared above
}

// topicAnchored is that of LogAnchored(bytes32,uint64,bytes32,string), the event of a registry
// by which it tells of each checkpoint.
const topicAnchored = "0x41c49877b9a80bb6333195533a8781148440aaf0785ed8a065f28e874a491d30"

// AnchorsOf lists every checkpoint of a log that the registry told of, in the order of their
// blocks: the registry itself says only which is the largest, and takes a larger one whatever
// stood below it. All nodes of the chain must list the same.
func (c *Chains) AnchorsOf(ctx context.Context, chain TrustChain, origin string) (list []ChainAnchor, err error) {
	ctx, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	nodes := c.of(chain)
	_, head, err := c.call(ctx, chain, selectorLast+word(32)+abiText(origin), 4)
	if err != nil {
		return nil, err
	}
	for i, n := range nodes {
		events := &chainEvents{node: n, registry: chain.Registry, origin: origin, head: head, left: maxListings}
		if err := events.read(ctx, 0, head); err != nil {
			return nil, err
		}
		if i > 0 && !slices.Equal(events.list, list) {
			return nil, refuse("ethereum", "%s and %s do not list the same checkpoints up to block %d: one of them lies, or keeps no old events", nodes[0].name, n.name, head)
		}
		list = events.list
	}
	return list, nil
}

// chainEvents is what one node lists of a registry's events about a log.
type chainEvents struct {
	node     *chainNode
	registry string
	origin   string
	head     uint64
	left     int // requests
	list     []ChainAnchor
}

type chainLog struct {
	Address     string   `json:"address"`
	Topics      []string `json:"topics"`
	Data        string   `json:"data"`
	BlockNumber string   `json:"blockNumber"`
	Removed     bool     `json:"removed"`
}

// read lists the events of some blocks. Nodes answer only so many at once, each by a rule of
// its own, so what is refused is asked in halves.
func (e *chainEvents) read(ctx context.Context, from, to uint64) error {
	if e.left--; e.left < 0 {
		return refuse("ethereum", "%s lists events in too small parts: name a node that lists those of the whole chain", e.node.name)
	}
	var logs []chainLog
	hexOf := func(n uint64) string { return "0x" + strconv.FormatUint(n, 16) }
	err := e.node.ask(ctx, &logs, "eth_getLogs", map[string]any{"address": e.registry, "topics": []string{topicAnchored}, "fromBlock": hexOf(from), "toBlock": hexOf(to)})
	if err == nil && logs == nil {
		err = e.node.lie("no list of events")
	}
	if err != nil {
		if ctx.Err() != nil || from == to {
			return err
		}
		middle := from + (to-from)/2
		if err := e.read(ctx, from, middle); err != nil {
			return err
		}
		return e.read(ctx, middle+1, to)
	}
	for _, l := range logs {
		if err := e.take(l); err != nil {
			return err
		}
	}
	return nil
}

// take reads one event: hash of the origin and size are its topics, root and origin its data.
func (e *chainEvents) take(l chainLog) error {
	odd := func() error { return e.node.lie("an event that a registry does not make") }
	if l.Removed {
		return nil
	}
	block, err := quantity(l.BlockNumber)
	data, errData := hex.DecodeString(strings.TrimPrefix(l.Data, "0x"))
	if err != nil || errData != nil || block > e.head || !strings.EqualFold(l.Address, e.registry) ||
		len(l.Topics) != 3 || !strings.EqualFold(l.Topics[0], topicAnchored) || len(data) < 3*wordSize || len(data)%wordSize != 0 {
		return odd()
	}
	topic, err := hex.DecodeString(strings.TrimPrefix(l.Topics[2], "0x"))
	if err != nil || len(topic) != wordSize {
		return odd()
	}
	w := words{[wordSize]byte(topic), [wordSize]byte(data), [wordSize]byte(data[wordSize:]), [wordSize]byte(data[2*wordSize:])}
	size, ok := w.number(0)
	offset, ok2 := w.number(2)
	n, ok3 := w.number(3)
	text := data[3*wordSize:]
	if !ok || !ok2 || !ok3 || size == 0 || size > MaxTreeSize || offset != 2*wordSize || n > uint64(len(text)) {
		return odd()
	}
	if string(text[:n]) == e.origin {
		if len(e.list) == maxEvents {
			return e.node.lie("more than %d checkpoints of one log", maxEvents)
		}
		e.list = append(e.list, ChainAnchor{Exists: true, Size: int64(size), Root: w[1], Block: block, Depth: depth(e.head, block)}) //nolint:gosec // compared above
	}
	return nil
}

// RecordOf asks for a passport: the version that it is about, and the SHA-256 of its
// canonical form.
func (c *Chains) RecordOf(ctx context.Context, chain TrustChain, modelID, version string, content [32]byte) (r ChainRecord, err error) {
	first, second := abiText(modelID), abiText(version)
	data := selectorRecord + word(96) + word(96+uint64(len(first)/2)) + hex.EncodeToString(content[:]) + first + second
	w, head, err := c.call(ctx, chain, data, 5)
	if err != nil {
		return r, err
	}
	exists, ok := w.flag(0)
	stated, ok1 := w.moment(1)
	block, ok2 := w.number(2)
	at, ok3 := w.moment(3)
	r = ChainRecord{exists, stated, block, at, "0x" + hex.EncodeToString(w[4][12:]), depth(head, block)}
	if !ok || !ok1 || !ok2 || !ok3 || [12]byte(w[4][:12]) != [12]byte{} || block > head {
		return r, refuse("ethereum", "the registry's answer makes no sense: is there a ProductionRegistry at %s?", chain.Registry)
	}
	return r, nil
}

func depth(head, block uint64) uint64 {
	if block == 0 || block > head {
		return 0
	}
	return head - block + 1
}

// words are what a function of a contract returned.
type words [][wordSize]byte

func (w words) number(i int) (n uint64, ok bool) {
	for _, b := range w[i][:wordSize-8] {
		if b != 0 {
			return 0, false
		}
	}
	for _, b := range w[i][wordSize-8:] {
		n = n<<8 | uint64(b)
	}
	return n, true
}

func (w words) flag(i int) (bool, bool) {
	n, ok := w.number(i)
	return n == 1, ok && n <= 1
}

func (w words) moment(i int) (time.Time, bool) {
	n, ok := w.number(i)
	if n > maxBlockTime {
		return time.Time{}, false
	}
	return time.Unix(int64(n), 0).UTC(), ok //nolint:gosec // compared above
}

// word writes a number, abiText a text, as arguments of a function.
func word(n uint64) string {
	s := strconv.FormatUint(n, 16)
	return strings.Repeat("0", hexDigitsOfWord-len(s)) + s
}

func abiText(s string) string {
	pad := (wordSize - len(s)%wordSize) % wordSize
	return word(uint64(len(s))) + hex.EncodeToString([]byte(s)) + strings.Repeat("00", pad)
}

// call asks all nodes of a chain for the same function at the same block, which all of them
// must have, and returns what they agree on and the block's number.
func (c *Chains) call(ctx context.Context, chain TrustChain, data string, n int) (words, uint64, error) {
	nodes := c.of(chain)
	if len(nodes) == 0 {
		return nil, 0, refuse("ethereum", "no node of the chain %d is named", chain.ChainID)
	}
	heads := make([]uint64, len(nodes))
	for i, node := range nodes {
		var text string
		if err := node.ask(ctx, &text, "eth_blockNumber"); err != nil {
			return nil, 0, err
		}
		var err error
		if heads[i], err = quantity(text); err != nil {
			return nil, 0, node.lie("its newest block has the number %s", quote(text))
		}
	}
	// Nodes are never quite equally far. The block that all have was the newest a moment ago.
	head := slices.Min(heads)
	at := "0x" + strconv.FormatUint(head, 16)
	var agreed words
	var hash string
	for i, node := range nodes {
		b, err := node.block(ctx, head)
		if err != nil {
			return nil, 0, err
		}
		var text string
		if err := node.ask(ctx, &text, "eth_call", map[string]string{"to": chain.Registry, "data": "0x" + data}, at); err != nil {
			return nil, 0, err
		}
		got, err := node.words(text, n)
		if err != nil {
			return nil, 0, err
		}
		if i > 0 && (!slices.Equal(got, agreed) || b.Hash != hash) {
			return nil, 0, refuse("ethereum", "%s and %s do not agree at block %d: one of them lies, or follows another history", nodes[0].name, node.name, head)
		}
		agreed, hash = got, b.Hash
	}
	return agreed, head, nil
}

func (n *chainNode) words(text string, count int) (words, error) {
	if text == "0x" {
		return nil, refuse("ethereum", "%s finds no contract at that address of its chain %d", n.name, n.id)
	}
	b, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err != nil || len(b) != count*wordSize {
		return nil, n.lie("%d words were asked for, %d bytes came", count, len(b))
	}
	w := make(words, count)
	for i := range w {
		w[i] = [wordSize]byte(b[i*wordSize:])
	}
	return w, nil
}

type chainBlock struct {
	Number string `json:"number"`
	Hash   string `json:"hash"`
}

func (n *chainNode) block(ctx context.Context, number uint64) (b chainBlock, err error) {
	at := "0x" + strconv.FormatUint(number, 16)
	if err := n.ask(ctx, &b, "eth_getBlockByNumber", at, false); err != nil {
		return b, err
	}
	if b.Number != at || !isHash(b.Hash) {
		return b, n.lie("the block %d is not there, or is another", number)
	}
	return b, nil
}

type chainReceipt struct {
	Status      string `json:"status"`
	To          string `json:"to"`
	BlockNumber string `json:"blockNumber"`
	BlockHash   string `json:"blockHash"`
	Hash        string `json:"transactionHash"`
}

// receipt asks for what became of a transaction; nil if the node does not know it (any more).
func (n *chainNode) receipt(ctx context.Context, hash string) (*chainReceipt, error) {
	var r *chainReceipt
	if err := n.ask(ctx, &r, "eth_getTransactionReceipt", hash); err != nil || r == nil {
		return nil, err
	}
	if !strings.EqualFold(r.Hash, hash) {
		return nil, n.lie("the receipt of another transaction came")
	}
	return r, nil
}

func isHash(s string) bool {
	text, ok := strings.CutPrefix(s, "0x")
	b, err := hex.DecodeString(text)
	return ok && err == nil && len(b) == 32
}

// quantity reads a number as JSON-RPC writes it: 0x and hexadecimal digits without zeros in
// front.
func quantity(s string) (uint64, error) {
	text, ok := strings.CutPrefix(s, "0x")
	v, err := strconv.ParseUint(text, 16, 64)
	if !ok || err != nil || strconv.FormatUint(v, 16) != strings.ToLower(text) {
		return 0, errors.New("is not a quantity")
	}
	return v, nil
}

func (n *chainNode) lie(format string, args ...any) error {
	return refuse("ethereum", "%s answers what cannot be: %s", n.name, fmt.Sprintf(format, args...))
}

// ask calls a method of JSON-RPC 2.0.
func (n *chainNode) ask(ctx context.Context, into any, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return refuse("ethereum", "%s was not asked: %v", n.name, context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeout(ctx, chainPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(body))
	if err != nil {
		return refuse("ethereum", "the address of %s cannot be used", n.name)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := n.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, which may hold a secret
		}
		return refuse("ethereum", "%s did not answer: %v", n.name, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxChainAnswer+1))
	switch {
	case err != nil:
		return refuse("ethereum", "%s did not answer to the end: %v", n.name, err)
	case len(text) > maxChainAnswer:
		return n.lie("more than %d bytes", maxChainAnswer)
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	switch err := json.Unmarshal(text, &answer); {
	case err != nil:
		return refuse("ethereum", "%s answered with status %d, and no JSON: is it an endpoint of Ethereum's JSON-RPC?", n.name, resp.StatusCode)
	case answer.Error != nil:
		return refuse("ethereum", "%s refused %s: %s", n.name, method, quote(answer.Error.Message))
	case len(answer.Result) == 0:
		return n.lie("neither a result nor an error for %s", method)
	}
	if err := json.Unmarshal(answer.Result, into); err != nil {
		return n.lie("the result of %s is of another form", method)
	}
	return nil
}
