package chain

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/ethereum"
)

const (
	together   = 64               // transactions that are signed in one commit
	signFor    = 30 * time.Second // how long a round of signing may take, answers of the network and a remote signer included
	pool       = 1024             // transactions of others in a node's pool that are believed
	leap       = 10_000           // nonces that others can have used between two looks
	factsLast  = 500 * time.Millisecond
	awaitOther = 10 * time.Second // how long another node is given to sign
)

// account is an account whose key this node has.
type account struct {
	c       *Chain
	name    string
	address common.Address
	signer  ethereum.Signer // nil: it is not configured any more, see crew
	lease   *lease

	mu    sync.Mutex // of what waits
	queue []*ask
	busy  bool
	woe   string // why what waited last was not signed, "" if it was

	// turn is held by whoever signs, over everything from the choice of a nonce to its commit.
	// Nothing that a commit calls takes it.
	turn  chan struct{}
	next  uint64 // nonce; counts if known is the lease's epoch
	known int64
	used  bool
	facts facts
}

// ask is somebody who waits for a signature.
type ask struct {
	id   string
	done chan answer // holds one
}

type answer struct {
	t   *Transaction
	err error
}

// facts are what the network said of an account.
type facts struct {
	at      time.Time
	fees    ethereum.Fees
	balance *big.Int
	latest  uint64   // transactions that are mined
	pending uint64   // and those in the pool of the node that was asked
	owed    *big.Int // what ours may cost that are signed and not mined
}

// version is an attempt with its bytes.
type version struct {
	n       int
	hash    common.Hash
	nonce   uint64
	raw     []byte
	offer   ethereum.Offer
	cancels bool
	sent    bool
	err     string
}

// signed is what a commit stores of one transaction.
type signed struct {
	r *row
	v version
}

// Sign gives a transaction its nonce and signs it, unless that was done. It returns when it
// is committed. Errors: Unavailable (no chain, no funds, network away, another node has
// the account and does not answer: try again), Conflict for one that was given up.
func (c *Chain) Sign(ctx context.Context, id string) (*Transaction, error) {
	if c.net == nil {
		return nil, errNoChain()
	}
	t, err := c.Transaction(ctx, id)
	if err != nil {
		return nil, err
	}
	if t.Status != Prepared {
		return signedOr(t)
	}
	if err := c.elsewhere(t); err != nil {
		return nil, err
	}
	a := c.accounts[common.HexToAddress(t.From)]
	if a == nil {
		return c.await(ctx, t)
	}
	k := a.enqueue(id)
	select {
	case <-ctx.Done():
		return nil, caos.Wrap(caos.Unavailable, ctx.Err(), "nobody waited for the signature of %s", id)
	case got := <-k.done:
		if errors.Is(got.err, errHeld) {
			return c.await(ctx, t)
		}
		return got.t, got.err
	}
}

// elsewhere refuses what belongs to a chain that configuration named before: its bytes and
// nonces mean nothing on this one.
func (c *Chain) elsewhere(t *Transaction) error {
	if t.ChainID == c.opt.Settings.ChainID {
		return nil
	}
	return caos.Errorf(caos.Conflict, "%s is for chain %d, and CAOS sends to %d", t.TransactionID, t.ChainID, c.opt.Settings.ChainID).WithRule("chain-changed").
		WithHint("it goes on when configuration names its chain again; record anew what it was to record")
}

// signedOr answers for a transaction that is not PREPARED.
func signedOr(t *Transaction) (*Transaction, error) {
	if t.Status == Failed && len(t.Hashes) == 0 {
		return nil, caos.Errorf(caos.Conflict, "%s is not signed any more: %s", t.TransactionID, t.Reason)
	}
	return t, nil
}

