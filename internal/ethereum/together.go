package ethereum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"caos"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// This file has what is asked of several endpoints at once, because one alone could lie.

// An endpoint is far behind when the best one's head is farther than both: blocks come in
// bursts, and a chain that makes a block per transaction may rest for days.
const (
	farBlocks = 8
	farTime   = time.Minute
)

// ahead is how far the time of a block may lie after ours, for clocks that differ. A network
// takes no block from the future, and whoever invents a head that makes the others look far
// behind has to date it after theirs.
const ahead = 2 * time.Minute

// How long the others have once one has answered: an endpoint that hangs must not hold up
// what another one said. Where they are compared they have longer.
const (
	grace    = time.Second
	patience = 5 * time.Second
)

// abreast is how many receipts are compared at once.
const abreast = 8

// rounds is how often a disagreement is looked at again: nodes hear of a block one after
// another.
const rounds = 3

var errGrace = errors.New("the others had answered")

// said is what one endpoint answered.
type said[T any] struct {
	from  *endpoint
	value T
	err   *RPCError
}

// everyone puts a question to endpoints at once and returns when all have answered or
// failed, or wait is over since the first answer. It leaves no goroutine behind.
func everyone[T any](ctx context.Context, c *Client, to []*endpoint, q question[T], wait time.Duration) []said[T] {
	all := make([]said[T], len(to))
	if len(to) == 1 {
		all[0].from = to[0]
		all[0].value, all[0].err = one(ctx, c, to[0], q)
		return all
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var first sync.Once
	var timer *time.Timer
	for i, e := range to {
		wg.Go(func() {
			all[i].from = e
			all[i].value, all[i].err = one(ctx, c, e, q)
			if err := all[i].err; err == nil || err.answered() {
				first.Do(func() { timer = time.AfterFunc(wait, func() { cancel(errGrace) }) })
			}
		})
	}
	wg.Wait()
	if timer != nil {
		timer.Stop()
	}
	return all
}

// everywhere is everyone, for whom only values count: those there are, at least one.
func everywhere[T any](ctx context.Context, c *Client, to []*endpoint, q question[T], wait time.Duration) ([]said[T], error) {
	var out []said[T]
	var missing, last *RPCError
	for _, s := range everyone(ctx, c, to, q, wait) {
		switch {
		case s.err == nil:
			out = append(out, s)
		case s.err.Kind == Missing:
			missing = s.err
		default:
			last = worse(last, s.err)
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case missing != nil:
		return nil, missing.public()
	case last != nil:
		return nil, last.public()
	}
	return nil, c.nobody(q.method)
}

// agreed puts a question to all endpoints that are up to date; they have to give the same
// answer, byte by byte, and to be as many as Settings.Agree asks for. words are what a
// disagreement says of one.
func agreed(ctx context.Context, c *Client, q question[[]byte], words func([]byte) string) ([]byte, error) {
	all, err := everywhere(ctx, c, c.usable(true), q, patience)
	if err != nil {
		return nil, err
	}
	says, same := make([]string, 0, len(all)), true
	for _, a := range all {
		same = same && string(a.value) == string(all[0].value)
		says = append(says, a.from.shown+" has "+words(a.value))
	}
	if !same {
		return nil, disagreement(q.method, says)
	}
	return all[0].value, c.enough(q.method, len(all))
}

func disagreement(method string, says []string) error {
	text := ""
	for i, s := range says {
		if i > 0 {
			text += "; "
		}
		text += s
	}
	return (&RPCError{Kind: Disagree, Method: method, Text: text, Endpoints: says}).public()
}

// Head returns the newest block that every endpoint has: of several heads the lowest, so
// that nobody can make a block look deeper than it lies. An endpoint that is far behind the
// best is left out.
func (c *Client) Head(ctx context.Context) (Block, error) {
	all, err := everywhere(ctx, c, c.usable(false), question[Block]{"eth_getBlockByNumber", []any{"latest", false}, blockOf}, grace)
	if err != nil {
		return Block{}, err
	}
	// A clock of ours that is wrong makes all of them come from the future: then all count.
	present := slices.ContainsFunc(all, func(a said[Block]) bool { return !a.from.invented(a.value) })
	var best Block
	for _, a := range all {
		if (!present || !a.from.invented(a.value)) && a.value.Number >= best.Number {
			best = a.value
		}
	}
	var head *Block
	for _, a := range all {
		far := a.value.Number+farBlocks < best.Number && a.value.Time.Add(farTime).Before(best.Time)
		a.from.heads(a.value, far)
		if !far && (head == nil || a.value.Number < head.Number) {
			head = &a.value
		}
	}
	return *head, nil
}

// invented reports whether a head is none that a network could have by now.
func (e *endpoint) invented(b Block) bool { return b.Time.After(e.now().Add(ahead)) }

// heads notes how far an endpoint is.
func (e *endpoint) heads(b Block, behind bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if behind && !e.behind {
		e.logger.Warn("an endpoint of the chain is far behind", "endpoint", e.shown, "head", b.Number)
	}
	e.head, e.headTime, e.behind = b.Number, b.Time, behind
}

// Send broadcasts a signed transaction through every endpoint, so that one that swallows it
// does no harm. It is sent when one of them took it. An error of kind already-known means
// that the network has it.
func (c *Client) Send(ctx context.Context, raw []byte) error {
	want := crypto.Keccak256Hash(raw)
	if new(types.Transaction).UnmarshalBinary(raw) != nil {
		return caos.Errorf(caos.Internal, "what is to be broadcast is no transaction")
	}
	q := question[common.Hash]{"eth_sendRawTransaction", []any{hexutil.Bytes(raw)}, hashOf}
	var refused, last *RPCError
	for _, s := range everyone(ctx, c, c.usable(false), q, grace) {
		switch {
		case s.err == nil && s.value == want:
			return nil
		case s.err == nil:
			last = s.from.nonsense(q.method, fmt.Errorf("it took %s for %s", short(want), short(s.value)))
			s.from.fails(last, s.from.since(), false)
		case !s.err.answered():
			last = worse(last, s.err)
		case refused == nil || s.err.Kind == AlreadyKnown || s.err.Kind == NonceTooLow && refused.Kind != AlreadyKnown:
			refused = s.err // what says most of where the transaction is
		}
	}
	switch {
	case refused != nil:
		return refused.public()
	case last != nil:
		return last.public()
	}
	return c.nobody(q.method)
}

// Quorum is how many endpoints have to agree, and how many there are.
func (c *Client) Quorum() (need, of int) { return c.quorum, len(c.endpoints) }

// enough is an error of kind too-few if fewer endpoints have answered than have to agree.
func (c *Client) enough(method string, answers int) error {
	if answers >= c.quorum {
		return nil
	}
	return (&RPCError{Kind: TooFew, Method: method, Text: QuorumWords(c.quorum, len(c.endpoints), answers)}).public()
}

// QuorumWords say that fewer endpoints answer than have to agree.
func QuorumWords(need, of, answers int) string {
	verb := "answer"
	if answers == 1 {
		verb = "answers"
	}
	return fmt.Sprintf("%d of %d endpoints asked for, %d %s", need, of, answers, verb)
}

// Agree asks every reachable endpoint for the hash of a block and returns an error of kind
// disagreement if they differ, and of kind too-few if fewer have the block than Settings.Agree
// asks for. With one endpoint there is nobody to ask: nil.
func (c *Client) Agree(ctx context.Context, number uint64) error {
	_, err := c.agreedHash(ctx, number)
	return err
}

// Agreed is Agree, and returns the hash that they agree on.
func (c *Client) Agreed(ctx context.Context, number uint64) (common.Hash, error) {
	hash, err := c.agreedHash(ctx, number)
	if err == nil && hash == (common.Hash{}) { // there is one endpoint, which was not asked
		var b Block
		b, err = c.Block(ctx, number)
		hash = b.Hash
	}
	return hash, err
}

func (c *Client) agreedHash(ctx context.Context, number uint64) (common.Hash, error) {
	var hash common.Hash
	err := c.agree(ctx, func() ([]string, bool, error) {
		all, err := everywhere(ctx, c, c.reachable(), blockAt(number), patience)
		if err != nil {
			return nil, false, err
		}
		same := true
		says := make([]string, 0, len(all))
		for _, a := range all {
			same = same && a.value.Hash == all[0].value.Hash
			says = append(says, fmt.Sprintf("%s says that block %d is %s", a.from.shown, number, short(a.value.Hash)))
		}
		if same {
			hash = all[0].value.Hash
			return nil, true, c.enough("eth_getBlockByNumber", len(all))
		}
		return says, false, nil
	})
	return hash, err
}

// AgreeReceipt asks every reachable endpoint for a transaction's receipt and returns an
// error of kind disagreement unless they all say what r says. An endpoint that has the
// receipt's block and not the receipt contradicts it. As many must confirm it as Agree asks
// for.
func (c *Client) AgreeReceipt(ctx context.Context, r *types.Receipt) error {
	if r == nil || r.BlockNumber == nil || !r.BlockNumber.IsUint64() {
		return caos.Errorf(caos.Internal, "a receipt without a block was to be compared")
	}
	if err := c.Agree(ctx, r.BlockNumber.Uint64()); err != nil {
		return err
	}
	return c.agree(ctx, func() ([]string, bool, error) { return c.compareReceipts(ctx, r) })
}

// AgreeReceipts is AgreeReceipt for many, a few at a time. The error is that of the first in
// the list that has one.
func (c *Client) AgreeReceipts(ctx context.Context, list []*types.Receipt) error {
	if len(c.endpoints) == 1 {
		return c.liars()
	}
	errs := make([]error, len(list))
	gate := make(chan struct{}, abreast)
	var wg sync.WaitGroup
	for i, r := range list {
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			errs[i] = c.AgreeReceipt(ctx, r)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) compareReceipts(ctx context.Context, r *types.Receipt) (says []string, same bool, err error) {
	same = true
	answers, confirm := 0, 0
	for _, a := range everyone(ctx, c, c.reachable(), receiptFor(r.TxHash), patience) {
		switch {
		case a.err == nil:
			answers++
			how := sameReceipt(r, a.value)
			if how == "" {
				confirm++
				says = append(says, a.from.shown+" confirms it")
				continue
			}
			same = false
			says = append(says, fmt.Sprintf("%s has another receipt of %s: %s differs", a.from.shown, short(r.TxHash), how))
		case a.err.Kind == Missing:
			answers++
			has, err := one(ctx, c, a.from, blockAt(r.BlockNumber.Uint64()))
			if err == nil && has.Hash == r.BlockHash {
				same = false
				says = append(says, fmt.Sprintf("%s has the block %s and no receipt of %s in it", a.from.shown, short(r.BlockHash), short(r.TxHash)))
			}
		} // one that answers nonsense is out of order and left out, as one that is down
	}
	if answers == 0 && same {
		return nil, false, c.nobody("eth_getTransactionReceipt")
	}
	if same {
		return says, true, c.enough("eth_getTransactionReceipt", confirm)
	}
	return says, false, nil
}

// reachable are the endpoints whose word is compared: also those that are behind.
func (c *Client) reachable() []*endpoint { return c.usable(false) }

// agree looks at a disagreement a few times before it is one.
func (c *Client) agree(ctx context.Context, look func() (says []string, same bool, err error)) error {
	if err := c.liars(); err != nil {
		return err
	}
	if len(c.endpoints) == 1 {
		return nil
	}
	pause := 100 * time.Millisecond
	for round := 1; ; round++ {
		says, same, err := look()
		if err != nil || same {
			return err
		}
		if round == rounds {
			return disagreement("", says)
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return caos.Wrap(caos.Unavailable, context.Cause(ctx), "the endpoints were not compared to the end")
		}
		pause *= 2
	}
}

// liars finds endpoints on our chain id whose chain is another: one side lies.
func (c *Client) liars() error {
	for _, e := range c.endpoints {
		e.mu.Lock()
		forged := e.forged
		e.mu.Unlock()
		if forged != "" {
			return disagreement("eth_getBlockByNumber", []string{forged})
		}
	}
	return nil
}

// Status asks every endpoint how it is, also those that are left alone at present.
func (c *Client) Status(ctx context.Context) []EndpointStatus {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	all := everyone(ctx, c, c.endpoints, question[Block]{"eth_getBlockByNumber", []any{"latest", false}, blockOf}, patience)
	out := make([]EndpointStatus, 0, len(all))
	var best uint64
	for _, a := range all {
		e := a.from
		e.mu.Lock()
		s := EndpointStatus{URL: e.shown, ChainID: e.chainID, Head: e.head}
		if a.err == nil {
			e.head, e.headTime = a.value.Number, a.value.Time
			s.Head = e.head
			best = max(best, s.Head)
		} else {
			s.Error = a.err.Text
		}
		e.mu.Unlock()
		out = append(out, s)
	}
	for i := range out {
		if out[i].Error == "" {
			out[i].Behind = best - out[i].Head
		}
	}
	return out
}
