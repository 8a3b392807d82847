package ethereum

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"strings"
	"sync"

	"caos"
	"caos/internal/codec"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// Bounds of what a key file may ask for when it is opened. What geth writes (256 MiB, one
// pass) is the most.
const (
	maxKeystore   = 16 << 10 // bytes of its text
	maxScryptCost = 1 << 21  // n·r: 128 bytes of memory each
	maxScryptWork = 1 << 23  // n·r·p
	maxRounds     = 5_000_000
	maxPassword   = 1 << 10
)

// Signer signs for one account.
type Signer interface {
	Address() common.Address
	// Sign returns tx with the account's signature for a chain. tx itself is not changed.
	Sign(ctx context.Context, tx *types.Transaction, chainID *big.Int) (*types.Transaction, error)
}

// keySigner holds a key in memory.
type keySigner struct {
	address common.Address

	mu  sync.RWMutex
	key *ecdsa.PrivateKey // nil once closed
}

// Address returns the account.
func (s *keySigner) Address() common.Address { return s.address }

// Sign signs with the key.
func (s *keySigner) Sign(_ context.Context, tx *types.Transaction, chainID *big.Int) (*types.Transaction, error) {
	if err := signable(tx, chainID); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.key == nil {
		return nil, caos.Errorf(caos.Unavailable, "the key of the account %s is closed", s.address)
	}
	signed, err := types.SignTx(tx, types.LatestSignerForChainID(chainID), s.key)
	if err != nil {
		return nil, caos.Wrap(caos.Internal, err, "the transaction cannot be signed")
	}
	return signed, nil
}

// Close takes the key out of memory.
func (s *keySigner) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key != nil {
		zeroKey(s.key)
		s.key = nil
	}
	return nil
}

// zeroKey overwrites a key. What is deprecated is to compute with the number, or to make a
// key of one; there is no other way to overwrite it.
func zeroKey(k *ecdsa.PrivateKey) {
	//lint:ignore SA1019 see above
	clear(k.D.Bits())
}

// signable refuses what is never signed here: another chain's transactions, and the kinds
// that give an account away (EIP-7702) or carry blobs.
func signable(tx *types.Transaction, chainID *big.Int) error {
	switch {
	case tx == nil || chainID == nil || chainID.Sign() <= 0:
		return caos.Errorf(caos.Internal, "nothing to sign, or for no chain")
	case tx.Type() != types.DynamicFeeTxType:
		return caos.Errorf(caos.Internal, "only transactions with EIP-1559 fees are signed, this has type %d", tx.Type())
	case tx.ChainId().Cmp(chainID) != 0:
		return caos.Errorf(caos.Internal, "the transaction is for chain %s, and to be signed for %s", tx.ChainId(), chainID)
	}
	return nil
}

// OpenKeystore opens an encrypted key of the Web3 Secret Storage form, version 3. A wrong
// password is an error on the field password. The signer has a Close method that takes the
// key out of memory.
func OpenKeystore(text, password []byte) (Signer, error) {
	clean, stated, err := soundKeystore(text)
	if err != nil {
		return nil, err
	}
	if len(password) > maxPassword {
		return nil, caos.Errorf(caos.TooLarge, "a password of more than %d bytes", maxPassword).WithField("password")
	}
	key, err := keystore.DecryptKey(clean, string(password))
	if err != nil {
		if strings.Contains(err.Error(), keystore.ErrDecrypt.Error()) {
			return nil, caos.Wrap(caos.Invalid, err, "the password does not open the key file").WithField("password").
				WithHint("give the password with which the key file was made, without a line break at its end")
		}
		return nil, caos.Wrap(caos.Invalid, err, "the key file cannot be opened").WithField("keystore")
	}
	address := crypto.PubkeyToAddress(key.PrivateKey.PublicKey)
	if stated != nil && *stated != address {
		zeroKey(key.PrivateKey)
		return nil, caos.Errorf(caos.Invalid, "the key file says it is of %s, and its key is of %s", stated, address).WithField("keystore").
			WithHint("restore the key file from a backup")
	}
	return &keySigner{address: address, key: key.PrivateKey}, nil
}