// await has the node that holds the account sign.
func (c *Chain) await(ctx context.Context, asked *Transaction) (*Transaction, error) {
	id := asked.TransactionID
	err := c.opt.DB.Write(ctx, func(tx *db.Tx) error {
		// Not for ever: whoever asks looks before each time whether the call may still be made.
		tx.Exec(c.atServer(`UPDATE chain_transactions SET asked = ({{now}} + $1) / 60000000 WHERE transaction_id = $2 AND status = 'PREPARED'`), awaitOther.Microseconds(), id)
		return nil
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, awaitOther)
	defer cancel()
	for look := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			look.Stop()
			err := c.unsigned(asked)
			c.noteWaits([]*ask{{id: id}}, []answer{{err: err}})
			return nil, err
		case <-look.C:
		}
		t, err := c.Transaction(ctx, id)
		if err == nil && t.Status != Prepared {
			look.Stop()
			return signedOr(t)
		}
	}
}

// enqueue has a transaction signed together with others that wait.
func (a *account) enqueue(ids ...string) *ask {
	a.mu.Lock()
	defer a.mu.Unlock()
	var last *ask
	for _, id := range ids {
		last = &ask{id, make(chan answer, 1)}
		a.queue = append(a.queue, last)
	}
	if !a.busy && len(a.queue) > 0 {
		a.busy = true
		a.c.work.Go(a.work)
	}
	return last
}

// work signs what waits, until nothing does.
func (a *account) work() {
	for {
		a.mu.Lock()
		batch := a.queue[:min(len(a.queue), together)]
		a.queue = a.queue[len(batch):]
		a.busy = len(batch) > 0
		a.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		a.round(batch)
	}
}

// round answers everybody in a batch.
func (a *account) round(batch []*ask) {
	ctx, cancel := context.WithTimeout(a.c.life, signFor)
	defer cancel()
	ids := make([]string, len(batch))
	for i, k := range batch {
		ids[i] = k.id
	}
	got, err := a.sign(ctx, ids)
	woe, answers := "", make([]answer, len(batch))
	for i, k := range batch {
		g, ok := got[k.id]
		if !ok {
			g = answer{err: err}
		}
		if g.err != nil && !errors.Is(g.err, errHeld) { // by another node, which knows why
			woe = caos.AsError(g.err).Message
		}
		answers[i] = g
	}
	a.mu.Lock()
	a.woe = woe
	a.mu.Unlock()
	a.c.noteWaits(batch, answers)
	for i, k := range batch {
		k.done <- answers[i]
	}
}

// trouble says why what waited last was not signed here, "" if it was.
func (a *account) trouble() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.woe
}

// sign signs transactions that are PREPARED. err is for those that got has no answer for.
func (a *account) sign(ctx context.Context, ids []string) (got map[string]answer, err error) {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return nil, caos.Wrap(caos.Unavailable, ctx.Err(), "the account %s is busy", a.name)
	}
	for range 4 {
		if got, err = a.try(ctx, ids); !errors.Is(err, errLost) {
			return got, err
		}
		a.known = 0
	}
	return got, err
}

// try signs and commits once. errLost asks to be called again.
func (a *account) try(ctx context.Context, ids []string) (map[string]answer, error) {
	if a.c.cutOff() { // another node may be able to
		return nil, errHeld
	}
	if err := a.lease.hold(ctx); err != nil {
		return nil, err
	}
	epoch := a.lease.held()
	if err := a.ready(ctx, epoch); err != nil {
		return nil, err
	}
	got, list := map[string]answer{}, []signed{}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	found, err := rows(a.c.opt.DB.Reader(ctx), `transaction_id IN (`+places(1, len(ids))+`) ORDER BY prepared_at, transaction_id`, args...)
	if err != nil {
		return nil, err
	}
	offer, err := ethereum.Price(a.facts.fees, a.c.opt.Settings.Caps)
	if err != nil {
		return nil, err
	}
	owed, broke := new(big.Int).Set(a.facts.owed), false
	for _, r := range found {
		if err := a.c.elsewhere(&r.Transaction); err != nil {
			got[r.TransactionID] = answer{err: err}
			continue
		}
		if r.Status != Prepared {
			t, err := signedOr(&r.Transaction)
			got[r.TransactionID] = answer{t, err}
			continue
		}
		owed.Add(owed, new(big.Int).Mul(offer.MaxFee, new(big.Int).SetUint64(r.GasLimit)))
		if a.facts.balance.Cmp(owed) < 0 {
			err := a.poor(ctx, owed)
			broke = true
			got[r.TransactionID] = answer{err: err}
			continue
		}
		v, err := a.version(ctx, r, a.next+uint64(len(list)), offer, false)
		if err != nil {
			got[r.TransactionID] = answer{err: err}
			continue
		}
		list = append(list, signed{r, v})
	}
	if len(list) == 0 {
		return got, nil
	}
	if err := a.commit(ctx, epoch, list); err != nil {
		return got, err
	}
	if !broke {
		a.solvent(ctx)
	}
	a.next += uint64(len(list))
	a.facts.owed = owed
	for _, s := range list {
		got[s.r.TransactionID] = answer{t: &s.r.Transaction}
	}
	return got, nil
}

