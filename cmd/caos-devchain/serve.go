package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// settings are the flags.
type settings struct {
	data, listen, blockTime string
	chainID                 uint64
	accounts                int
	open, untilEOF, verbose bool
}

// Limits of what the dev_ calls may ask for.
const (
	maxDepth  = 1_000
	maxBlocks = 10_000
	maxTime   = time.Hour
)

// manual is the block time of a chain that makes blocks only when asked.
const manual = -1

// blockTime reads a block time: "0", "manual" or a duration.
func blockTime(s string) (time.Duration, error) {
	switch s {
	case "manual":
		return manual, nil
	case "0":
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxTime || d > 0 && d < 10*time.Millisecond {
		return 0, fmt.Errorf(`block time %q: want "0", "manual" or a duration between 10ms and %s, such as 1s`, s, maxTime)
	}
	return d, nil
}

// endpoint splits --listen, and refuses what other machines could reach.
func endpoint(s settings) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(s.listen)
	if err != nil {
		return "", 0, fmt.Errorf("%w: --listen %q: want address:port, such as 127.0.0.1:8545", errUsage, s.listen)
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%w: --listen %q: the port must be between 0 and 65535", errUsage, s.listen)
	}
	ip := net.ParseIP(host)
	if host == "localhost" {
		return host, port, nil
	}
	if (ip == nil || !ip.IsLoopback()) && !s.open {
		return "", 0, fmt.Errorf("%w: --listen %q: other machines could reach it and rewrite the chain; take 127.0.0.1, or add --allow-remote", errUsage, s.listen)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return host, port, nil
}

// serve runs a chain until the context ends.
func serve(ctx context.Context, s settings, out io.Writer) error {
	if s.data == "" {
		return fmt.Errorf("%w: --data is required: the folder of the chain", errUsage)
	}
	every, err := blockTime(s.blockTime)
	if err != nil {
		return fmt.Errorf("%w: --block-time: %w", errUsage, err)
	}
	host, port, err := endpoint(s)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(s.data)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	g, err := openGenesis(dir, genesis{ChainID: s.chainID, Accounts: s.accounts})
	if err != nil {
		return err
	}
	accounts, err := openAccounts(dir, g)
	if err != nil {
		return err
	}
	quiet(s.verbose)
	c, err := openChain(filepath.Join(dir, chainFolder), host, port, g, accounts)
	if err != nil {
		return err
	}
	i := info{URL: c.node.HTTPEndpoint(), ChainID: g.ChainID, PID: os.Getpid(), PasswordFile: filepath.Join(dir, passwordFile), Accounts: accounts}
	if err := writeJSON(filepath.Join(dir, infoFile), i); err != nil {
		_ = c.close()
		return err
	}
	c.run(every)
	fmt.Fprintf(out, "caos-devchain: chain %d at %s, block %d, %d accounts in %s\n", i.ChainID, i.URL, c.head().Number, len(accounts), filepath.Join(dir, infoFile))
	<-ctx.Done()
	return c.close()
}

// devAPI is the namespace dev_. Every method name is part of the program's interface.
type devAPI struct{ chain *chain }

// Mine makes blocks, one unless told, and answers with the newest number.
func (a *devAPI) Mine(count *uint64) (uint64, error) {
	n := uint64(1)
	if count != nil {
		n = *count
	}
	if n < 1 || n > maxBlocks {
		return 0, fmt.Errorf("count must be between 1 and %d", maxBlocks)
	}
	if err := a.chain.mine(int(n)); err != nil {
		return 0, err
	}
	return a.chain.head().Number.Uint64(), nil
}

// Reorg replaces the last blocks by empty ones.
func (a *devAPI) Reorg(depth uint64, again *bool) (*reorganisation, error) {
	return a.chain.reorg(depth, again != nil && *again)
}

// SetBlockTime changes when blocks are made, until the next start.
func (a *devAPI) SetBlockTime(ctx context.Context, every string) (bool, error) {
	d, err := blockTime(every)
	if err != nil {
		return false, err
	}
	return true, a.chain.setInterval(ctx, d)
}

// DropPending forgets what waits for a block, and answers with how many it were.
func (a *devAPI) DropPending() (int, error) { return a.chain.drop() }
