package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos"
	"caos/internal/location"
)

// goodChain are settings that Check takes.
func goodChain() ChainConfig {
	return ChainConfig{ChainID: 1, Endpoints: []string{"https://rpc.example.org/v2/key", "https://node.example.net"}, Registry: "0x5FbDB2315678afecb367f032d93F642f64180aa3",
		Explorer: "https://etherscan.io/tx/{tx}", Accounts: []AccountConfig{{Name: "recorder", Keystore: "keys/recorder.json", Password: "vault:chain/recorder#password"},
			{Name: "anchorer", Address: "0x5FbDB2315678afecb367f032d93F642f64180aa3", Signer: "https://signer.example.org"}}}
}

// TestChainSettings refuses settings of chain, anchors and pins by the name of the field.
func TestChainSettings(t *testing.T) {
	chain := func(change func(*ChainConfig)) func(*Config) {
		return func(c *Config) { ch := goodChain(); change(&ch); c.Chain = &ch }
	}
	account := func(change func(*AccountConfig)) func(*Config) {
		return chain(func(c *ChainConfig) { change(&c.Accounts[0]) })
	}
	anchors := func(change func(*Config, *AnchorConfig)) func(*Config) {
		return func(c *Config) {
			ch := goodChain()
			c.Chain, c.Anchors = &ch, &AnchorConfig{Chain: true}
			change(c, c.Anchors)
		}
	}
	witness := WitnessConfig{Name: "w1", URL: "https://witness.example.org/", Key: "witness.example.org+0a1b2c3d+BAkP"}
	for name, c := range map[string]struct {
		change func(*Config)
		field  string
	}{
		"nothing":                 {func(*Config) {}, ""},
		"chain":                   {chain(func(*ChainConfig) {}), ""},
		"no number":               {chain(func(c *ChainConfig) { c.ChainID = 0 }), "chain.chain_id"},
		"no endpoint":             {chain(func(c *ChainConfig) { c.Endpoints = nil }), "chain.endpoints"},
		"nine endpoints":          {chain(func(c *ChainConfig) { c.Endpoints = make([]string, 9) }), "chain.endpoints"},
		"plain http":              {chain(func(c *ChainConfig) { c.Endpoints[1] = "http://rpc.example.org" }), "chain.endpoints[1]"},
		"plain http, here":        {chain(func(c *ChainConfig) { c.Endpoints[1] = "http://127.0.0.1:8545" }), ""},
		"plain http, meant":       {chain(func(c *ChainConfig) { c.Endpoints[1], c.AllowHTTP = "http://rpc.example.org", true }), ""},
		"password in an address":  {chain(func(c *ChainConfig) { c.Endpoints[0] = "https://u:hunter2@rpc.example.org" }), "chain.endpoints[0]"},
		"another scheme":          {chain(func(c *ChainConfig) { c.Endpoints[0] = "wss://rpc.example.org" }), "chain.endpoints[0]"},
		"the same twice":          {chain(func(c *ChainConfig) { c.Endpoints[1] = c.Endpoints[0] }), "chain.endpoints[1]"},
		"confirmations":           {chain(func(c *ChainConfig) { c.Confirmations = -1 }), "chain.confirmations"},
		"block time":              {chain(func(c *ChainConfig) { c.BlockTime = "soon" }), "chain.block_time"},
		"bump after":              {chain(func(c *ChainConfig) { c.BumpAfter = "1ms" }), "chain.bump_after"},
		"explorer without {tx}":   {chain(func(c *ChainConfig) { c.Explorer = "https://etherscan.io/tx/" }), "chain.explorer"},
		"explorer, {tx} in host":  {chain(func(c *ChainConfig) { c.Explorer = "https://{tx}.example.org/" }), "chain.explorer"},
		"explorer, script":        {chain(func(c *ChainConfig) { c.Explorer = "javascript:{tx}" }), "chain.explorer"},
		"registry, no address":    {chain(func(c *ChainConfig) { c.Registry = "0x12" }), "chain.registry"},
		"registry, checksum":      {chain(func(c *ChainConfig) { c.Registry = "0x5fbDB2315678afecb367f032d93F642f64180aa3" }), "chain.registry"},
		"registry, no checksum":   {chain(func(c *ChainConfig) { c.Registry = strings.ToLower(c.Registry) }), "chain.registry"},
		"registry, zero":          {chain(func(c *ChainConfig) { c.Registry = "0x0000000000000000000000000000000000000000" }), "chain.registry"},
		"no fee":                  {chain(func(c *ChainConfig) { c.MaxFeeGwei = -1 }), "chain.max_fee_gwei"},
		"tip above fee":           {chain(func(c *ChainConfig) { c.MaxFeeGwei, c.MaxTipGwei = 1, 2 }), "chain.max_tip_gwei"},
		"account's name":          {account(func(a *AccountConfig) { a.Name = "The Recorder" }), "chain.accounts[0].name"},
		"account's name twice":    {account(func(a *AccountConfig) { a.Name = "anchorer" }), "chain.accounts[1].name"},
		"no key":                  {account(func(a *AccountConfig) { a.Keystore = "" }), "chain.accounts[0].keystore"},
		"two keys":                {account(func(a *AccountConfig) { a.Signer = "https://signer.example.org" }), "chain.accounts[0].signer"},
		"no password":             {account(func(a *AccountConfig) { a.Password = "" }), "chain.accounts[0].password"},
		"password, not reference": {account(func(a *AccountConfig) { a.Password = "hunter2" }), "chain.accounts[0].password"},
		"key outside":             {account(func(a *AccountConfig) { a.Keystore = "../key.json" }), "chain.accounts[0].keystore"},
		"signer without address":  {chain(func(c *ChainConfig) { c.Accounts[1].Address = "" }), "chain.accounts[1].address"},
		"signer in the clear":     {chain(func(c *ChainConfig) { c.Accounts[1].Signer = "http://signer.example.org" }), "chain.accounts[1].signer"},
		"recorded action":         {chain(func(c *ChainConfig) { c.Record = []string{"LUNCH"} }), "chain.record[0]"},
		"recorded evidence":       {chain(func(c *ChainConfig) { c.RecordEvidence = []string{"LOG", "RUMOUR"} }), "chain.record_evidence[1]"},

		"anchors":                 {anchors(func(*Config, *AnchorConfig) {}), ""},
		"anchors without chain":   {anchors(func(c *Config, _ *AnchorConfig) { c.Chain = nil }), "anchors.chain"},
		"anchors, no registry":    {anchors(func(c *Config, _ *AnchorConfig) { c.Chain.Registry = "" }), "anchors.chain"},
		"anchors all the time":    {anchors(func(_ *Config, a *AnchorConfig) { a.Every = "1ms" }), "anchors.every"},
		"anchor's file, relative": {anchors(func(_ *Config, a *AnchorConfig) { a.Files = []string{"x.txt"} }), "anchors.files[0]"},
		"anchor's file, inside":   {anchors(func(c *Config, a *AnchorConfig) { a.Files = []string{filepath.Join(c.DataDir, "x")} }), "anchors.files[0]"},
		"anchor's bucket":         {anchors(func(_ *Config, a *AnchorConfig) { a.S3 = "s3://lake/anchors" }), "anchors.s3"},
		"anchor's bucket, known": {anchors(func(c *Config, a *AnchorConfig) {
			a.S3 = "s3://lake/anchors"
			c.S3 = []location.Bucket{{Bucket: "lake", Endpoint: "https://s3.example.org", AccessKey: "vault:s3/lake#access", SecretKey: "vault:s3/lake#secret", Write: true}}
		}), ""},
		"time stamps, no certificate": {anchors(func(_ *Config, a *AnchorConfig) { a.Timestamps = []TimestampConfig{{URL: "http://tsa.example.org"}} }), "anchors.timestamps[0].certificate"},
		"time stamps, a key": {anchors(func(_ *Config, a *AnchorConfig) {
			a.Timestamps = []TimestampConfig{{URL: "https://tsa.example.org/tsr?key=0123", Certificate: "tsa.pem"}}
		}), "anchors.timestamps[0].url"},
		"time stamps, no address": {anchors(func(_ *Config, a *AnchorConfig) { a.Timestamps = []TimestampConfig{{Certificate: "tsa.pem"}} }), "anchors.timestamps[0].url"},
		"witness":                 {anchors(func(_ *Config, a *AnchorConfig) { a.Witnesses, a.Quorum = []WitnessConfig{witness}, 1 }), ""},
		"witness without a key":   {anchors(func(_ *Config, a *AnchorConfig) { a.Witnesses = []WitnessConfig{{Name: "w", URL: witness.URL}} }), "anchors.witnesses[0].key"},
		"witness twice":           {anchors(func(_ *Config, a *AnchorConfig) { a.Witnesses = []WitnessConfig{witness, witness} }), "anchors.witnesses[1].name"},
		"quorum of nobody":        {anchors(func(_ *Config, a *AnchorConfig) { a.Quorum = 1 }), "anchors.quorum"},
		"pins":                    {func(c *Config) { c.IPFS = &IPFSConfig{API: "http://127.0.0.1:5001"} }, ""},
		"pins in the clear":       {func(c *Config) { c.IPFS = &IPFSConfig{API: "http://ipfs.example.org:5001"} }, "ipfs.api"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Defaults(t.TempDir())
			cfg.Origin = "caos.test/log"
			c.change(&cfg)
			err := cfg.Check()
			if (err == nil) != (c.field == "") || err != nil && (caos.AsError(err).Field != c.field || caos.KindOf(err) != caos.Invalid) {
				t.Fatalf("field %q: %v", c.field, err)
			}
			if err != nil && strings.Contains(err.Error()+caos.AsError(err).Hint, "hunter2") {
				t.Errorf("a value that may be a secret is shown: %v", err)
			}
		})
	}
}