// soundKeystore judges a key file before anything is computed from it: its form is a
// hostile's choice, and the cost of opening it, too. clean has what was judged and nothing
// else: the library reads member names in any case, and would take a second "Crypto".
func soundKeystore(text []byte) (clean []byte, stated *common.Address, err error) {
	bad := func(what string) ([]byte, *common.Address, error) {
		return nil, nil, caos.Errorf(caos.Invalid, "%s", what).WithField("keystore").
			WithHint("give a key file of version 3 (Web3 Secret Storage), as caos chain account new or a wallet writes it")
	}
	if len(text) > maxKeystore {
		return nil, nil, caos.Errorf(caos.TooLarge, "a key file of more than %d KiB", maxKeystore>>10).WithField("keystore")
	}
	doc, err := codec.Value(text, "", codec.Limits{MaxBytes: maxKeystore, MaxDepth: 6, MaxNodes: 200})
	if err != nil {
		return nil, nil, caos.AsError(err).WithField("keystore")
	}
	m := keyObject{doc}
	crypt := m.object("crypto")
	if v, ok := m.number("version"); !ok || v != 3 {
		return bad("the key file is not of version 3")
	}
	if crypt.v == nil || crypt.text("cipher") != "aes-128-ctr" {
		return bad("the key file has no aes-128-ctr cipher")
	}
	iv := crypt.object("cipherparams")
	if !crypt.hex("ciphertext", 32) || !crypt.hex("mac", 32) || !iv.hex("iv", 16) {
		return bad("the key file's ciphertext, iv or mac does not have the length it must have")
	}
	kdf := crypt.object("kdfparams")
	if n, ok := kdf.number("dklen"); !ok || n != 32 {
		return bad("the key file's dklen is not 32")
	}
	if s := kdf.text("salt"); len(s) == 0 || len(s) > 256 || !kdf.hex("salt", len(s)/2) {
		return bad("the key file's salt cannot be read")
	}
	params, err := soundCost(crypt.text("kdf"), kdf)
	if err != nil {
		return nil, nil, err
	}
	if a := m.text("address"); a != "" { // some wallets leave it out
		raw, err := hex.DecodeString(strings.TrimPrefix(a, "0x"))
		if err != nil || len(raw) != common.AddressLength {
			return bad("the key file's address is none")
		}
		stated = new(common.BytesToAddress(raw))
	}
	params["dklen"], params["salt"] = 32, kdf.text("salt")
	clean, err = json.Marshal(map[string]any{"version": 3, "id": "00000000-0000-4000-8000-000000000000", "crypto": map[string]any{
		"cipher": "aes-128-ctr", "ciphertext": crypt.text("ciphertext"), "cipherparams": map[string]any{"iv": iv.text("iv")},
		"mac": crypt.text("mac"), "kdf": crypt.text("kdf"), "kdfparams": params,
	}})
	if err != nil {
		return nil, nil, caos.Wrap(caos.Internal, err, "the key file cannot be written again")
	}
	return clean, stated, nil
}

// soundCost bounds what opening costs, and returns the settings that say so.
func soundCost(kdf string, params keyObject) (map[string]any, error) {
	bad := func(what string) (map[string]any, error) {
		return nil, caos.Errorf(caos.Invalid, "%s", what).WithField("keystore").WithHint("make the key file anew with a wallet's usual settings")
	}
	switch kdf {
	case "scrypt":
		n, okN := params.number("n")
		r, okR := params.number("r")
		p, okP := params.number("p")
		if !okN || !okR || !okP || n < 2 || n&(n-1) != 0 || r < 1 || p < 1 {
			return bad("the key file's scrypt settings cannot be")
		}
		if n > maxScryptCost || r > 64 || p > 64 || n*r > maxScryptCost || n*r*p > maxScryptWork {
			return bad("opening the key file would take too much memory or time")
		}
		return map[string]any{"n": n, "r": r, "p": p}, nil
	case "pbkdf2":
		c, ok := params.number("c")
		if !ok || c < 1 || params.text("prf") != "hmac-sha256" {
			return bad("the key file's pbkdf2 settings cannot be")
		}
		if c > maxRounds {
			return bad("opening the key file would take too much time")
		}
		return map[string]any{"c": c, "prf": "hmac-sha256"}, nil
	}
	return bad("the key file's kdf is neither scrypt nor pbkdf2")
}

// keyObject reads members of a JSON object that may be missing or of any type.
type keyObject struct{ v any }

func (o keyObject) get(key string) any {
	m, _ := o.v.(map[string]any)
	return m[key]
}

func (o keyObject) object(key string) keyObject {
	m, ok := o.get(key).(map[string]any)
	if !ok {
		return keyObject{}
	}
	return keyObject{m}
}

func (o keyObject) text(key string) string {
	s, _ := o.get(key).(string)
	return s
}

func (o keyObject) number(key string) (int, bool) {
	n, ok := o.get(key).(interface{ Int64() (int64, error) }) // json.Number
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return int(i), err == nil && i >= 0 && i < 1<<31
}

// hex reports whether a member is a number of bytes in hexadecimal.
func (o keyObject) hex(key string, size int) bool {
	b, err := hex.DecodeString(o.text(key))
	return err == nil && len(b) == size && size > 0
}

// NewKeystore makes a new key, encrypted with a password by scrypt at geth's usual cost: a
// second, and 256 MiB.
func NewKeystore(password []byte) (text []byte, address common.Address, err error) {
	if len(password) == 0 || len(password) > maxPassword {
		return nil, common.Address{}, caos.Errorf(caos.Invalid, "a password has 1 to %d bytes", maxPassword).WithField("password")
	}
	key, err := crypto.GenerateKey()
	if err != nil {
		return nil, common.Address{}, caos.Wrap(caos.Internal, err, "no key could be made")
	}
	defer zeroKey(key)
	var id [16]byte // a random UUID, RFC 9562 version 4
	if _, err := rand.Read(id[:]); err != nil {
		return nil, common.Address{}, caos.Wrap(caos.Internal, err, "no id could be made")
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	address = crypto.PubkeyToAddress(key.PublicKey)
	text, err = keystore.EncryptKey(&keystore.Key{Id: id, Address: address, PrivateKey: key}, string(password), keystore.StandardScryptN, keystore.StandardScryptP)
	if err != nil {
		return nil, common.Address{}, caos.Wrap(caos.Internal, err, "the key could not be encrypted")
	}
	return text, address, nil
}
