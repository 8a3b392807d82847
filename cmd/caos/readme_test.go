package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeTour runs the commands of README.md's five minutes as a reader would type
// them: in one shell, the server beside it.
func TestReadmeTour(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(repo, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh tour\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 8 {
		t.Fatalf("found %d blocks of the tour", len(blocks))
	}
	var script strings.Builder
	script.WriteString("set -eu\n")
	for _, b := range blocks {
		text := b[1]
		if strings.HasPrefix(text, "caos serve") { // the terminal of its own
			text = strings.TrimSpace(text) + " >server.log 2>&1 &\nserver=$!\n" +
				"(. ./caos.env; for i in 1 2 3 4 5 6 7 8 9 10; do caos user me >/dev/null 2>&1 && exit 0; sleep 1; done; cat server.log; exit 1)\n"
		}
		script.WriteString(text)
	}
	script.WriteString("kill $server\nwait $server\n")

	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"caos", "caos-verify"} {
		if err := copyProgram(self, filepath.Join(dir, name)); err != nil { // a link would know itself by the test's name
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(repo, "examples"), filepath.Join(dir, "examples")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", script.String())
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "NO_COLOR=1", "CAOS_LISTEN=" + freeAddress(t)}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"CAOS.PROD.CERT.EVIDENCE", "3 requirements", "requirements  3 of 3 covered", "MODEL_FREEZE", "VERIFIED: every check above holds",
		"VERIFICATION FAILED", "found, exit code 1", "VERIFIED: the log is what it must be", "ok     objects",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the tour does not show %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

func copyProgram(from, to string) error {
	if err := os.Link(from, to); err == nil {
		return nil
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
