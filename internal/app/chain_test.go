package app

import (
	"context"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/ethereum"
	"caos/internal/secret"
	"caos/internal/sign"
)

// An account signs once the vault has the right password, whatever it had before; the node
// starts without it. A file that is none, or of another address, is named at the start.
func TestChainAccount(t *testing.T) {
	ctx := context.Background()
	d := dbtest.Open(t, db.SQLite)
	dir := t.TempDir()
	keys, err := sign.OpenKeys(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	vault, err := secret.Open(ctx, secret.Options{DB: d, Keys: filepath.Join(dir, "keys"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	text, address, err := ethereum.NewKeystore([]byte("right"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "recorder.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	a := &App{cfg: Config{DataDir: dir}, vault: vault}
	cfg := AccountConfig{Name: "recorder", Keystore: "recorder.json", Password: "vault:chain/recorder#password"}
	with := func(change func(*AccountConfig)) error {
		c := cfg
		change(&c)
		return a.openAccounts(ChainConfig{Accounts: []AccountConfig{c}})
	}
	for name, c := range map[string]struct {
		change func(*AccountConfig)
		field  string
	}{
		"no file":         {func(c *AccountConfig) { c.Keystore = "nobody.json" }, "chain.accounts[0].keystore"},
		"a folder":        {func(c *AccountConfig) { c.Keystore = "keys" }, "chain.accounts[0].keystore"},
		"another address": {func(c *AccountConfig) { c.Address = "0x5FbDB2315678afecb367f032d93F642f64180aa3" }, "chain.accounts[0].address"},
	} {
		if err := with(c.change); caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := with(func(*AccountConfig) {}); err != nil {
		t.Fatal(err)
	}
	s := a.accounts["recorder"]
	if s.Address() != address {
		t.Errorf("the address is %s", s.Address())
	}
	to := common.HexToAddress("0x5FbDB2315678afecb367f032d93F642f64180aa3")
	try := func() error {
		id := big.NewInt(1337)
		signed, err := s.Sign(ctx, types.NewTx(&types.DynamicFeeTx{ChainID: id, To: &to, Gas: 21000, GasFeeCap: big.NewInt(1), GasTipCap: big.NewInt(1)}), id)
		if err == nil {
			if from, err := types.Sender(types.LatestSignerForChainID(id), signed); err != nil || from != address {
				t.Errorf("signed by %s, %v", from, err)
			}
		}
		return err
	}
	put := func(password string) {
		if err := d.Update(ctx, func(tx *db.Tx) error {
			_, err := vault.Put(tx, "chain/recorder", map[string]secret.Value{"password": secret.Value(password)}, "admin")
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Ready(ctx); err == nil || s.tried != nil {
		t.Errorf("ready without a password, or it was tried: %v", err)
	}
	if err := try(); caos.KindOf(err) != caos.Unavailable || !strings.Contains(caos.AsError(err).Hint, "vault:chain/recorder#password") {
		t.Errorf("without a password: %v", err)
	}
	put("hunter2")
	if err := s.Ready(ctx); err != nil {
		t.Errorf("nothing is known against it yet: %v", err)
	}
	for range 2 {
		if err := try(); caos.KindOf(err) != caos.Unavailable || !strings.Contains(err.Error(), "password") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("with a wrong one: %v", err)
		}
	}
	if err := s.Ready(ctx); err == nil {
		t.Error("ready with a password that was tried in vain")
	}
	put("right")
	if err := s.Ready(ctx); err != nil {
		t.Errorf("with another password: %v", err)
	}
	if err := try(); err != nil {
		t.Errorf("with the right one: %v", err)
	}
}