// TestChainSettingsAreSaved has what init writes mean what it was told.
func TestChainSettingsAreSaved(t *testing.T) {
	chain := goodChain()
	chain.Record = nil
	dir := t.TempDir()
	c := Defaults(dir)
	c.DataDir, c.Origin, c.Chain = dir, "caos.test/log", &chain
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	got, err := Load(c.DataDir, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	if list := got.Chain.filled().Record; len(list) != 3 {
		t.Errorf("records of %v get transactions: the default was lost", list)
	}
}

// TestChainSettingsAreRead has the settings in the file, strictly, and fills in what is usual.
func TestChainSettingsAreRead(t *testing.T) {
	dir := t.TempDir()
	text := "origin: caos.test/log\npublished: " + filepath.Join(t.TempDir(), "p.txt") + `
chain:
  chain_id: 1337
  endpoints: [http://127.0.0.1:8545]
  registry: "0x5FbDB2315678afecb367f032d93F642f64180aa3"
  max_fee_gwei: 0.5
  record: []
  accounts:
    - {name: recorder, keystore: keys/recorder.json, password: "vault:chain/recorder#password"}
anchors:
  chain: true
ipfs: {api: "http://127.0.0.1:5001"}
`
	write := func(text string) error {
		if err := os.WriteFile(filepath.Join(dir, ConfigFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(dir, func(string) string { return "" })
		return err
	}
	if err := write(text + "chains: {}\n"); caos.KindOf(err) != caos.Invalid {
		t.Errorf("an unknown section: %v", err)
	}
	if err := write(text); err != nil {
		t.Fatal(err)
	}
	c, err := Load(dir, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	got := c.Chain.filled()
	if got.Confirmations != 3 || got.BlockTime != "12s" || got.BumpAfter != "3m" || got.MaxTipGwei != 0.5 || len(got.Record) != 0 || !got.recordsPassports() || c.Anchors.filled().Every != "1h" {
		t.Errorf("%+v", got)
	}
	if w := wei(got.MaxFeeGwei); w.String() != "500000000" {
		t.Errorf("0.5 gwei are %s wei", w)
	}
	if allow := c.chainAllow(); len(allow) != 2 || allow[0] != "127.0.0.1:8545" || allow[1] != "127.0.0.1:5001" {
		t.Errorf("%v", allow)
	}
}
