package app

import (
	"fmt"
	"math/big"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"caos"
	"caos/internal/location"
	"caos/internal/secret"
)

// ChainConfig says which chain is recorded on, and as whom. Without it nothing is, and the
// hooks say so.
type ChainConfig struct {
	ChainID       uint64   `json:"chain_id" yaml:"chain_id"`           // what eth_chainId must answer
	Endpoints     []string `json:"endpoints" yaml:"endpoints"`         // JSON-RPC addresses, the preferred one first
	AllowHTTP     bool     `json:"allow_http" yaml:"allow_http"`       // plain http to endpoints and signers that are not on this machine
	Confirmations int      `json:"confirmations" yaml:"confirmations"` // blocks from the one with the transaction, itself counted; 3
	Agree         int      `json:"agree" yaml:"agree"`                 // so many endpoints must have a block before what is in it is confirmed; 1
	BlockTime     string   `json:"block_time" yaml:"block_time"`       // a duration; 12s
	Explorer      string   `json:"explorer" yaml:"explorer"`           // https://…/{tx}; our own page of the transaction if empty
	Registry      string   `json:"registry" yaml:"registry"`           // address of the ProductionRegistry
	MaxFeeGwei    float64  `json:"max_fee_gwei" yaml:"max_fee_gwei"`   // of a unit of gas, all in all; 200
	MaxTipGwei    float64  `json:"max_tip_gwei" yaml:"max_tip_gwei"`   // of a unit of gas, to whoever makes the block; 5
	BumpAfter     string   `json:"bump_after" yaml:"bump_after"`       // a duration after which a transaction that is not mined offers more; 3m

	Accounts []AccountConfig `json:"accounts" yaml:"accounts"`

	Record          []string `json:"record" yaml:"record"`                     // action types whose audit records get a transaction of their own; [] for none
	RecordPassports *bool    `json:"record_passports" yaml:"record_passports"` // true
	RecordEvidence  []string `json:"record_evidence" yaml:"record_evidence"`   // types of evidence that get one
}

// AccountConfig is an account that pays for transactions: its key is a file under a password
// of the vault, or with a signer of its own.
type AccountConfig struct {
	Name     string `json:"name" yaml:"name"`         // as the registration of a contract names it
	Keystore string `json:"keystore" yaml:"keystore"` // encrypted key file (Web3 Secret Storage, version 3), in the data folder or absolute
	Password string `json:"password" yaml:"password"` // vault:PATH#KEY
	Address  string `json:"address" yaml:"address"`   // of an account whose key is with a signer; may be left out of one with a file
	Signer   string `json:"signer" yaml:"signer"`     // address of a signer that speaks eth_signTransaction
}

// AnchorConfig says where checkpoints of the audit log go besides the published file.
type AnchorConfig struct {
	Every      string            `json:"every" yaml:"every"`           // a duration; 1h
	Chain      bool              `json:"chain" yaml:"chain"`           // the registry on the chain
	Files      []string          `json:"files" yaml:"files"`           // absolute paths outside the data folder
	S3         string            `json:"s3" yaml:"s3"`                 // s3://BUCKET/PREFIX of a bucket of s3 that locks objects
	Retain     string            `json:"retain" yaml:"retain"`         // how long such an object is locked, a duration; 87600h, which is ten years
	Timestamps []TimestampConfig `json:"timestamps" yaml:"timestamps"` // RFC 3161 servers
	Witnesses  []WitnessConfig   `json:"witnesses" yaml:"witnesses"`   // that cosign checkpoints
	Quorum     int               `json:"quorum" yaml:"quorum"`         // so many must have cosigned the checkpoint that is served; 0 serves the newest
}

// TimestampConfig is a time-stamp server.
type TimestampConfig struct {
	URL         string `json:"url" yaml:"url"`
	Certificate string `json:"certificate" yaml:"certificate"` // PEM file with the certificate, or its issuer's, that its tokens must lead to
}

// WitnessConfig is a C2SP witness.
type WitnessConfig struct {
	Name string `json:"name" yaml:"name"`
	URL  string `json:"url" yaml:"url"` // below which add-checkpoint is
	Key  string `json:"key" yaml:"key"` // its verifier key, NAME+HASH+KEY
}

