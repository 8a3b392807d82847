//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"
	"testing"
)

// attack is what the sandboxed program does.
func attack(act string, args []string) int {
	switch act {
	case "look":
		for _, path := range args {
			entries, err := os.ReadDir(path)
			fmt.Print(path, ":")
			if err != nil {
				fmt.Print(" ", err)
			}
			for _, e := range entries {
				fmt.Print(" ", e.Name())
			}
			fmt.Println()
		}
		dir, err := os.Getwd()
		fmt.Println(dir, err, os.Getuid(), os.Getgid(), os.Getpid())
	}
	return 0
}

func TestLook(t *testing.T) {
	for _, level := range levels() {
		out, exit := run(t, spec(t, level, "look", "/", ".", "in", "/etc", "/proc"))
		t.Log(out, exit)
	}
}