// poor says that an account cannot pay.
func (a *account) poor(ctx context.Context, need *big.Int) error {
	err := caos.Errorf(caos.Unavailable, "the account %s (%s) has %s wei, and what waits to be mined may cost %s", a.name, a.address.Hex(), a.facts.balance, need).
		WithRule("account-funds").WithHint("send it funds: what waits goes on by itself")
	a.c.raise(ctx, alarm{kind: "CHAIN", metric: metricFunds, subject: a.address.Hex(), severity: high, message: err.Message, actions: []string{"fund the account"}})
	return err
}

// solvent ends the alert of an account that could not pay, unless something waits still.
func (a *account) solvent(ctx context.Context) {
	var left int64
	err := a.c.opt.DB.Reader(ctx)(`SELECT COUNT(*) FROM chain_transactions WHERE live = 1 AND `+a.c.ours+` AND sender = $1 AND status = 'PREPARED' AND reason <> ''`,
		[]any{a.address.Hex()}, func(scan func(...any) error) error { return scan(&left) })
	if err == nil && left == 0 {
		a.c.ended(ctx, metricFunds, a.address.Hex(), "the account can pay for what it is to send")
	}
}

// version makes and signs the bytes of one attempt. A cancelling one does nothing but spend
// the nonce.
func (a *account) version(ctx context.Context, r *row, nonce uint64, offer ethereum.Offer, cancels bool) (version, error) {
	to, gas := common.HexToAddress(r.Address), r.GasLimit
	data := common.FromHex(r.Data)
	if cancels {
		to, gas, data = a.address, minGas, nil
	}
	id := new(big.Int).SetUint64(a.c.opt.Settings.ChainID)
	tx, err := a.signer.Sign(ctx, types.NewTx(&types.DynamicFeeTx{ChainID: id, Nonce: nonce, GasTipCap: offer.Tip, GasFeeCap: offer.MaxFee, Gas: gas, To: &to, Value: new(big.Int), Data: data}), id)
	if err != nil {
		return version{}, err
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return version{}, caos.Wrap(caos.Internal, err, "the signed transaction has no bytes")
	}
	return version{n: r.Attempts + 1, hash: tx.Hash(), nonce: nonce, raw: raw, offer: offer, cancels: cancels}, nil
}

