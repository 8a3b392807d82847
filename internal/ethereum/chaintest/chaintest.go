// Package chaintest gives tests a real Ethereum chain, the program caos-devchain, and a
// proxy before it that fails as nodes and networks do.
package chaintest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/rpc"
)

// Manual is the block time of a chain that makes blocks only when Mine is called.
const Manual time.Duration = -1

// startLimit is how long a chain may take to start, on a machine that is busy.
const startLimit = time.Minute

// Options say what chain a test wants.
type Options struct {
	BlockTime time.Duration // 0: a block at once for what was sent; Manual: only by Mine
	Accounts  int           // 4 unless given, each with a million ether
	ChainID   uint64        // 1337 unless given
}

// Account is a funded account. Its key is that of no other chain.
type Account struct {
	Address  common.Address
	Keystore []byte // a V3 keystore, as files hold it
	Path     string // the file that holds it
	Password string
}

// Chain is a running caos-devchain, which ends with its test.
type Chain struct {
	URL      string // stays the same across Stop, Kill and Restart
	ChainID  uint64
	Accounts []Account
	Dir      string

	t       testing.TB
	program string
	options Options
	running *exec.Cmd
	parent  io.Closer
}

// Start gives a test a chain of its own. The first test of a machine waits a minute or two
// until caos-devchain is built.
func Start(t testing.TB, o Options) *Chain {
	t.Helper()
	c := &Chain{Dir: t.TempDir(), t: t, program: Program(t), options: o}
	t.Cleanup(c.Kill)
	c.start("127.0.0.1:0")
	return c
}

// start runs the program until it says that it is ready.
func (c *Chain) start(listen string) {
	c.t.Helper()
	args := []string{"--data", c.Dir, "--listen", listen, "--block-time", blockTime(c.options.BlockTime), "--until-eof"}
	if c.options.Accounts != 0 {
		args = append(args, "--accounts", strconv.Itoa(c.options.Accounts))
	}
	if c.options.ChainID != 0 {
		args = append(args, "--chain-id", strconv.FormatUint(c.options.ChainID, 10))
	}
	cmd := exec.Command(c.program, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	// The pipe is never written to: it ends when this process does, and the chain with it.
	if c.parent, err = cmd.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.running = cmd
	ready := make(chan bool, 1)
	go func() {
		_, err := bufio.NewReader(out).ReadString('\n')
		ready <- err == nil
	}()
	select {
	case ok := <-ready:
		if !ok {
			_ = cmd.Wait()
			c.running = nil
			c.t.Fatalf("caos-devchain did not start: %s", stderr.String())
		}
	case <-time.After(startLimit):
		c.Kill()
		c.t.Fatal("caos-devchain does not start")
	}
	c.read()
}

// blockTime is the flag's text.
func blockTime(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < 0:
		return "manual"
	}
	return d.String()
}

// read takes what the program says of itself.
func (c *Chain) read() {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.Dir, "devchain.json"))
	if err != nil {
		c.t.Fatal(err)
	}
	var info struct {
		URL          string `json:"url"`
		ChainID      uint64 `json:"chain_id"`
		PasswordFile string `json:"password_file"`
		Accounts     []struct {
			Address  string `json:"address"`
			Keystore string `json:"keystore"`
		} `json:"accounts"`
	}
	if err := json.Unmarshal(text, &info); err != nil {
		c.t.Fatal(err)
	}
	password, err := os.ReadFile(info.PasswordFile)
	if err != nil {
		c.t.Fatal(err)
	}
	c.URL, c.ChainID, c.Accounts = info.URL, info.ChainID, nil
	for _, a := range info.Accounts {
		key, err := os.ReadFile(a.Keystore)
		if err != nil {
			c.t.Fatal(err)
		}
		c.Accounts = append(c.Accounts, Account{
			Address: common.HexToAddress(a.Address), Keystore: key, Path: a.Keystore, Password: strings.TrimSpace(string(password)),
		})
	}
}

// Deploy deploys ProductionRegistry from the first account and gives every account the roles
// of a recorder and an anchorer. It makes the blocks that it needs.
func (c *Chain) Deploy(t testing.TB) common.Address {
	t.Helper()
	args := []string{"deploy", "--data", c.Dir}
	for _, a := range c.Accounts {
		args = append(args, "--recorder", a.Address.Hex(), "--anchorer", a.Address.Hex())
	}
	if c.options.BlockTime != 0 {
		c.SetBlockTime(0)
		defer c.SetBlockTime(c.options.BlockTime)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(c.program, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ProductionRegistry was not deployed: %v\n%s", err, stderr.String())
	}
	var done struct {
		Address string `json:"address"`
	}
	if err := json.Unmarshal(out, &done); err != nil || !common.IsHexAddress(done.Address) {
		t.Fatalf("caos-devchain deploy answered %q", out)
	}
	return common.HexToAddress(done.Address)
}

// Mine makes n blocks.
func (c *Chain) Mine(n int) {
	c.t.Helper()
	c.ask(nil, "dev_mine", n)
}

// Reorg replaces the last blocks by as many empty ones and forgets what was in them. It
// returns the hashes of the transactions that were.
func (c *Chain) Reorg(depth int) []common.Hash {
	c.t.Helper()
	return c.reorg(depth, false)
}

// Reorder replaces the last blocks by as many empty ones and mines what was in them in a
// block after those.
func (c *Chain) Reorder(depth int) []common.Hash {
	c.t.Helper()
	return c.reorg(depth, true)
}

func (c *Chain) reorg(depth int, again bool) []common.Hash {
	c.t.Helper()
	var r struct{ Transactions []common.Hash }
	c.ask(&r, "dev_reorg", depth, again)
	return r.Transactions
}

// DropPending makes the node forget what waits for a block, and returns how many it were.
func (c *Chain) DropPending() int {
	c.t.Helper()
	var n int
	c.ask(&n, "dev_dropPending")
	return n
}

// SetBlockTime changes when blocks are made, until the chain is started again.
func (c *Chain) SetBlockTime(d time.Duration) {
	c.t.Helper()
	c.ask(nil, "dev_setBlockTime", blockTime(d))
}

// ask calls a method of the node.
func (c *Chain) ask(answer any, method string, args ...any) {
	c.t.Helper()
	// Cleanups may still ask when the test's own context is over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), startLimit)
	defer cancel()
	// Without connections kept for later, which a test that looks for leaks would find.
	client, err := rpc.DialOptions(ctx, c.URL, rpc.WithHTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}))
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	if err := client.CallContext(ctx, answer, method, args...); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
}

// Stop ends the program as an operator would.
func (c *Chain) Stop() {
	c.t.Helper()
	if c.running == nil {
		return
	}
	_ = c.running.Process.Signal(os.Interrupt)
	_ = c.running.Wait()
	c.running = nil
}

// Kill ends the program as a power cut would, as far as one process can be.
func (c *Chain) Kill() {
	if c.running == nil {
		return
	}
	_ = c.running.Process.Kill()
	_ = c.running.Wait()
	c.running = nil
}

// Restart starts the program again on the same chain and port.
func (c *Chain) Restart() {
	c.t.Helper()
	c.Stop()
	u, err := url.Parse(c.URL)
	if err != nil {
		c.t.Fatal(err)
	}
	c.start(net.JoinHostPort(u.Hostname(), u.Port()))
}
