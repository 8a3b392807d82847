package chaintest_test

import (
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	"go.uber.org/goleak"

	"caos/internal/ethereum/chaintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is of a node, closed with the test.
func client(t *testing.T, url string) *ethclient.Client {
	t.Helper()
	// Without connections kept for later, which would look like leaks.
	r, err := rpc.DialOptions(t.Context(), url, rpc.WithHTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}))
	if err != nil {
		t.Fatal(err)
	}
	c := ethclient.NewClient(r)
	t.Cleanup(c.Close)
	return c
}

// pay sends one wei to nobody, without waiting for a block.
func pay(t *testing.T, c *ethclient.Client, chain *chaintest.Chain, nonce uint64) *types.Transaction {
	t.Helper()
	key, err := keystore.DecryptKey(chain.Accounts[0].Keystore, chain.Accounts[0].Password)
	if err != nil {
		t.Fatal(err)
	}
	id := new(big.Int).SetUint64(chain.ChainID)
	tx, err := types.SignNewTx(key.PrivateKey, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, To: &common.Address{1}, Value: big.NewInt(1), Gas: 21000, GasFeeCap: big.NewInt(3e9), GasTipCap: big.NewInt(1e9),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SendTransaction(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	return tx
}

// mined waits for a receipt.
func mined(t *testing.T, c *ethclient.Client, hash common.Hash) *types.Receipt {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if r, err := c.TransactionReceipt(t.Context(), hash); err == nil {
			return r
		}
		<-tick.C
	}
	t.Fatalf("%s is not mined", hash)
	return nil
}

func TestChain(t *testing.T) {
	chain := chaintest.Start(t, chaintest.Options{ChainID: 4242, Accounts: 2})
	c := client(t, chain.URL)
	if id, err := c.ChainID(t.Context()); err != nil || id.Uint64() != 4242 || len(chain.Accounts) != 2 {
		t.Fatal(id, err, len(chain.Accounts))
	}
	registry := chain.Deploy(t)
	if code, err := c.CodeAt(t.Context(), registry, nil); err != nil || len(code) < 1000 {
		t.Fatal(len(code), err)
	}
	nonce, err := c.NonceAt(t.Context(), chain.Accounts[0].Address, nil)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("a killed chain goes on where it was", func(t *testing.T) {
		tx := pay(t, c, chain, nonce)
		before := mined(t, c, tx.Hash())
		url := chain.URL
		chain.Kill()
		chain.Restart()
		if chain.URL != url {
			t.Fatal(chain.URL, url)
		}
		after := mined(t, client(t, chain.URL), tx.Hash())
		if after.BlockHash != before.BlockHash {
			t.Fatal(before.BlockHash, after.BlockHash)
		}
	})

	t.Run("a reorganisation forgets", func(t *testing.T) {
		chain.SetBlockTime(chaintest.Manual)
		first := pay(t, c, chain, nonce+1)
		chain.Mine(1)
		second := pay(t, c, chain, nonce+2)
		chain.Mine(2)
		was := mined(t, c, second.Hash())
		head, _ := c.BlockNumber(t.Context())
		gone := chain.Reorg(3)
		if len(gone) != 2 || gone[0] != first.Hash() || gone[1] != second.Hash() {
			t.Fatal(gone)
		}
		if now, _ := c.BlockNumber(t.Context()); now != head {
			t.Fatal("the chain has another length", now, head)
		}
		if r, err := c.TransactionReceipt(t.Context(), second.Hash()); err == nil {
			t.Fatal("still mined", r.BlockHash, was.BlockHash)
		}
		if _, _, err := c.TransactionByHash(t.Context(), first.Hash()); err == nil {
			t.Fatal("still known")
		}
		header, err := c.HeaderByNumber(t.Context(), was.BlockNumber)
		if err != nil || header.Hash() == was.BlockHash {
			t.Fatal("the block was not replaced", err)
		}
		// The same bytes may be sent again.
		for _, tx := range []*types.Transaction{first, second} {
			if err := c.SendTransaction(t.Context(), tx); err != nil {
				t.Fatal(err)
			}
		}
		chain.Mine(1)
		mined(t, c, second.Hash())
		if gone := chain.Reorder(1); len(gone) != 2 {
			t.Fatal(gone)
		}
		again := mined(t, c, first.Hash())
		if again.BlockNumber.Uint64() != head+2 {
			t.Fatal(again.BlockNumber, head)
		}
	})

	t.Run("what waits is dropped", func(t *testing.T) {
		tx := pay(t, c, chain, nonce+3)
		if n := chain.DropPending(); n != 1 {
			t.Fatal(n)
		}
		chain.Mine(1)
		if _, _, err := c.TransactionByHash(t.Context(), tx.Hash()); err == nil {
			t.Fatal("still known")
		}
	})

	t.Run("a block at once, or on the clock", func(t *testing.T) {
		chain.SetBlockTime(50 * time.Millisecond)
		mined(t, c, pay(t, c, chain, nonce+3).Hash())
		chain.SetBlockTime(0)
		mined(t, c, pay(t, c, chain, nonce+4).Hash())
	})
}

func TestProxy(t *testing.T) {
	chain := chaintest.Start(t, chaintest.Options{})
	p := chaintest.NewProxy(t, chain.URL)
	c := client(t, p.URL)
	number := func() error { _, err := c.BlockNumber(t.Context()); return err }

	if err := number(); err != nil || p.Count("eth_blockNumber") != 1 {
		t.Fatal(err)
	}
	p.Down(true)
	if number() == nil {
		t.Fatal("it answers although it is down")
	}
	p.Down(false)
	p.WrongChain(5)
	if id, err := c.ChainID(t.Context()); err != nil || id.Uint64() != 5 {
		t.Fatal(id, err)
	}
	p.WrongChain(0)
	p.Lie("eth_blockNumber", func(json.RawMessage) json.RawMessage { return json.RawMessage(`"0x99"`) })
	if n, err := c.BlockNumber(t.Context()); err != nil || n != 0x99 {
		t.Fatal(n, err)
	}
	p.Lie("eth_blockNumber", nil)
	p.Fail("eth_blockNumber", -32000, "header not found")
	if err := number(); err == nil || !strings.Contains(err.Error(), "header not found") {
		t.Fatal(err)
	}
	p.Fail("eth_blockNumber", 0, "")
	p.Hang(true)
	done := make(chan error, 1)
	go func() { done <- number() }()
	p.Hang(false)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.LoseAnswer("eth_sendRawTransaction", 1)
	key, err := keystore.DecryptKey(chain.Accounts[1].Keystore, chain.Accounts[1].Password)
	if err != nil {
		t.Fatal(err)
	}
	id := new(big.Int).SetUint64(chain.ChainID)
	tx, err := types.SignNewTx(key.PrivateKey, types.LatestSignerForChainID(id), &types.DynamicFeeTx{ChainID: id, To: &common.Address{1}, Gas: 21000, GasFeeCap: big.NewInt(3e9), GasTipCap: big.NewInt(1e9)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SendTransaction(t.Context(), tx); err == nil {
		t.Fatal("the answer was not lost")
	}
	mined(t, c, tx.Hash()) // the effect was not
	p.LoseAnswer("eth_blockNumber", 0.5)
	failed := 0
	for range 10 {
		if number() != nil {
			failed++
		}
	}
	if failed != 5 {
		t.Fatal(failed)
	}
}
