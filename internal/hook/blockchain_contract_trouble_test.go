package hook

import (
	"context"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"caos"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/ethereum"
	"caos/internal/ethereum/binding"
)

// says waits until a step of an execution that has not ended says why it does not go on.
func (w *world) says(id, words string) {
	w.t.Helper()
	var last *engine.Execution
	defer func() {
		if w.t.Failed() {
			raw, _ := json.Marshal(last)
			w.t.Logf("%s", raw)
		}
	}()
	w.eventually("it says "+words, func() bool {
		x, err := w.engine.Get(context.Background(), id)
		w.ok(err)
		last = x
		if x.Status.Final() {
			w.t.Fatalf("it ended: %s", failure(x))
		}
		return slices.ContainsFunc(x.Steps, func(s engine.StepRecord) bool { return s.Error != nil && strings.Contains(*s.Error, words) })
	})
	var out ContractOutput
	w.ok(json.Unmarshal(last.Output, &out))
	if out.TransactionStatus != nil && *out.TransactionStatus != txPending {
		w.t.Errorf("it says %s while it waits", *out.TransactionStatus)
	}
}

// confirmedOnce holds an execution to its end and to one record on the chain.
func (w *world) confirmedOnce(id string) ContractOutput {
	w.t.Helper()
	x, out := w.end(id)
	if x.Status != engine.Succeeded || *out.TransactionStatus != txConfirmed {
		w.t.Fatalf("%s: %s %s", x.Status, failure(x), x.Output)
	}
	if n := w.dirs.net.recordedOn(w.t, model); n != 1 {
		w.t.Errorf("recorded %d times", n)
	}
	return out
}

// While the endpoint is down, hangs or is on another chain an execution waits, says why, and
// goes on by itself.
func TestBlockchainContractEndpoints(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		begin, end func(*testNetwork)
		says       string
	}{
		"down": {func(n *testNetwork) { n.proxy.Down(true) }, func(n *testNetwork) { n.proxy.Down(false) }, "waits for it"},
		"on another chain": { // as whoever comes back is asked first
			func(n *testNetwork) {
				n.proxy.Fail("eth_call", -32603, "gone")
				n.proxy.WrongChain(5)
				n.proxy.Down(true)
			},
			func(n *testNetwork) { n.proxy.Down(false) }, "waits for it"},
		"answers are lost": {func(n *testNetwork) { n.proxy.LoseAnswer("eth_sendRawTransaction", 1) }, func(n *testNetwork) { n.proxy.LoseAnswer("eth_sendRawTransaction", 0) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := chainWorld(t, db.SQLite, nil)
			w.registerRegistry(nil)
			c.begin(w.dirs.net)
			x, err := w.send("mlo", contractInput(w.dirs.net, nil))
			w.ok(err)
			if c.says != "" {
				w.says(x.ID, c.says)
			}
			c.end(w.dirs.net)
			if name == "on another chain" {
				w.says(x.ID, "on chain 5")
				w.dirs.net.proxy.WrongChain(0)
				w.dirs.net.proxy.Fail("eth_call", 0, "")
			}
			w.dirs.ahead.Add(int64(time.Minute)) // an endpoint that was wrong is left alone for half of it
			w.confirmedOnce(x.ID)
		})
	}
}

// lockedSigner is an account whose key does not open, as with a wrong password.
type lockedSigner struct {
	ethereum.Signer
	open atomic.Bool
}

func (s *lockedSigner) Sign(ctx context.Context, tx *types.Transaction, id *big.Int) (*types.Transaction, error) {
	if !s.open.Load() {
		return nil, caos.Errorf(caos.Unavailable, "the account recorder cannot sign: the password is wrong")
	}
	return s.Signer.Sign(ctx, tx, id)
}

