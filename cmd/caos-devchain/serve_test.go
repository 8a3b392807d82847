package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
)

func TestBlockTime(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "manual": manual, "1s": time.Second, "10ms": 10 * time.Millisecond, "1h": time.Hour} {
		if got, err := blockTime(text); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "-1s", "9ms", "61m", "soon", "0s ", "1e9s"} {
		if got, err := blockTime(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}

func FuzzBlockTime(f *testing.F) {
	f.Add("1s")
	f.Add("manual")
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := blockTime(text); err == nil && d != manual && (d < 0 || d > maxTime) {
			t.Fatal(d)
		}
	})
}

func TestEndpoint(t *testing.T) {
	for _, x := range []struct {
		listen string
		open   bool
		host   string
		port   int
		refuse string
	}{
		{"127.0.0.1:0", false, "127.0.0.1", 0, ""},
		{"localhost:8545", false, "localhost", 8545, ""},
		{"[::1]:1", false, "::1", 1, ""},
		{"0.0.0.0:8545", false, "", 0, "--allow-remote"},
		{":8545", false, "", 0, "--allow-remote"},
		{"192.0.2.1:8545", false, "", 0, "--allow-remote"},
		{"node.example:8545", false, "", 0, "--allow-remote"},
		{":8545", true, "0.0.0.0", 8545, ""},
		{"127.0.0.1", false, "", 0, "address:port"},
		{"127.0.0.1:70000", false, "", 0, "65535"},
		{"127.0.0.1:http", false, "", 0, "65535"},
	} {
		host, port, err := endpoint(settings{listen: x.listen, open: x.open})
		if x.refuse != "" {
			if err == nil || !errors.Is(err, errUsage) || !strings.Contains(err.Error(), x.refuse) {
				t.Errorf("%s: %v", x.listen, err)
			}
		} else if err != nil || host != x.host || port != x.port {
			t.Errorf("%s: %s %d %v", x.listen, host, port, err)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	g, err := openGenesis(dir, genesis{})
	if err != nil || g != (genesis{ChainID: 1337, Accounts: 4}) {
		t.Fatal(g, err)
	}
	for _, wanted := range []genesis{{}, {ChainID: 1337}, {Accounts: 4}} {
		if again, err := openGenesis(dir, wanted); err != nil || again != g {
			t.Error(again, err)
		}
	}
	for _, wanted := range []genesis{{ChainID: 1}, {Accounts: 5}, {Accounts: -1}, {Accounts: 101}} {
		if _, err := openGenesis(dir, wanted); !errors.Is(err, errUsage) {
			t.Errorf("%+v: %v", wanted, err)
		}
	}
	accounts, err := openAccounts(dir, g)
	if err != nil || len(accounts) != 4 {
		t.Fatal(len(accounts), err)
	}
	password, err := os.ReadFile(filepath.Join(dir, passwordFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts {
		text, err := os.ReadFile(a.Keystore)
		if err != nil {
			t.Fatal(err)
		}
		key, err := keystore.DecryptKey(text, string(password))
		if err != nil || key.Address.Hex() != a.Address || crypto.PubkeyToAddress(key.PrivateKey.PublicKey) != key.Address {
			t.Fatal(a.Address, err)
		}
		if st, err := os.Stat(a.Keystore); err != nil || st.Mode().Perm() != 0o600 {
			t.Fatal(st.Mode(), err)
		}
	}
	again, err := openAccounts(dir, g)
	if err != nil || again[3] != accounts[3] {
		t.Fatal("other accounts at the second start", err)
	}
	if err := os.WriteFile(filepath.Join(dir, genesisFile), []byte(`{"chain_id":0}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openGenesis(dir, genesis{}); err == nil || !strings.Contains(err.Error(), genesisFile) {
		t.Error(err)
	}
}

// TestProgram runs the program's commands in this process.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	in, stop := io.Pipe()
	ready, ended := make(chan string, 1), make(chan error, 1)
	run := func(out io.Writer, in io.Reader, args ...string) error {
		cmd := command()
		cmd.SetArgs(args)
		cmd.SetOut(out)
		cmd.SetErr(io.Discard)
		cmd.SetIn(in)
		return cmd.ExecuteContext(context.WithoutCancel(t.Context()))
	}
	go func() {
		ended <- run(writer(func(b []byte) { ready <- string(b) }), in, "--data", dir, "--block-time", "0", "--until-eof")
	}()
	var said string
	select {
	case said = <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	if !strings.Contains(said, "chain 1337 at http://127.0.0.1:") {
		t.Error(said)
	}
	if err := run(io.Discard, in, "--data", dir); err == nil || !strings.Contains(err.Error(), "already used by another process") {
		t.Errorf("a second program on the same folder: %v", err)
	}
	var out bytes.Buffer
	if err := run(&out, in, "deploy", "--data", dir, "--pauser", "0x00000000000000000000000000000000000000AA"); err != nil {
		t.Fatal(err)
	}
	var d deployed
	if err := json.Unmarshal(out.Bytes(), &d); err != nil || d.Block != 1 || len(d.Roles) != 3 || d.Roles[2].Role != "PAUSER_ROLE" || d.ChainID != 1337 {
		t.Errorf("%+v %v", d, err)
	}
	client, err := ethclient.Dial(regexp.MustCompile(`http://[0-9.:]+`).FindString(said))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if has, err := client.BalanceAt(t.Context(), common.HexToAddress("0xaa"), nil); err != nil || has.Cmp(new(big.Int).Mul(big.NewInt(1000), big.NewInt(1e18))) != 0 {
		t.Errorf("who was named has %v: %v", has, err)
	}
	for _, x := range []struct {
		want string
		args []string
	}{
		{"is not an address", []string{"deploy", "--data", dir, "--recorder", "0x12"}},
		{"is not an address", []string{"deploy", "--data", dir, "--recorder", strings.Replace(d.Admin, "0x", "0X", 1)}},
		{"is not an address", []string{"deploy", "--data", dir, "--anchorer", "0x" + strings.ToUpper(d.Admin[2:])}},
		{"--url is required", []string{"deploy"}},
		{"--keystore and --password-file", []string{"deploy", "--url", "http://127.0.0.1:1"}},
		{"cannot be opened with the password", []string{"deploy", "--data", dir, "--keystore", filepath.Join(dir, infoFile), "--password-file", filepath.Join(dir, passwordFile)}},
		{"does not answer", []string{"deploy", "--data", dir, "--url", "http://127.0.0.1:1"}},
		{"holds no chain", []string{"deploy", "--data", t.TempDir()}},
		{"--data is required", []string{}},
		{"unknown flag", []string{"--datum", "x"}},
		{"unknown command", []string{"run"}},
	} {
		if err := run(io.Discard, in, x.args...); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v: %v", x.args, err)
		}
	}
	_ = stop.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// writer calls a function with what is written.
type writer func([]byte)

func (w writer) Write(b []byte) (int, error) {
	w(b)
	return len(b), nil
}