// IPFSConfig is a Kubo node that pins the credentials of passports.
type IPFSConfig struct {
	API string `json:"api" yaml:"api"` // address of its RPC, such as http://127.0.0.1:5001
}

// The defaults of the chain, of anchors, and what bounds them.
const (
	defaultConfirmations = 3
	defaultAgree         = 1
	maxConfirmations     = 1000
	defaultBlockTime     = "12s"
	defaultBumpAfter     = "3m"
	defaultMaxFeeGwei    = 200
	defaultMaxTipGwei    = 5
	maxGwei              = 1e6 // a thousand times what was ever usual
	defaultAnchorEvery   = "1h"
	defaultRetain        = "87600h"
	maxEndpoints         = 8
	maxAccounts          = 64
	maxAnchorTargets     = 32
)

// recordable are the action types of which an audit record can need its own transaction.
func recordable() []string {
	return []string{"MODEL_FREEZE", "DEPLOYMENT", "ROLLBACK", "CONFIG_CHANGE"}
}

// evidenceTypes are the types of evidence, as the specification has them.
func evidenceTypes() []string { return []string{"TEST_RESULT", "LOG", "METRIC", "DOCUMENT"} }

// filled is the configuration with the defaults in place of what was left out.
func (c ChainConfig) filled() ChainConfig {
	if c.Confirmations == 0 {
		c.Confirmations = defaultConfirmations
	}
	if c.Agree == 0 {
		c.Agree = defaultAgree
	}
	for to, def := range map[*string]string{&c.BlockTime: defaultBlockTime, &c.BumpAfter: defaultBumpAfter} {
		if *to == "" {
			*to = def
		}
	}
	if c.MaxFeeGwei == 0 {
		c.MaxFeeGwei = defaultMaxFeeGwei
	}
	if c.MaxTipGwei == 0 {
		c.MaxTipGwei = min(defaultMaxTipGwei, c.MaxFeeGwei)
	}
	if c.Record == nil {
		c.Record = []string{"MODEL_FREEZE", "DEPLOYMENT", "ROLLBACK"}
	}
	return c
}

// recordsPassports reports whether passports get a transaction of their own.
func (c ChainConfig) recordsPassports() bool { return c.RecordPassports == nil || *c.RecordPassports }

// filled is the configuration with the defaults in place of what was left out.
func (c AnchorConfig) filled() AnchorConfig {
	if c.Every == "" {
		c.Every = defaultAnchorEvery
	}
	if c.Retain == "" {
		c.Retain = defaultRetain
	}
	return c
}

// settingError is a refusal of a setting, with what to write instead.
func settingError(field, hint, format string, args ...any) error {
	return caos.Errorf(caos.Invalid, format, args...).WithField(field).WithHint("%s", hint)
}

// checkChain refuses settings of chain, anchors and IPFS that cannot work or would not be
// safe. Files are looked at when the node starts.
func (c Config) checkChain() error {
	if c.Chain != nil {
		if err := c.checkChainSettings(c.Chain.filled()); err != nil {
			return err
		}
	}
	if c.Anchors != nil {
		if err := c.checkAnchors(c.Anchors.filled()); err != nil {
			return err
		}
	}
	if c.IPFS != nil {
		return c.checkAddress("ipfs.api", c.IPFS.API, false)
	}
	return nil
}