// A key that does not open, and an account without funds, hold the execution up until
// somebody has seen to it.
func TestBlockchainContractAccount(t *testing.T) {
	t.Parallel()
	t.Run("wrong password", func(t *testing.T) {
		var locked *lockedSigner
		w := chainWorld(t, db.SQLite, func(n *testNetwork) {
			locked = &lockedSigner{Signer: n.signers["recorder"]}
			n.signers["recorder"] = locked
		})
		w.registerRegistry(nil)
		x, err := w.send("mlo", contractInput(w.dirs.net, nil))
		w.ok(err)
		w.says(x.ID, "password is wrong")
		locked.open.Store(true)
		w.confirmedOnce(x.ID)
	})
	t.Run("no funds", func(t *testing.T) {
		var rich ethereum.Signer
		w := chainWorld(t, db.SQLite, func(n *testNetwork) {
			rich = n.signers["recorder"]
			text, _, err := ethereum.NewKeystore([]byte("word"))
			if err != nil {
				t.Fatal(err)
			}
			poor, err := ethereum.OpenKeystore(text, []byte("word"))
			if err != nil {
				t.Fatal(err)
			}
			n.signers["recorder"] = poor
		})
		n := w.dirs.net
		// The new account may record.
		role := crypto.Keccak256Hash([]byte("RECORDER_ROLE"))
		grant := binding.NewProductionRegistry().PackGrantRole(role, n.signers["recorder"].Address())
		n.wallet(t, rich, &n.registry, grant, 2, 0)
		w.registerRegistry(nil)
		w.eventually("it may", func() bool {
			_, err := w.chain.Client().Call(context.Background(), ethereum.Call{From: n.signers["recorder"].Address(), To: n.registry, Data: w.recordData()}, nil)
			return err == nil
		})
		x, err := w.send("mlo", contractInput(n, nil))
		w.ok(err)
		w.says(x.ID, "has 0 wei")
		to := n.signers["recorder"].Address()
		n.wallet(t, rich, &to, nil, 2, 1000)
		w.confirmedOnce(x.ID)
	})
}

// recordData is the call of contractInput.
func (w *world) recordData() []byte {
	w.t.Helper()
	data, err := ethereum.PackRecord(ethereum.Production{ModelID: model, Version: "2.1.0", ContentHash: common.HexToHash(contentHash), Timestamp: 1700000000})
	w.ok(err)
	return data
}

// What goes wrong only in the block is told as it was there: the contract's words, or that the
// gas was used up.
func TestBlockchainContractFailsInTheBlock(t *testing.T) {
	t.Parallel()
	t.Run("revert", func(t *testing.T) {
		p := newPlaces(t)
		p.net = newNetwork(t, -1)
		p.net.signers["recorder"], p.net.signers["other"] = p.net.signers["other"], p.net.signers["recorder"] // who deployed may pause
		w := p.open(t, dbtest.Open(t, db.SQLite), true)
		w.registerRegistry(nil)
		x, err := w.send("mlo", contractInput(p.net, nil))
		w.ok(err)
		w.reaches(x.ID, "await-confirmation")
		p.net.wallet(t, p.net.signers["other"], &p.net.registry, binding.NewProductionRegistry().PackPause(), 100, 0) // comes first for its tip
		p.net.node.Mine(2)
		x, out := w.end(x.ID)
		if said := failure(x); x.Status != engine.Failed || *out.TransactionStatus != txFailed || !strings.Contains(said, "EnforcedPause") || !strings.Contains(said, "transaction-reverted") {
			t.Errorf("%s: %s", x.Status, said)
		}
		if out.TransactionID == nil || out.BlockNumber == nil || out.GasUsed == nil || out.TransactionReceiptURI == nil {
			t.Errorf("%s", x.Output)
		}
	})
	t.Run("gas used up", func(t *testing.T) {
		w := chainWorld(t, db.SQLite, nil)
		w.registerRegistry(nil)
		w.dirs.net.proxy.Lie("eth_estimateGas", func(json.RawMessage) json.RawMessage { return json.RawMessage(`"0xc350"`) })
		x, err := w.send("mlo", contractInput(w.dirs.net, nil))
		w.ok(err)
		x, out := w.end(x.ID)
		if said := failure(x); x.Status != engine.Failed || *out.TransactionStatus != txFailed || !strings.Contains(said, "gas-used-up") || *out.GasUsed != 60000 {
			t.Errorf("%s: %s %s", x.Status, said, x.Output)
		}
	})
}

