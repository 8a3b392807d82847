package chain

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/ethereum"
)

func TestContracts(t *testing.T) {
	t.Parallel()
	p := newPort(t, db.SQLite)
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		ctx := context.Background()
		p.t, p.url = t, dbtest.URL(t, dialect)
		s := p.sail(nil)
		if _, err := s.CodeHash(ctx, "0x0000000000000000000000000000000000000001"); caos.AsError(err).Rule != RuleContractCode {
			t.Error(err)
		}
		k := s.contract()
		if k.Status != Active || k.Version != 1 || k.Functions[0].Function != recordSignature || k.Functions[0].MaxGas == 0 || !strings.HasPrefix(k.ContractID, "CTR-") {
			t.Fatalf("%+v", k)
		}
		if again := s.contract(); again.ContractID != k.ContractID {
			t.Error("registered twice")
		}
		good := *k
		for name, c := range map[string]struct {
			bend        func(*Contract)
			kind        caos.Kind
			field, rule string
		}{
			"check sum":  {func(k *Contract) { k.Address = flip(k.Address) }, caos.Invalid, "address", ""},
			"short":      {func(k *Contract) { k.Address = k.Address[:40] }, caos.Invalid, "address", ""},
			"chain":      {func(k *Contract) { k.ChainID = 1 }, caos.Invalid, "chain_id", ""},
			"name":       {func(k *Contract) { k.Name = " " }, caos.Invalid, "name", ""},
			"class":      {func(k *Contract) { k.Classification = "Cosmic" }, caos.Invalid, "classification", ""},
			"no ABI":     {func(k *Contract) { k.ABI = json.RawMessage(`{}`) }, caos.Invalid, "abi", ""},
			"none":       {func(k *Contract) { k.Functions = nil }, caos.Invalid, "functions", ""},
			"unknown":    {func(k *Contract) { k.Functions[0].Function = "mint" }, "", "functions[0].function", ""},
			"view":       {func(k *Contract) { k.Functions[0].Function = "recordOf" }, caos.Invalid, "functions[0].function", ""},
			"role":       {func(k *Contract) { k.Functions[0].Function = "grantRole" }, caos.Denied, "functions[0].function", RuleFunctionForbidden},
			"pause":      {func(k *Contract) { k.Functions[0].Function = "pause()" }, caos.Denied, "functions[0].function", RuleFunctionForbidden},
			"account":    {func(k *Contract) { k.Functions[0].Account = "nobody" }, caos.Invalid, "functions[0].account", ""},
			"gas":        {func(k *Contract) { k.Functions[0].MaxGas = 20_999 }, caos.Invalid, "functions[0].max_gas", RuleGasLimit},
			"who":        {func(k *Contract) { k.Functions[0].Roles, k.Functions[0].Automatic = nil, false }, caos.Invalid, "functions[0].roles", ""},
			"other role": {func(k *Contract) { k.Functions[0].Roles = []string{"pirate"} }, caos.Invalid, "functions[0].roles", ""},
			"twice":      {func(k *Contract) { k.Functions = append(k.Functions, k.Functions[0]) }, caos.Invalid, "functions[1].function", ""},
			"there is":   {func(k *Contract) { k.Name = "Other" }, caos.Conflict, "address", ""},
		} {
			bent := good
			bent.Functions = append([]Allowed(nil), good.Functions...)
			c.bend(&bent)
			err := s.d.Update(ctx, func(tx *db.Tx) error {
				_, err := s.Register(tx, bent, By{Actor: "carla"})
				return err
			})
			e := caos.AsError(err)
			if err == nil || c.kind != "" && e.Kind != c.kind || e.Field != c.field || e.Rule != c.rule {
				t.Errorf("%s: %v (%s %q %q)", name, err, e.Kind, e.Field, e.Rule)
			}
		}
		allowed := func(address, function string, automatic bool, roles ...string) *caos.Error {
			err := s.d.Update(ctx, func(tx *db.Tx) error {
				_, _, err := s.Allowed(tx, address, function, roles, automatic)
				return err
			})
			if err == nil {
				return nil
			}
			return caos.AsError(err)
		}
		lower := strings.ToLower(k.Address)
		if err := allowed(lower, "recordProduction", false, "auditor", "mlops-engineer"); err != nil {
			t.Error(err)
		}
		if err := allowed(lower, recordSignature, true); err != nil {
			t.Error(err)
		}
		for rule, err := range map[string]*caos.Error{
			RuleFunctionAllowed: allowed(lower, "recordProduction", false, "auditor"), RuleContractRegistered: allowed(p.signers[0].Address().Hex(), "recordProduction", true),
		} {
			if err == nil || err.Rule != rule || err.Field == "" || err.Hint == "" {
				t.Errorf("%s: %+v", rule, err)
			}
		}
		if err := allowed(lower, "anchorLog", true); err == nil || err.Rule != RuleFunctionAllowed {
			t.Error(err)
		}
		next := good
		next.Functions = append([]Allowed(nil), good.Functions...)
		next.Functions[0].Automatic = false
		s.change(func(tx *db.Tx) (err error) {
			k, err = s.Replace(tx, k.ContractID, 1, next, By{Actor: "carla"})
			return err
		})
		if k.Version != 2 || allowed(lower, "recordProduction", true) == nil {
			t.Errorf("%+v", k)
		}
		if err := s.d.Update(ctx, func(tx *db.Tx) error { _, err := s.Replace(tx, k.ContractID, 1, good, By{Actor: "carla"}); return err }); caos.KindOf(err) != caos.Conflict {
			t.Error(err)
		}
		s.change(func(tx *db.Tx) (err error) {
			k, err = s.Retire(tx, k.ContractID, 0, "moved", By{Actor: "carla"})
			return err
		})
		if err := allowed(lower, "recordProduction", false, "mlops-engineer"); err == nil || err.Rule != RuleContractActive {
			t.Error(err)
		}
		if again := s.contract(); again.ContractID == k.ContractID || again.Status != Active {
			t.Errorf("%+v", again)
		}
		list, _, err := s.Contracts(ctx, ContractFilter{Address: lower}, "")
		if err != nil || len(list) != 2 || len(list[0].ABI) != 0 {
			t.Error(list, err)
		}
	})
}