func (c Config) checkChainSettings(ch ChainConfig) error {
	switch {
	case ch.ChainID == 0:
		return settingError("chain.chain_id", "1 is Ethereum's main network, 11155111 Sepolia; caos-devchain prints its own", "a chain needs its number")
	case len(ch.Endpoints) == 0 || len(ch.Endpoints) > maxEndpoints:
		return settingError("chain.endpoints", "two of different operators let CAOS notice one that lies", "a chain needs 1 to %d endpoints", maxEndpoints)
	case ch.Confirmations < 1 || ch.Confirmations > maxConfirmations:
		return settingError("chain.confirmations", "3 where a rehearsal is recorded, 12 and more on a main network", "%d is not between 1 and %d", ch.Confirmations, maxConfirmations)
	case ch.Agree < 1 || ch.Agree > len(ch.Endpoints):
		return settingError("chain.agree", "1 believes what the reachable ones do not contradict; 2 of 3 bears that one is down", "%d is not between 1 and the number of endpoints, %d", ch.Agree, len(ch.Endpoints))
	}
	seen := map[string]int{}
	for i, e := range ch.Endpoints {
		field := fmt.Sprintf("chain.endpoints[%d]", i)
		if err := c.checkAddress(field, e, ch.AllowHTTP); err != nil {
			return err
		}
		if at, twice := seen[e]; twice {
			return settingError(field, "an endpoint that is asked twice proves nothing", "it is endpoints[%d] already", at)
		}
		seen[e] = i
	}
	if err := between("chain.block_time", ch.BlockTime, 50*time.Millisecond, 10*time.Minute); err != nil {
		return err
	}
	if err := between("chain.bump_after", ch.BumpAfter, time.Second, 24*time.Hour); err != nil {
		return err
	}
	if err := checkExplorer(ch.Explorer); err != nil {
		return err
	}
	if ch.Registry != "" {
		if err := checkChecksummed("chain.registry", ch.Registry); err != nil {
			return err
		}
	}
	switch {
	case !(ch.MaxFeeGwei > 0 && ch.MaxFeeGwei <= maxGwei):
		return settingError("chain.max_fee_gwei", "200 is far above what is usual", "a fee is between 0 and %d gwei", int(maxGwei))
	case !(ch.MaxTipGwei > 0 && ch.MaxTipGwei <= ch.MaxFeeGwei):
		return settingError("chain.max_tip_gwei", "5 is plenty", "a tip is above 0 and at most max_fee_gwei")
	}
	if err := c.checkAccounts(ch); err != nil {
		return err
	}
	return checkRecorded(ch)
}

func (c Config) checkAccounts(ch ChainConfig) error {
	if len(ch.Accounts) > maxAccounts {
		return settingError("chain.accounts", "one account can send for many contracts", "%d accounts, at most %d", len(ch.Accounts), maxAccounts)
	}
	names := map[string]bool{}
	for i, a := range ch.Accounts {
		field := func(name string) string { return fmt.Sprintf("chain.accounts[%d].%s", i, name) }
		if err := c.checkAccount(a, field, ch.AllowHTTP); err != nil {
			return err
		}
		if names[a.Name] {
			return settingError(field("name"), "contracts name their account", "%q is the name of another account", a.Name)
		}
		names[a.Name] = true
	}
	return nil
}

