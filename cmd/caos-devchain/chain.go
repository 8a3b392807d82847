package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/catalyst"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/eth/filters"
	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"
)

// chain is a node of Ethereum and whoever tells it when to make a block: on the main network
// that is a consensus client, here a clock, a sent transaction or a call.
type chain struct {
	node    *node.Node
	backend *eth.Ethereum

	mu     sync.Mutex // one block, or one reorganisation, at a time
	beacon *catalyst.SimulatedBeacon

	interval chan time.Duration // a new block time for the maker
	stopped  chan struct{}
	made     sync.WaitGroup
}

// rules are those of the main network from the first block on. The client's development
// preset would not do: it has rules of forks to come, under which a call costs four times
// the gas.
func rules(chainID uint64) *params.ChainConfig {
	zero, first := big.NewInt(0), uint64(0)
	return &params.ChainConfig{
		ChainID:        new(big.Int).SetUint64(chainID),
		HomesteadBlock: zero, EIP150Block: zero, EIP155Block: zero, EIP158Block: zero, ByzantiumBlock: zero, ConstantinopleBlock: zero,
		PetersburgBlock: zero, IstanbulBlock: zero, MuirGlacierBlock: zero, BerlinBlock: zero, LondonBlock: zero, ArrowGlacierBlock: zero,
		GrayGlacierBlock: zero, MergeNetsplitBlock: zero, TerminalTotalDifficulty: zero,
		ShanghaiTime: &first, CancunTime: &first, PragueTime: &first, OsakaTime: &first, BPO1Time: &first, BPO2Time: &first,
		DepositContractAddress: params.MainnetChainConfig.DepositContractAddress,
		BlobScheduleConfig:     params.MainnetChainConfig.BlobScheduleConfig,
	}
}

// openChain opens the chain of a folder, or begins it. An empty folder keeps it in memory.
func openChain(dir, host string, port int, g genesis, accounts []account) (*chain, error) {
	alloc := core.SystemContractAllocs()
	million := new(big.Int).Mul(big.NewInt(1_000_000), big.NewInt(params.Ether))
	for _, a := range accounts {
		alloc[common.HexToAddress(a.Address)] = types.Account{Balance: million}
	}
	nodeConfig := node.DefaultConfig
	nodeConfig.Name = "caos-devchain"
	nodeConfig.DataDir = dir
	nodeConfig.P2P = p2p.Config{NoDiscovery: true, NoDial: true} // a network of one
	nodeConfig.HTTPHost, nodeConfig.HTTPPort = host, port
	nodeConfig.HTTPModules = []string{"eth", "net", "web3", "txpool", "dev"}
	nodeConfig.HTTPVirtualHosts = []string{"localhost"} // pages of other hosts may not reach it through a browser
	nodeConfig.IPCPath = ""

	config := ethconfig.Defaults
	config.Genesis = &core.Genesis{
		Config: rules(g.ChainID), GasLimit: ethconfig.Defaults.Miner.GasCeil, BaseFee: big.NewInt(params.InitialBaseFee), Difficulty: big.NewInt(0),
		Alloc: alloc, ExtraData: []byte("caos-devchain"),
	}
	config.NetworkId = g.ChainID
	config.SyncMode = ethconfig.FullSync
	// Every block's state is written when the block is: a killed process loses none, and any
	// block can be gone back to.
	config.NoPruning, config.StateScheme = true, rawdb.HashScheme
	config.SnapshotCache = 0
	config.LogNoHistory = true // logs are found without an index: there are few
	config.DatabaseCache, config.TrieCleanCache, config.TrieDirtyCache = 32, 16, 16
	config.TxPool.NoLocals, config.TxPool.Journal = true, ""
	config.BlobPool.Datadir = ""

	stack, err := node.New(&nodeConfig)
	if err != nil {
		return nil, err
	}
	backend, err := eth.New(stack, &config)
	if err != nil {
		return nil, errors.Join(err, stack.Close())
	}
	c := &chain{node: stack, backend: backend, interval: make(chan time.Duration), stopped: make(chan struct{})}
	stack.RegisterAPIs([]rpc.API{
		{Namespace: "eth", Service: filters.NewFilterAPI(filters.NewFilterSystem(backend.APIBackend, filters.Config{}))},
		{Namespace: "dev", Service: &devAPI{c}},
	})
	if c.beacon, err = catalyst.NewSimulatedBeacon(0, common.Address{}, backend); err != nil {
		return nil, errors.Join(err, stack.Close())
	}
	backend.SetSynced() // there is nobody to catch up with
	if err := stack.Start(); err != nil {
		return nil, errors.Join(err, stack.Close())
	}
	return c, nil
}

// head is the newest block.
func (c *chain) head() *types.Header { return c.backend.BlockChain().CurrentBlock() }

// block makes one block of what waits. Blocks have times in whole seconds, each later than
// the one before, so a chain that makes several a second runs ahead of the clock.
func (c *chain) block() error {
	before := c.head().Hash()
	c.beacon.Commit()
	if c.head().Hash() == before {
		return errors.New("the node made no block; --verbose says why")
	}
	// The database keeps its last writes in memory until they are many, or it is told.
	return c.backend.ChainDb().SyncKeyValue()
}

