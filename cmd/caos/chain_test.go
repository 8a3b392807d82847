package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"caos/internal/ethereum/chaintest"
)

// TestChainSessions runs those that record on a chain. They have two commands more:
//
//	devchain DATA         starts a chain; sets CHAIN to its address, KEY, ACCOUNT and PASSWORD
//	                      to its second account's key file, address and file with the
//	                      password, ADMIN to its first account's address
//	append FILE TEXT      appends a line
func TestChainSessions(t *testing.T) {
	program := chaintest.Program(t)
	p := sessions("testdata/chain")
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		env.Setenv("DEVCHAIN", program)
		return setup(env)
	}
	p.Cmds["append"] = appendCommand
	p.Cmds["devchain"] = devchainCommand
	testscript.Run(t, p)
}

func devchainCommand(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	cmd := exec.Command(ts.Getenv("DEVCHAIN"), "--data", dir, "--listen", "127.0.0.1:0", "--block-time", "0", "--accounts", "2", "--until-eof")
	in, err := cmd.StdinPipe()
	ts.Check(err)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = in.Close() // it ends by itself
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil {
		ts.Fatalf("the chain did not start: %v", err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	text, err := os.ReadFile(filepath.Join(dir, "devchain.json"))
	ts.Check(err)
	var d struct {
		URL          string
		PasswordFile string `json:"password_file"`
		Accounts     []struct{ Address, Keystore string }
	}
	ts.Check(json.Unmarshal(text, &d))
	for name, value := range map[string]string{"CHAIN": d.URL, "PASSWORD": d.PasswordFile, "ADMIN": d.Accounts[0].Address, "ACCOUNT": d.Accounts[1].Address, "KEY": d.Accounts[1].Keystore} {
		ts.Setenv(name, value)
	}
}

func appendCommand(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer f.Close()
	_, err = f.WriteString(strings.Join(args[1:], " ") + "\n")
	ts.Check(err)
}