// flip changes the case of a letter of an address.
func flip(address string) string {
	out := []byte(address)
	for i := 2; i < len(out); i++ {
		if out[i] >= 'a' {
			out[i] -= 'a' - 'A'
			break
		}
	}
	return string(out)
}

// What only people do is known by its name and by its selector, also in an ABI that calls it
// something else.
func TestForbidden(t *testing.T) {
	for _, s := range forbiddenSignatures {
		name, _, _ := strings.Cut(s, "(")
		if forbidden(ethereum.Function{Name: name, Signature: s}) == "" || forbidden(ethereum.Function{Name: "harmless", Signature: s}) == "" {
			t.Error(s)
		}
	}
	for _, name := range []string{"GrantRole", "_pause", "upgradeEverything", "multicall", "diamondCut", "setTargetFunctionRole", "grantRoles", "addOwnerWithThreshold", "aggregate3"} {
		if forbidden(ethereum.Function{Name: name, Signature: name + "(uint256)"}) == "" {
			t.Error(name)
		}
	}
	for _, s := range []string{recordSignature, "anchorLog(string,uint64,bytes32)", "transfer(address,uint256)"} {
		name, _, _ := strings.Cut(s, "(")
		if why := forbidden(ethereum.Function{Name: name, Signature: s}); why != "" {
			t.Error(s, why)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"", "0x", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xgg"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseAddress("x", s)
		if err != nil {
			return
		}
		if !strings.EqualFold(a.Hex(), s) {
			t.Errorf("%q is read as %s", s, a)
		}
		if again, err := parseAddress("x", a.Hex()); err != nil || again != a {
			t.Errorf("%s does not read itself: %v", a, err)
		}
	})
}

// The lowest nonce goes first, and whoever stops waiting takes nobody's place.
func TestWays(t *testing.T) {
	ctx := context.Background()
	w := newWays(1)
	ok(t, w.enter(ctx, 9))
	order := make(chan uint64, 3)
	gone, cancel := context.WithCancel(ctx)
	started := func(n int) {
		for {
			w.mu.Lock()
			waiting := len(w.queue)
			w.mu.Unlock()
			if waiting == n {
				return
			}
		}
	}
	for i, nonce := range []uint64{5, 3, 4} {
		c := ctx
		if nonce == 3 {
			c = gone
		}
		go func() {
			if w.enter(c, nonce) == nil {
				order <- nonce
			} else {
				order <- 0
			}
		}()
		started(i + 1)
	}
	cancel()
	if got := <-order; got != 0 {
		t.Fatal(got)
	}
	for _, want := range []uint64{4, 5} {
		w.leave()
		if got := <-order; got != want {
			t.Errorf("%d before %d", got, want)
		}
	}
	w.leave()
	ok(t, w.enter(ctx, 1))
}
