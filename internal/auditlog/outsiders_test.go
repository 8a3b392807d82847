package auditlog

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/verify"
)

// TestTrustNamesOutsiders: the trust file has those beside the operator, of the current log
// and of closed ones; without any it is what it was before there were such.
func TestTrustNamesOutsiders(t *testing.T) {
	const witness = "witness.example/w1+490ca8b1+BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	url := dbtest.URL(t, db.SQLite)
	keys := testKeys(t, filepath.Join(t.TempDir(), "keys"))
	open := func(o verify.Outsiders) (*Log, error) {
		d := dbtest.OpenWith(t, db.Options{URL: url})
		return Open(context.Background(), Options{DB: d, Keys: keys, Origin: testOrigin, Stamps: caos.NewStamper(time.Now, time.Time{}, 0, 1), PublishEvery: time.Hour, Outsiders: o})
	}
	l, err := open(verify.Outsiders{})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := l.Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, _ := plain.Marshal()
	if !strings.HasSuffix(string(text), "\"witnesses\": []\n}\n") {
		t.Errorf("%s", text)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]verify.Outsiders{
		"witness": {Witnesses: []string{"witness"}}, "quorum": {Quorum: 1}, "registry": {Chains: []verify.TrustChain{{ChainID: 1, Registry: "0x"}}},
		"own name": {Witnesses: []string{strings.Replace(witness, "witness.example/w1", testOrigin, 1)}},
	} {
		if l, err := open(bad); err == nil {
			_ = l.Close()
			t.Errorf("%s: a log that could not write its trust file was opened", name)
		}
	}
	key, err := verify.ParseWitnessKey(witness)
	if err != nil {
		t.Fatal(err)
	}
	if l, err = open(verify.Outsiders{Witnesses: []string{witness}, Quorum: 1, Chains: []verify.TrustChain{{ChainID: 1337, Registry: "0x" + strings.Repeat("ab", 20)}}}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, get := range []func(context.Context) (verify.Trust, error){l.Trust, func(ctx context.Context) (verify.Trust, error) { return l.TrustOf(ctx, 1) }} {
		got, err := get(t.Context())
		if err != nil || len(got.Witnesses) != 1 || got.WitnessQuorum != 1 || len(got.Chains) != 1 || len(got.Keys) != len(plain.Keys) {
			t.Errorf("%s: %+v, %v", key.Name(), got, err)
		}
		if text, err := got.Marshal(); err != nil {
			t.Error(err)
		} else if _, err := verify.ParseTrust(text); err != nil {
			t.Error(err)
		}
	}
}