// mine makes blocks.
func (c *chain) mine(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		if err := c.block(); err != nil {
			return err
		}
	}
	return nil
}

// run makes blocks until the chain is closed.
func (c *chain) run(every time.Duration) {
	sent := make(chan core.NewTxsEvent, 1024)
	subscription := c.backend.TxPool().SubscribeTransactions(sent, true)
	c.made.Go(func() {
		defer subscription.Unsubscribe()
		var clock *time.Timer
		var tick <-chan time.Time
		set := func(d time.Duration) {
			if clock != nil {
				clock.Stop()
			}
			clock, tick, every = nil, nil, d
			if d > 0 {
				clock = time.NewTimer(d)
				tick = clock.C
			}
		}
		set(every)
		for {
			select {
			case <-c.stopped:
				return
			case d := <-c.interval:
				set(d)
				if d == 0 {
					c.drain(sent)
				}
			case <-tick:
				clock.Reset(every)
				c.try()
			case <-sent:
				if every == 0 {
					c.drain(sent)
				}
			}
		}
	})
}

// drain makes blocks until nothing waits that a block would take.
func (c *chain) drain(sent <-chan core.NewTxsEvent) {
	for {
		for len(sent) > 0 {
			<-sent
		}
		c.try()
		// The pool learns of a block later than the chain.
		if err := c.backend.TxPool().Sync(); err != nil {
			return // it was closed
		}
		// One that no block takes, such as one that pays less than the base fee, must not
		// keep this loop running: it goes on only as long as blocks are not empty.
		if waiting, _ := c.backend.TxPool().Stats(); waiting == 0 || c.empty() {
			return
		}
	}
}

func (c *chain) empty() bool { return c.head().GasUsed == 0 }

func (c *chain) try() {
	if err := c.mine(1); err != nil {
		log.Error("No block was made", "err", err)
	}
}

// setInterval changes the block time.
func (c *chain) setInterval(ctx context.Context, d time.Duration) error {
	select {
	case c.interval <- d:
		return nil
	case <-c.stopped:
		return errors.New("the chain is being stopped")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reorganisation is what a reorg did.
type reorganisation struct {
	Removed      []common.Hash `json:"removed"`      // blocks, the newest first
	Transactions []common.Hash `json:"transactions"` // that were in them
	Head         common.Hash   `json:"head"`
	Number       uint64        `json:"number"`
}

// reorg replaces the last blocks by as many empty ones. What was in them is forgotten, as if
// it had never been sent, or mined again in a block after them.
func (c *chain) reorg(depth uint64, again bool) (*reorganisation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	bc, pool := c.backend.BlockChain(), c.backend.TxPool()
	head := c.head()
	if depth < 1 || depth > maxDepth || depth > head.Number.Uint64() {
		return nil, fmt.Errorf("depth must be between 1 and %d, and the chain has %d blocks", maxDepth, head.Number.Uint64())
	}
	var r reorganisation
	var removed types.Transactions
	block := bc.GetBlockByHash(head.Hash())
	for range depth {
		r.Removed = append(r.Removed, block.Hash())
		removed = append(append(types.Transactions{}, block.Transactions()...), removed...)
		if block = bc.GetBlockByHash(block.ParentHash()); block == nil {
			return nil, errors.New("a block of the chain is missing")
		}
	}
	for _, tx := range removed {
		r.Transactions = append(r.Transactions, tx.Hash())
	}
	waiting := c.waiting()
	if _, err := bc.SetCanonical(block); err != nil {
		return nil, err
	}
	// The pool takes back what was in the removed blocks, as every node's does.
	if err := pool.Sync(); err != nil {
		return nil, err
	}
	pool.Clear()
	for range depth {
		if err := c.block(); err != nil {
			return nil, err
		}
	}
	if err := pool.Sync(); err != nil {
		return nil, err
	}
	if again {
		waiting = append(removed, waiting...)
	}
	pool.Add(waiting, true) // what cannot stand without the forgotten ones waits in vain, as it would elsewhere
	if again {
		if err := c.block(); err != nil {
			return nil, err
		}
	}
	r.Head, r.Number = c.head().Hash(), c.head().Number.Uint64()
	return &r, nil
}

// waiting lists what the pool holds, each account's in order.
func (c *chain) waiting() types.Transactions {
	var all types.Transactions
	pending, queued := c.backend.TxPool().Content()
	for _, list := range pending {
		all = append(all, list...)
	}
	for _, list := range queued {
		all = append(all, list...)
	}
	return all
}

// drop forgets what waits for a block.
func (c *chain) drop() (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pool := c.backend.TxPool()
	if err := pool.Sync(); err != nil {
		return 0, err
	}
	n := len(c.waiting())
	pool.Clear()
	return n, nil
}

func (c *chain) close() error {
	close(c.stopped)
	c.made.Wait()
	return errors.Join(c.beacon.Stop(), c.node.Close())
}

// quiet keeps the node's log off the terminal, errors excepted.
func quiet(verbose bool) {
	level := log.LevelError
	if verbose {
		level = log.LevelInfo
	}
	log.SetDefault(log.NewLogger(log.NewTerminalHandlerWithLevel(os.Stderr, level, false)))
}
