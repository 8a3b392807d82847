// Command caos-verify checks an evidence package, a baseline or a passport of CAOS offline: an auditor
// needs it, what is to be checked and the log's trust file, and nothing else.
package main

import (
	"os"

	"caos/internal/verify"
)

func main() {
	os.Exit(verify.Main(os.Args[1:], os.Stdout, os.Stderr, terminal(os.Stdout)))
}

// terminal reports whether a file is a terminal that wants colours.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
