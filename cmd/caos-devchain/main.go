// Command caos-devchain is an Ethereum chain on one machine, for tests, for the demo and for
// trying things: its ether is worth nothing and its keys lie beside it. It holds the chain in
// a folder, makes blocks as it is told, and answers the JSON-RPC that every node answers.
// docs/devchain.md is its manual.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is stamped by the build.
var version = "0.0.0-unversioned" //nolint:gochecknoglobals // -ldflags -X needs a variable

// errUsage marks what the caller got wrong: exit code 2, as in the other programs.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := command()
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "caos-devchain:", err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "caos-devchain --data DIR",
		Short: "An Ethereum chain on one machine, for tests and demos",
		Long: `caos-devchain runs an Ethereum chain with the rules of the main network in one process.
Everything is in the folder --data: the chain, funded accounts with their keys, and
devchain.json, which says where the chain listens. A chain that was killed goes on where it
was. Its ether is worth nothing: use its keys nowhere else.

Besides eth_, net_, web3_ and txpool_ it answers, for tests:
  dev_mine [count]             makes blocks at once
  dev_reorg [depth, again]     replaces the last blocks by empty ones; with again=true what
                               was in them is mined in a block after them, else forgotten
  dev_setBlockTime ["1s"]      as --block-time
  dev_dropPending []           forgets what waits for a block`,
		Example: `  caos-devchain --data /tmp/chain --listen 127.0.0.1:8545 --block-time 1s
  caos-devchain deploy --url http://127.0.0.1:8545 --data /tmp/chain`,
		Args:          cobra.NoArgs,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			if s.untilEOF {
				go func() {
					_, _ = io.Copy(io.Discard, cmd.InOrStdin())
					cancel()
				}()
			}
			return serve(ctx, s, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.data, "data", "", "folder of the chain; made if it is not there (required)")
	f.StringVar(&s.listen, "listen", "127.0.0.1:0", "address and port; port 0 takes a free one")
	f.StringVar(&s.blockTime, "block-time", "1s", `time between blocks; "0" makes one at once for what was sent, "manual" only by dev_mine`)
	f.Uint64Var(&s.chainID, "chain-id", 0, "chain id of a new chain (default 1337)")
	f.IntVar(&s.accounts, "accounts", 0, "funded accounts of a new chain, 1 to 100 (default 4)")
	f.BoolVar(&s.open, "allow-remote", false, "listen on an address that other machines reach: anybody there can rewrite the chain")
	f.BoolVar(&s.untilEOF, "until-eof", false, "end when standard input ends: with the program that started this one")
	f.BoolVar(&s.verbose, "verbose", false, "log what the node does, on standard error")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(deployCommand())
	return cmd
}