// commit stores what was signed and moves the next nonce, in one commit that is known to
// have happened when it returns nil.
func (a *account) commit(ctx context.Context, epoch int64, list []signed) error {
	first := a.next
	err := a.certain(ctx, list[0].v.hash, func(tx *db.Tx) error {
		a.lease.fence(tx, epoch)
		tx.ExecOne(errLost, `UPDATE chain_accounts SET next_nonce = $1, used = 1 WHERE chain_id = $2 AND address = $3 AND next_nonce = $4`,
			int64(first+uint64(len(list))), int64(a.c.opt.Settings.ChainID), a.address.Hex(), int64(first))
		for _, s := range list {
			if err := a.store(tx, s, Prepared); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		a.used = true
	}
	return err
}

// store writes one attempt of a transaction that is in a state.
func (a *account) store(tx *db.Tx, s signed, from Status) error {
	t, now := &s.r.Transaction, a.c.now()
	status, event := from, "transaction signed with other fees"
	if from == Prepared {
		status, event = Signed, "transaction signed"
		t.SignedAt = &now
	}
	if s.v.cancels {
		event = "transaction cancelled: one that does nothing takes its nonce"
	}
	tip := a.c.view.number()
	tx.ExecOne(errLost, `UPDATE chain_transactions SET nonce = $1, hash = $2, attempts = $3, status = $4, asked = 0, live = 1, overtaken_block = 0, priced_block = $5, priced_at = $6,
			signed_at = $7, reason = '' WHERE transaction_id = $8 AND status = $9 AND attempts = $10`,
		int64(s.v.nonce), s.v.hash.Hex(), int64(s.v.n), string(status), int64(tip), now.UnixMicro(), db.Instant(t.SignedAt), t.TransactionID, string(from), int64(s.v.n-1))
	tx.Exec(`INSERT INTO chain_attempts (transaction_id, n, hash, nonce, raw, max_fee, tip, cancels, dead, signed_at, sent_at, error) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, 0, '')`,
		t.TransactionID, int64(s.v.n), s.v.hash.Hex(), int64(s.v.nonce), "0x"+hex.EncodeToString(s.v.raw), s.v.offer.MaxFee.String(), s.v.offer.Tip.String(), flag(s.v.cancels), now.UnixMicro())
	nonce := s.v.nonce
	t.Status, t.Nonce, t.Hash, t.Attempts, t.Reason = status, &nonce, s.v.hash.Hex(), s.v.n, ""
	if !slices.Contains(t.Hashes, t.Hash) {
		t.Hashes = append(t.Hashes, t.Hash)
	}
	return a.c.transactionRecord(tx, itself(t.ExecutionID), t, event, map[string]any{"nonce": nonce, "attempt": s.v.n, "max_fee_per_gas": s.v.offer.MaxFee.String(),
		"max_priority_fee_per_gas": s.v.offer.Tip.String()})
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// certain runs an audited write until it is known what became of it. A COMMIT that nobody
// answered is sent again: if it had happened, the comparisons in fn fail, and the attempt
// that fn stores is there.
func (a *account) certain(ctx context.Context, hash common.Hash, fn func(tx *db.Tx) error) error {
	for unsure := false; ; {
		err := a.c.opt.DB.Update(ctx, fn)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errLost) && unsure:
			var n int64
			if err := a.c.opt.DB.QueryRow(ctx, `SELECT COUNT(*) FROM chain_attempts WHERE hash = $1`, hash.Hex()).Scan(&n); err != nil {
				return caos.Wrap(caos.Unavailable, err, "the database did not say what became of a signature")
			}
			if n == 1 {
				return nil
			}
			return errLost
		case errors.Is(err, db.ErrUnknown):
			unsure = true
			a.c.warn(ctx, "tell what became of a commit, which is sent again", err)
		case errors.Is(err, db.ErrAborted) && unsure:
		default:
			a.known = 0
			return err
		}
		select {
		case <-ctx.Done():
			a.known = 0
			return caos.Wrap(caos.Unavailable, err, "the database did not say what became of a signature")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ready makes sure that the next nonce and what the network says are known.
func (a *account) ready(ctx context.Context, epoch int64) error {
	if a.known != epoch {
		if err := a.load(ctx); err != nil {
			return err
		}
		a.facts.at = time.Time{}
	}
	if time.Since(a.facts.at) < factsLast {
		a.known = epoch
		return nil
	}
	f, err := a.ask(ctx)
	if err != nil {
		return err
	}
	a.facts = f
	if err := a.reconcile(ctx, epoch); err != nil {
		a.facts.at, a.known = time.Time{}, 0
		return err
	}
	a.known = epoch
	return nil
}

// load reads the account's row, which it makes if there is none.
func (a *account) load(ctx context.Context) error {
	return a.c.opt.DB.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`INSERT INTO chain_accounts (chain_id, address, name, next_nonce, used) VALUES ($1, $2, $3, 0, 0) ON CONFLICT (chain_id, address) DO NOTHING`,
			int64(a.c.opt.Settings.ChainID), a.address.Hex(), a.name)
		var next, used int64
		err := tx.QueryRow(`SELECT next_nonce, used FROM chain_accounts WHERE chain_id = $1 AND address = $2`, int64(a.c.opt.Settings.ChainID), a.address.Hex()).Scan(&next, &used)
		a.next, a.used = uint64(next), used == 1
		return err
	})
}

// ask asks the network, and adds up what may still be spent.
func (a *account) ask(ctx context.Context) (facts, error) {
	var f facts
	var parts sync.WaitGroup
	errs := make([]error, 4)
	parts.Go(func() { f.fees, errs[0] = a.c.net.Fees(ctx) })
	parts.Go(func() { f.balance, errs[1] = a.c.net.Balance(ctx, a.address) })
	parts.Go(func() { f.latest, errs[2] = a.c.net.Nonce(ctx, a.address, false) })
	parts.Go(func() { f.pending, errs[3] = a.c.net.Nonce(ctx, a.address, true) })
	parts.Wait()
	for _, err := range errs {
		if err != nil {
			return f, err
		}
	}
	f.at, f.owed = time.Now(), new(big.Int)
	err := a.c.opt.DB.Reader(ctx)(`SELECT t.gas_limit, a.max_fee FROM chain_transactions t JOIN chain_attempts a ON a.transaction_id = t.transaction_id AND a.n = t.attempts
		WHERE t.live = 1 AND t.`+a.c.ours+` AND t.sender = $1 AND t.status IN ('SIGNED', 'SENT')`, []any{a.address.Hex()}, func(scan func(...any) error) error {
		var gas int64
		var fee string
		err := scan(&gas, &fee)
		if per, ok := new(big.Int).SetString(fee, 10); ok {
			f.owed.Add(f.owed, per.Mul(per, big.NewInt(gas)))
		}
		return err
	})
	return f, err
}

// reconcile moves the next nonce behind what others have sent from the account.
func (a *account) reconcile(ctx context.Context, epoch int64) error {
	base, was := a.facts.latest, a.next
	if a.facts.pending <= base+pool {
		base = max(base, a.facts.pending)
	}
	if base <= was {
		return nil
	}
	if a.used && base-was > leap {
		err := caos.Errorf(caos.Unavailable, "the network says that the account %s has sent %d transactions, %d more than CAOS knows of", a.name, base, base-was).
			WithRule("nonce-implausible").WithHint("an endpoint may be wrong: compare them (caos chain status)")
		a.c.raise(ctx, alarm{kind: "COMPLIANCE", metric: "nonce_implausible", subject: a.address.Hex(), severity: critical, message: err.Message})
		return err
	}
	err := a.c.opt.DB.Update(ctx, func(tx *db.Tx) error {
		a.lease.fence(tx, epoch)
		tx.ExecOne(errLost, `UPDATE chain_accounts SET next_nonce = $1 WHERE chain_id = $2 AND address = $3 AND next_nonce = $4`,
			int64(base), int64(a.c.opt.Settings.ChainID), a.address.Hex(), int64(was))
		words := fmt.Sprintf("another wallet used the account %s: its nonces %d to %d are not ours", a.name, was, base-1)
		if a.used {
			err := a.c.alarm(tx, alarm{kind: "COMPLIANCE", metric: "account_used_elsewhere", subject: a.address.Hex(), severity: high, message: words, actions: []string{"find out who has the key"}})
			if err != nil {
				return err
			}
		}
		return a.c.record(tx, itself(""), auditlog.Record{Resources: []string{a.address.Hex()}, Details: map[string]any{"event": "next nonce moved", "from": was, "to": base,
			"known_account": a.used}})
	})
	if err == nil {
		a.next = base
	}
	return err
}
