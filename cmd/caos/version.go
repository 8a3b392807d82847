package main

import (
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			return e.giveValue(map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH},
				func() { e.line("caos %s", version) })
		},
	}
}
