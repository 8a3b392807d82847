package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/crypto"
)

// Where things are in the folder of a chain.
const (
	genesisFile  = "genesis.json"  // what the chain began with: written once
	seedFile     = "seed"          // 32 bytes in hex; every account's key comes from it
	passwordFile = "password"      // of all keystores
	infoFile     = "devchain.json" // what others want to know, written at every start
	keysFolder   = "keys"
	chainFolder  = "chain"
)

// Limits and defaults of a new chain.
const (
	defaultChainID  = 1337
	defaultAccounts = 4
	maxAccounts     = 100
)

// genesis is what cannot change once the first block was made.
type genesis struct {
	ChainID  uint64 `json:"chain_id"`
	Accounts int    `json:"accounts"`
}

// info is devchain.json.
type info struct {
	URL          string    `json:"url"`
	ChainID      uint64    `json:"chain_id"`
	PID          int       `json:"pid"`
	PasswordFile string    `json:"password_file"`
	Accounts     []account `json:"accounts"`
}

// account is a funded account.
type account struct {
	Address  string `json:"address"`  // with the capitals of its check sum
	Keystore string `json:"keystore"` // absolute path of the V3 file
}

// openGenesis reads what the chain of a folder began with, or decides it for a new one. A
// chain that is there already keeps what it has: other wishes are refused.
func openGenesis(dir string, wanted genesis) (genesis, error) {
	if wanted.Accounts < 0 || wanted.Accounts > maxAccounts {
		return genesis{}, fmt.Errorf("%w: --accounts must be between 1 and %d", errUsage, maxAccounts)
	}
	path := filepath.Join(dir, genesisFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if wanted.ChainID == 0 {
			wanted.ChainID = defaultChainID
		}
		if wanted.Accounts == 0 {
			wanted.Accounts = defaultAccounts
		}
		return wanted, writeJSON(path, wanted)
	}
	if err != nil {
		return genesis{}, err
	}
	var g genesis
	if err := json.Unmarshal(text, &g); err != nil || g.Accounts < 1 || g.Accounts > maxAccounts || g.ChainID == 0 {
		return genesis{}, fmt.Errorf("%s does not say what the chain began with: remove the folder %s and start anew", path, dir)
	}
	if wanted.ChainID != 0 && wanted.ChainID != g.ChainID {
		return genesis{}, fmt.Errorf("%w: --chain-id %d: the chain in %s has chain id %d; leave the flag out, or name another folder", errUsage, wanted.ChainID, dir, g.ChainID)
	}
	if wanted.Accounts != 0 && wanted.Accounts != g.Accounts {
		return genesis{}, fmt.Errorf("%w: --accounts %d: the chain in %s began with %d; leave the flag out, or name another folder", errUsage, wanted.Accounts, dir, g.Accounts)
	}
	return g, nil
}

// secret reads a file of 32 bytes in hex, and makes it if it is not there.
func secret(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		var b [32]byte
		_, _ = rand.Read(b[:]) // never fails
		s := hex.EncodeToString(b[:])
		return s, write(path, []byte(s))
	}
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(text))
	if b, err := hex.DecodeString(s); err != nil || len(b) != 32 {
		return "", fmt.Errorf("%s does not hold 32 bytes in hex", path)
	}
	return s, nil
}

// openAccounts makes the keys of a chain's accounts and the keystores that are missing.
func openAccounts(dir string, g genesis) ([]account, error) {
	seed, err := secret(filepath.Join(dir, seedFile))
	if err != nil {
		return nil, err
	}
	password, err := secret(filepath.Join(dir, passwordFile))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, keysFolder), 0o700); err != nil {
		return nil, err
	}
	accounts := make([]account, 0, g.Accounts)
	for i := range g.Accounts {
		key := derive(seed, i)
		address := crypto.PubkeyToAddress(key.PublicKey)
		a := account{Address: address.Hex()}
		a.Keystore = filepath.Join(dir, keysFolder, fmt.Sprintf("%02d-%s.json", i, strings.ToLower(a.Address)))
		if _, err := os.Stat(a.Keystore); errors.Is(err, fs.ErrNotExist) {
			k := &keystore.Key{Address: address, PrivateKey: key}
			_, _ = rand.Read(k.Id[:])
			k.Id[6], k.Id[8] = k.Id[6]&0x0f|0x40, k.Id[8]&0x3f|0x80 // a random UUID says that it is one
			// The light parameters: the password lies beside the file anyway.
			text, err := keystore.EncryptKey(k, password, keystore.LightScryptN, keystore.LightScryptP)
			if err != nil {
				return nil, err
			}
			if err := write(a.Keystore, text); err != nil {
				return nil, err
			}
		}
		accounts = append(accounts, a)
	}
	return accounts, nil
}

// derive makes the key of account i. Nearly every hash is a key; one that is not is hashed
// again.
func derive(seed string, i int) *ecdsa.PrivateKey {
	h := crypto.Keccak256([]byte("caos-devchain account"), []byte(seed), binary.BigEndian.AppendUint64(nil, uint64(i)))
	for {
		if key, err := crypto.ToECDSA(h); err == nil {
			return key
		}
		h = crypto.Keccak256(h)
	}
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return write(path, append(text, '\n'))
}

// write replaces a file as a whole: a process that dies leaves the old one or the new one.
func write(path string, text []byte) error {
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