// Another wallet takes the nonce: the call gets another one and is recorded once.
func TestBlockchainContractNonceTaken(t *testing.T) {
	t.Parallel()
	w := chainWorld(t, db.SQLite, nil)
	n := w.dirs.net
	w.registerRegistry(nil)
	n.proxy.Fail("eth_sendRawTransaction", -32000, "temporarily away")
	x, err := w.send("mlo", contractInput(n, nil))
	w.ok(err)
	w.reaches(x.ID, "submit-transaction")
	to := n.signers["other"].Address()
	n.wallet(t, n.signers["recorder"], &to, nil, 5, 1) // at the nonce that ours has
	n.proxy.Fail("eth_sendRawTransaction", 0, "")
	w.confirmedOnce(x.ID)
	page, _, err := w.chain.Transactions(context.Background(), chain.TransactionFilter{ExecutionID: x.ID}, "")
	w.ok(err)
	if len(page) != 1 || page[0].Attempts < 2 {
		t.Errorf("%+v", page)
	}
}

// The last three blocks are replaced by others while the execution waits, and what was in them
// is forgotten: it is sent again, and is PENDING until it is final.
func TestBlockchainContractReorganised(t *testing.T) {
	t.Parallel()
	p := newPlaces(t)
	p.net = newNetwork(t, -1)
	p.net.settings.Confirmations = 5
	w := p.open(t, dbtest.Open(t, db.SQLite), true)
	w.registerRegistry(nil)
	x, err := w.send("mlo", contractInput(p.net, nil))
	w.ok(err)
	w.reaches(x.ID, "await-confirmation")
	block := func() *uint64 {
		x, err := w.engine.Get(context.Background(), x.ID)
		w.ok(err)
		var out ContractOutput
		w.ok(json.Unmarshal(x.Output, &out))
		if *out.TransactionStatus != txPending {
			t.Fatalf("%s", x.Output)
		}
		return out.BlockNumber
	}
	p.net.node.Mine(3)
	w.eventually("it is in a block", func() bool { return block() != nil })
	if lost := p.net.node.Reorg(3); len(lost) != 1 {
		t.Fatalf("%d transactions were in the blocks", len(lost))
	}
	w.eventually("it is in none", func() bool { return block() == nil })
	w.eventually("it is sent again", func() bool {
		p.net.node.Mine(1)
		return p.net.recordedOn(t, model) == 1
	})
	p.net.node.Mine(5)
	w.confirmedOnce(x.ID)
}

// Who cancels an execution stops what is not signed. What is signed goes its way, and the
// execution says so.
func TestBlockchainContractCancelled(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := chainWorld(t, db.SQLite, nil)
	n := w.dirs.net
	w.registerRegistry(nil)
	n.proxy.Down(true)
	x, err := w.send("mlo", contractInput(n, nil))
	w.ok(err)
	w.says(x.ID, "waits for it")
	_, err = w.engine.Cancel(ctx, x.ID, "not today", w.as("mlo"), nil)
	w.ok(err)
	if x, out := w.end(x.ID); x.Status != engine.Cancelled || *out.TransactionStatus != txFailed {
		t.Errorf("%s %s", x.Status, x.Output)
	}
	n.proxy.Down(false)
	n.proxy.Fail("eth_sendRawTransaction", -32000, "temporarily away")
	x, err = w.send("mlo", contractInput(n, nil))
	w.ok(err)
	w.reaches(x.ID, "submit-transaction")
	_, err = w.engine.Cancel(ctx, x.ID, "not today", w.as("mlo"), nil)
	w.ok(err)
	x, out := w.end(x.ID)
	if x.Status != engine.Cancelled || *out.TransactionStatus != txPending || !strings.Contains(failure(x), "transaction-stands") {
		t.Errorf("%s %s %s", x.Status, x.Output, failure(x))
	}
	n.proxy.Fail("eth_sendRawTransaction", 0, "")
	w.eventually("it is recorded all the same", func() bool { return n.recordedOn(t, model) == 1 })
}
