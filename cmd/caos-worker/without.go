//go:build !cgo

// Command caos-worker is the data engine. This build of it has none, because it was made
// without a C++ compiler; it says so, and CAOS refuses what would need it.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "caos-worker was built without its engine: install a C++ compiler (apt-get install g++) and build it with CGO_ENABLED=1")
	os.Exit(1)
}
