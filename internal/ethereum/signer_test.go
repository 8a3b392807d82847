package ethereum

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"caos"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// The two published vectors of the Web3 Secret Storage Definition: password "testpassword",
// key 7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d.
const (
	vectorPBKDF2 = `{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},
 "ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2",
 "kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
 "mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}`
	vectorScrypt = `{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},
 "ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c","kdf":"scrypt",
 "kdfparams":{"dklen":32,"n":262144,"r":1,"p":8,"salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},
 "mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}`
)

func vectorAddress(t testing.TB) common.Address {
	t.Helper()
	key, err := crypto.HexToECDSA("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d")
	if err != nil {
		t.Fatal(err)
	}
	return crypto.PubkeyToAddress(key.PublicKey)
}

// lightKey is a key file that opens fast.
func lightKey(t testing.TB) (text []byte, address common.Address) {
	t.Helper()
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	address = crypto.PubkeyToAddress(key.PublicKey)
	text, err = keystore.EncryptKey(&keystore.Key{Address: address, PrivateKey: key}, "hush", 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	return text, address
}

func someTx(chain int64) *types.Transaction {
	to := common.HexToAddress("0x02")
	return types.NewTx(&types.DynamicFeeTx{
		ChainID: big.NewInt(chain), Nonce: 7, To: &to, Gas: 50_000, GasFeeCap: big.NewInt(9), GasTipCap: big.NewInt(1), Data: []byte{1, 2, 3}, Value: new(big.Int),
	})
}

func TestKeystoreVectors(t *testing.T) {
	for name, text := range map[string]string{"pbkdf2": vectorPBKDF2, "scrypt": vectorScrypt} {
		s, err := OpenKeystore([]byte(text), []byte("testpassword"))
		if err != nil || s.Address() != vectorAddress(t) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeystore(t *testing.T) {
	text, address := lightKey(t)
	s, err := OpenKeystore(text, []byte("hush"))
	if err != nil || s.Address() != address {
		t.Fatal(err)
	}
	tx := someTx(1337)
	signed, err := s.Sign(t.Context(), tx, big.NewInt(1337))
	if err != nil {
		t.Fatal(err)
	}
	if from, err := types.Sender(types.LatestSignerForChainID(big.NewInt(1337)), signed); err != nil || from != address {
		t.Errorf("signed by %s, %v", from, err)
	}
	if v, _, _ := tx.RawSignatureValues(); v.Sign() != 0 {
		t.Error("the transaction itself was changed")
	}
	for name, bad := range map[string]*types.Transaction{
		"another chain": someTx(1), "no EIP-1559": types.NewTx(&types.LegacyTx{}), "delegates the account": types.NewTx(&types.SetCodeTx{}), "none": nil,
	} {
		if _, err := s.Sign(t.Context(), bad, big.NewInt(1337)); caos.KindOf(err) != caos.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.(io.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(t.Context(), tx, big.NewInt(1337)); caos.KindOf(err) != caos.Unavailable {
		t.Errorf("after closing: %v", err)
	}
	for _, wrong := range []string{"", "Hush", "hush\n"} {
		_, err := OpenKeystore(text, []byte(wrong))
		if caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field != "password" || caos.AsError(err).Hint == "" {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestKeystoreRefuses(t *testing.T) {
	text, _ := lightKey(t)
	with := func(path string, v any) []byte {
		var m map[string]any
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		at := m
		keys := strings.Split(path, ".")
		for _, k := range keys[:len(keys)-1] {
			at = at[k].(map[string]any)
		}
		if at[keys[len(keys)-1]] = v; v == nil {
			delete(at, keys[len(keys)-1])
		}
		out, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "no JSON": []byte("0xabc"), "a list": []byte("[]"), "null": []byte("null"),
		"too long":          bytes.Repeat([]byte(" "), maxKeystore+1),
		"version 1":         with("version", "1"),
		"version 4":         with("version", 4),
		"no version":        with("version", nil),
		"no crypto":         with("crypto", nil),
		"another cipher":    with("crypto.cipher", "aes-256-gcm"),
		"no salt":           with("crypto.kdfparams.salt", nil),
		"salt a number":     with("crypto.kdfparams.salt", 5),
		"n a string":        with("crypto.kdfparams.n", "2"),
		"n a fraction":      with("crypto.kdfparams.n", 2.5),
		"n no power of two": with("crypto.kdfparams.n", 3),
		"n zero":            with("crypto.kdfparams.n", 0),
		"n huge":            with("crypto.kdfparams.n", 1<<30),
		"n beyond":          with("crypto.kdfparams.n", 1e30),
		"r huge":            with("crypto.kdfparams.r", 1<<20),
		"p huge":            with("crypto.kdfparams.p", 1<<20),
		"negative":          with("crypto.kdfparams.p", -1),
		"dklen short":       with("crypto.kdfparams.dklen", 8),
		"dklen huge":        with("crypto.kdfparams.dklen", 1<<30),
		"no kdf":            with("crypto.kdf", nil),
		"another kdf":       with("crypto.kdf", "argon2"),
		"pbkdf2 without c":  with("crypto.kdf", "pbkdf2"),
		"short ciphertext":  with("crypto.ciphertext", "00"),
		"long ciphertext":   with("crypto.ciphertext", strings.Repeat("00", 33)),
		"no mac":            with("crypto.mac", nil),
		"no iv":             with("crypto.cipherparams", nil),
		"short iv":          with("crypto.cipherparams.iv", "00"),
		"odd address":       with("address", "0x12"),
		"another's address": with("address", strings.Repeat("12", 20)),
		"doubled":           append(append([]byte(nil), text...), text...),
		"a second crypto":   []byte(strings.Replace(string(text), `"version"`, `"CRYPTO":{"kdfparams":{"n":1073741824}},"crypto":{},"version"`, 1)),
	} {
		_, err := OpenKeystore(bad, []byte("hush"))
		if k := caos.KindOf(err); k != caos.Invalid && k != caos.TooLarge || caos.AsError(err).Field != "keystore" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The library would read this member; what is judged must be all that it sees.
	smuggled := []byte(strings.TrimSuffix(string(text), "}") + `,"Crypto":{"kdfparams":{"n":1073741824,"r":64,"p":64}}}`)
	if s, err := OpenKeystore(smuggled, []byte("hush")); err != nil || s == nil {
		t.Errorf("a member in another case: %v", err)
	}
	if _, err := OpenKeystore(text, bytes.Repeat([]byte("x"), maxPassword+1)); caos.KindOf(err) != caos.TooLarge {
		t.Error(err)
	}
}

func TestNewKeystore(t *testing.T) {
	text, address, err := NewKeystore([]byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenKeystore(text, []byte("correct horse"))
	if err != nil || s.Address() != address {
		t.Errorf("%v", err)
	}
	if _, err := keystore.DecryptKey(text, "correct horse"); err != nil {
		t.Errorf("go-ethereum cannot open it: %v", err)
	}
	if _, _, err := NewKeystore(nil); caos.AsError(err).Field != "password" {
		t.Error(err)
	}
}

func FuzzKeystore(f *testing.F) {
	text, _ := lightKey(f)
	f.Add(text)
	f.Add([]byte(vectorPBKDF2))
	f.Fuzz(func(t *testing.T, text []byte) {
		clean, _, err := soundKeystore(text)
		if err == nil && !json.Valid(clean) {
			t.Fatal("not valid")
		}
		if err == nil && len(text) < 600 && bytes.Contains(clean, []byte(`"n":2,`)) { // cheap enough to open
			_, _ = OpenKeystore(text, []byte("x"))
		}
	})
}

// signServer is a remote signer whose answers a test bends.
func signServer(t *testing.T, bend func(tx *types.DynamicFeeTx) any) (url string, account common.Address) {
	text, account := lightKey(t)
	key, err := keystore.DecryptKey(text, "hush")
	if err != nil {
		t.Fatal(err)
	}
	n := node(t, 0)
	n.on("eth_signTransaction", func(p []json.RawMessage) any {
		var q struct {
			From                         common.Address
			To                           *common.Address
			Gas, Nonce                   hexutil.Uint64
			Value, ChainID, MaxFeePerGas *hexutil.Big
			MaxPriorityFeePerGas         *hexutil.Big
			Data                         hexutil.Bytes
		}
		if err := json.Unmarshal(p[0], &q); err != nil || q.From != account {
			return refusal{Code: -32602, Message: "no such account"}
		}
		tx := &types.DynamicFeeTx{
			ChainID: q.ChainID.ToInt(), Nonce: uint64(q.Nonce), GasTipCap: q.MaxPriorityFeePerGas.ToInt(), GasFeeCap: q.MaxFeePerGas.ToInt(),
			Gas: uint64(q.Gas), To: q.To, Value: q.Value.ToInt(), Data: q.Data,
		}
		if instead := bend(tx); instead != nil {
			return instead
		}
		signed, err := types.SignNewTx(key.PrivateKey, types.LatestSignerForChainID(tx.ChainID), tx)
		if err != nil {
			return refusal{Code: -32000, Message: err.Error()}
		}
		raw, err := signed.MarshalBinary()
		if err != nil {
			return refusal{Code: -32000, Message: err.Error()}
		}
		return hexutil.Bytes(raw)
	})
	return n.url, account
}

func TestRemoteSigner(t *testing.T) {
	url, account := signServer(t, func(*types.DynamicFeeTx) any { return nil })
	s := Remote(url, account, nil)
	signed, err := s.Sign(t.Context(), someTx(1337), big.NewInt(1337))
	if err != nil {
		t.Fatal(err)
	}
	if from, err := types.Sender(types.LatestSignerForChainID(big.NewInt(1337)), signed); err != nil || from != account || s.Address() != account {
		t.Errorf("signed by %s, %v", from, err)
	}
	if err := s.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
	stranger, err := OpenKeystore(func() ([]byte, []byte) { text, _ := lightKey(t); return text, []byte("hush") }())
	if err != nil {
		t.Fatal(err)
	}
	other := func() any {
		tx, err := stranger.Sign(context.Background(), someTx(1337), big.NewInt(1337))
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := tx.MarshalBinary()
		return hexutil.Bytes(raw)
	}
	for _, x := range []struct {
		name, words string
		bend        func(*types.DynamicFeeTx) any
	}{
		{"another nonce", "nonce", func(tx *types.DynamicFeeTx) any { tx.Nonce++; return nil }},
		{"another receiver", "receiver", func(tx *types.DynamicFeeTx) any { tx.To = &common.Address{}; return nil }},
		{"no receiver", "receiver", func(tx *types.DynamicFeeTx) any { tx.To = nil; return nil }},
		{"value", "value", func(tx *types.DynamicFeeTx) any { tx.Value = big.NewInt(1); return nil }},
		{"data", "data", func(tx *types.DynamicFeeTx) any { tx.Data = []byte{9}; return nil }},
		{"gas", "gas limit", func(tx *types.DynamicFeeTx) any { tx.Gas *= 2; return nil }},
		{"fee", "fee", func(tx *types.DynamicFeeTx) any { tx.GasFeeCap = big.NewInt(900); return nil }},
		{"tip", "tip", func(tx *types.DynamicFeeTx) any { tx.GasTipCap = big.NewInt(2); return nil }},
		{"chain", "chain id", func(tx *types.DynamicFeeTx) any { tx.ChainID = big.NewInt(1); return nil }},
		{"access list", "access list", func(tx *types.DynamicFeeTx) any { tx.AccessList = types.AccessList{{}}; return nil }},
		{"another account", "signed by", func(*types.DynamicFeeTx) any { return other() }},
		{"no transaction", "no transaction", func(*types.DynamicFeeTx) any { return "0x0102" }},
		{"a number", "no signed transaction", func(*types.DynamicFeeTx) any { return 5 }},
		{"null", "no signed transaction", func(*types.DynamicFeeTx) any { return map[string]any{} }},
		{"a refusal", "no such key", func(*types.DynamicFeeTx) any { return refusal{Code: -32000, Message: "no such key"} }},
		{"large", "larger", func(*types.DynamicFeeTx) any { return hexutil.Bytes(make([]byte, 1<<20)) }},
	} {
		url, account := signServer(t, x.bend)
		signed, err := Remote(url, account, nil).Sign(t.Context(), someTx(1337), big.NewInt(1337))
		if caos.KindOf(err) != caos.Unavailable || signed != nil || !strings.Contains(err.Error(), x.words) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	if _, err := Remote("file:///x", account, nil).Sign(t.Context(), someTx(1337), big.NewInt(1337)); caos.AsError(err).Field != "signer" {
		t.Error(err)
	}
	if _, err := Remote("http://127.0.0.1:1/key", account, &http.Client{}).Sign(t.Context(), someTx(1337), big.NewInt(1337)); caos.KindOf(err) != caos.Unavailable || strings.Contains(err.Error(), "/key") {
		t.Error(err)
	}
	// geth and clef answer an object that has the bytes.
	url, account = signServer(t, func(tx *types.DynamicFeeTx) any { return nil })
	signed, err = Remote(url, account, nil).Sign(t.Context(), someTx(1337), big.NewInt(1337))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signed.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	object, err := json.Marshal(map[string]any{"raw": hexutil.Bytes(raw), "tx": signed})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := signedOf(object); err != nil || got.Hash() != signed.Hash() {
		t.Error(err)
	}
}

// TestKeystoreOfNoKey: a file that decrypts to 0, or to the group's order, has no key.
func TestKeystoreOfNoKey(t *testing.T) {
	for name, key := range map[string][]byte{"zero": make([]byte, 32), "the order": crypto.S256().Params().N.Bytes(), "beyond": bytes.Repeat([]byte{0xff}, 32)} {
		sealed, err := keystore.EncryptDataV3(key, []byte("hush"), 2, 1)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]any{"version": 3, "crypto": sealed})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKeystore(text, []byte("hush")); caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field != "keystore" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