// isAccountName is what an account may be called. It is a pattern of configuration, which a
// registration of a contract repeats.
func isAccountName(s string) bool {
	return regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`).MatchString(s)
}

func (c Config) checkAccount(a AccountConfig, field func(string) string, plain bool) error {
	switch {
	case !isAccountName(a.Name):
		return settingError(field("name"), "such as recorder", "%.40q is no name: small letters, digits and hyphens, at most 32", a.Name)
	case a.Keystore == "" && a.Signer == "":
		return settingError(field("keystore"), "caos chain account new makes a key file", "an account needs a key file or a signer")
	case a.Keystore != "" && a.Signer != "":
		return settingError(field("signer"), "leave out one of them", "an account has a key file or a signer, not both")
	case a.Signer != "" && a.Address == "":
		return settingError(field("address"), "the signer may hold many keys", "an account with a signer needs its address")
	case a.Signer != "" && a.Password != "":
		return settingError(field("password"), "leave it out", "the password is of a key file")
	case a.Keystore != "" && a.Password == "":
		return settingError(field("password"), "put the password into the vault: caos secret put", "a key file needs its password as vault:PATH#KEY")
	}
	if a.Keystore != "" && !filepath.IsAbs(a.Keystore) && !filepath.IsLocal(a.Keystore) {
		return settingError(field("keystore"), "such as keys/recorder.json", "%.100q leads out of the data folder", a.Keystore)
	}
	if a.Address != "" {
		if err := checkChecksummed(field("address"), a.Address); err != nil {
			return err
		}
	}
	if a.Password != "" {
		if _, err := secret.ParseRef(a.Password); err != nil {
			return caos.AsError(err).WithField(field("password"))
		}
	}
	if a.Signer != "" {
		return c.checkAddress(field("signer"), a.Signer, plain)
	}
	return nil
}

func checkRecorded(ch ChainConfig) error {
	for i, r := range ch.Record {
		if err := caos.CheckWord(fmt.Sprintf("chain.record[%d]", i), r, recordable()); err != nil {
			return err
		}
	}
	for i, r := range ch.RecordEvidence {
		if err := caos.CheckWord(fmt.Sprintf("chain.record_evidence[%d]", i), r, evidenceTypes()); err != nil {
			return err
		}
	}
	return nil
}

func checkExplorer(s string) error {
	const hint = "such as https://etherscan.io/tx/{tx}; leave it out, and CAOS's own page of the transaction is named"
	if s == "" {
		return nil
	}
	u, err := url.Parse(strings.ReplaceAll(s, "{tx}", "0x"))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Count(s, "{tx}") != 1 || strings.Contains(u.Host, "0x") {
		return settingError("chain.explorer", hint, "%.100q is not a web address with {tx} where the transaction's hash goes", s)
	}
	return nil
}

// checkChecksummed refuses what is not an address with a checksum: a wrong letter would send to
// nobody's account, for ever.
func checkChecksummed(field, s string) error {
	a := common.HexToAddress(s)
	switch {
	case !common.IsHexAddress(s) || !strings.HasPrefix(s, "0x"):
		return settingError(field, "0x and 40 hexadecimal digits", "%.50q is not an address", s)
	case a == common.Address{}:
		return settingError(field, "leave it out if there is none", "the zero address is nobody's")
	case s != a.Hex():
		return settingError(field, "a checksum is made of capital letters (EIP-55): compare it with where you have it from", "%s has no valid checksum", s)
	}
	return nil
}

// checkAddress refuses an address that would send what it gets in the clear, or that carries a
// secret itself. Whoever configures a host means it, though it be private.
func (c Config) checkAddress(field, s string, plain bool) error {
	const hint = "such as https://rpc.example.org; http is for this machine and for hosts of fetch_allow"
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return settingError(field, hint, "it is not an https address")
	case u.User != nil || u.Fragment != "":
		return settingError(field, "a key that is part of the path is kept out of answers and logs", "the address carries a password or a fragment")
	case u.Host == "" || u.Opaque != "" || len(s) > 2000:
		return settingError(field, hint, "it is not an https address")
	case u.Scheme == "https", u.Scheme == "http" && (plain || location.PlainAllowed(u, c.FetchAllow)):
		return nil
	}
	return settingError(field, hint, "%s://%s is not an https address", u.Scheme, u.Host)
}

// between refuses what is no duration in the bounds.
func between(field, s string, least, most time.Duration) error {
	if d, err := time.ParseDuration(s); err != nil || d < least || d > most {
		return caos.Errorf(caos.Invalid, "%.40q is not a duration between %s and %s", s, least, most).WithField(field)
	}
	return nil
}

func (c Config) checkAnchors(a AnchorConfig) error {
	if err := between("anchors.every", a.Every, time.Second, 7*24*time.Hour); err != nil {
		return err
	}
	if err := between("anchors.retain", a.Retain, time.Hour, 100*365*24*time.Hour); err != nil {
		return err
	}
	switch {
	case a.Chain && c.Chain == nil:
		return settingError("anchors.chain", "add the section chain", "there is no chain to anchor on")
	case a.Chain && c.Chain.Registry == "":
		return settingError("anchors.chain", "deploy a ProductionRegistry and name it in chain.registry", "there is no registry to anchor in")
	case len(a.Files)+len(a.Timestamps)+len(a.Witnesses) > maxAnchorTargets:
		return settingError("anchors", "a few that are independent of each other are enough", "more than %d places to anchor at", maxAnchorTargets)
	}
	for i, f := range a.Files {
		field := fmt.Sprintf("anchors.files[%d]", i)
		switch {
		case !filepath.IsAbs(f):
			return settingError(field, "such as /mnt/worm/checkpoints.txt", "%.100q is not an absolute path", f)
		case nested(f, c.DataDir):
			return settingError(field, "whoever can cut the log short must not be able to cut this short with it", "%.100q lies in the data folder", f)
		case slices.Contains(a.Files[:i], f):
			return settingError(field, "leave it out", "%.100q is listed twice", f)
		}
	}
	if err := c.checkAnchorBucket(a.S3); err != nil {
		return err
	}
	for i, t := range a.Timestamps {
		field := func(name string) string { return fmt.Sprintf("anchors.timestamps[%d].%s", i, name) }
		u, err := url.Parse(t.URL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil { // a token is checked by its signature: http is usual
			return settingError(field("url"), "such as https://timestamp.example.org/tsr", "it is not a web address")
		}
		if u.RawQuery != "" || u.Fragment != "" {
			return settingError(field("url"), "lists, alerts and packages name it: a key has no place there", "the address of a time-stamp server has nothing behind its path")
		}
		if !filepath.IsAbs(t.Certificate) && (t.Certificate == "" || !filepath.IsLocal(t.Certificate)) {
			return settingError(field("certificate"), "a PEM file in the data folder, or an absolute path", "a time-stamp server needs the certificate that its tokens are checked against")
		}
	}
	return c.checkWitnesses(a)
}

func (c Config) checkAnchorBucket(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "s3" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return settingError("anchors.s3", "such as s3://caos-anchors/production", "%.100q is not s3://BUCKET/PREFIX", s)
	}
	for _, b := range c.S3 {
		if b.Bucket == u.Host {
			return nil
		}
	}
	return settingError("anchors.s3", "add it to s3, with write: true", "the bucket %.63q is not among those of s3", u.Host)
}

func (c Config) checkWitnesses(a AnchorConfig) error {
	for i, w := range a.Witnesses {
		field := func(name string) string { return fmt.Sprintf("anchors.witnesses[%d].%s", i, name) }
		if err := c.checkAddress(field("url"), w.URL, false); err != nil {
			return err
		}
		if name, rest, ok := strings.Cut(w.Key, "+"); !ok || name == "" || !strings.Contains(rest, "+") {
			return settingError(field("key"), "caos witness key prints it", "it is not a verifier key NAME+HASH+KEY")
		}
		if w.Name == "" || len(w.Name) > 64 || slices.ContainsFunc(a.Witnesses[:i], func(o WitnessConfig) bool { return o.Name == w.Name }) {
			return settingError(field("name"), "it is what lists and alerts call the witness", "a witness needs a name of its own, of at most 64 characters")
		}
	}
	if a.Quorum < 0 || a.Quorum > len(a.Witnesses) {
		return settingError("anchors.quorum", strconv.Itoa(len(a.Witnesses))+" witnesses are configured", "%d is not between 0 and the number of witnesses", a.Quorum)
	}
	return nil
}

// wei is an amount of gwei as the chain counts it.
func wei(gwei float64) *big.Int {
	r, ok := new(big.Rat).SetString(strconv.FormatFloat(gwei, 'f', 9, 64))
	if !ok {
		return new(big.Int)
	}
	r.Mul(r, big.NewRat(1e9, 1))
	return new(big.Int).Quo(r.Num(), r.Denom())
}

// chainAllow is fetch_allow with every host that the settings of chain, anchors and IPFS name:
// whoever configures it means it, though it be private.
func (c Config) chainAllow() []string {
	allow := slices.Clone(c.FetchAllow)
	add := func(s string) {
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			allow = append(allow, location.HostPort(u))
		}
	}
	if c.Chain != nil {
		for _, e := range c.Chain.Endpoints {
			add(e)
		}
		for _, a := range c.Chain.Accounts {
			add(a.Signer)
		}
	}
	if c.Anchors != nil {
		for _, t := range c.Anchors.Timestamps {
			add(t.URL)
		}
		for _, w := range c.Anchors.Witnesses {
			add(w.URL)
		}
	}
	if c.IPFS != nil {
		add(c.IPFS.API)
	}
	return allow
}
