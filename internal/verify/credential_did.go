package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base32"
	"encoding/base64"
	"strings"
)

// How keys and contents are named outside this installation: did:key for the key that
// signed a passport, a CID for the bytes of a credential. Both carry what they name, so
// that nothing has to be looked up.

// base58Alphabet is Bitcoin's: without 0, O, I and l, which people take for one another.
const base58Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// maxBase58 is the most characters that are decoded: the work grows with the square, and
// an Ed25519 signature has 88.
const maxBase58 = 128

// multikeyEd25519 is the multicodec of an Ed25519 public key, 0xed, as a varint.
const multikeyEd25519 = "\xed\x01"

// didKeyPrefix is that of a did:key whose key is written in base58btc.
const didKeyPrefix = "did:key:z"

// encodeBase58 writes bytes in base58btc; a leading zero byte is a leading '1'.
func encodeBase58(b []byte) string {
	zeros := 0
	for zeros < len(b) && b[zeros] == 0 {
		zeros++
	}
	var digits []byte // base 58, the least first
	for _, c := range b[zeros:] {
		carry := int(c)
		for i, d := range digits {
			carry += int(d) << 8
			digits[i], carry = byte(carry%58), carry/58
		}
		for ; carry > 0; carry /= 58 {
			digits = append(digits, byte(carry%58))
		}
	}
	out := bytes.Repeat([]byte{'1'}, zeros)
	for i := len(digits) - 1; i >= 0; i-- {
		out = append(out, base58Alphabet[digits[i]])
	}
	return string(out)
}

// decodeBase58 reads what encodeBase58 writes. Each byte string has one spelling.
func decodeBase58(s string) ([]byte, bool) {
	if len(s) > maxBase58 {
		return nil, false
	}
	zeros := 0
	for zeros < len(s) && s[zeros] == '1' {
		zeros++
	}
	var out []byte // base 256, the least first
	for i := zeros; i < len(s); i++ {
		carry := strings.IndexByte(base58Alphabet, s[i])
		if carry < 0 {
			return nil, false
		}
		for j, b := range out {
			carry += int(b) * 58
			out[j], carry = byte(carry), carry>>8
		}
		for ; carry > 0; carry >>= 8 {
			out = append(out, byte(carry))
		}
	}
	full := make([]byte, zeros, zeros+len(out))
	for i := len(out) - 1; i >= 0; i-- {
		full = append(full, out[i])
	}
	return full, true
}

// DIDKey returns the did:key of an Ed25519 public key.
func DIDKey(pub ed25519.PublicKey) string {
	return didKeyPrefix + encodeBase58(append([]byte(multikeyEd25519), pub...))
}

// ParseDIDKey returns the Ed25519 key that a did:key names.
func ParseDIDKey(did string) (ed25519.PublicKey, error) {
	text, ok := strings.CutPrefix(did, didKeyPrefix)
	if !ok {
		return nil, refuse("did", "%s is not a did:key in base58btc", quote(did))
	}
	raw, ok := decodeBase58(text)
	if !ok || !bytes.HasPrefix(raw, []byte(multikeyEd25519)) || len(raw) != len(multikeyEd25519)+ed25519.PublicKeySize {
		return nil, refuse("did", "%s does not name an Ed25519 key", quote(did))
	}
	return ed25519.PublicKey(raw[len(multikeyEd25519):]), nil
}

// VerificationMethod is the one key of a did:key document, as proofs name it.
func VerificationMethod(did string) string {
	return did + "#" + strings.TrimPrefix(did, "did:key:")
}

// Multihash writes a SHA-256 digest as digestMultibase has it: 'u', and base64url without
// padding of the multihash.
func Multihash(digest [32]byte) string {
	return "u" + base64.RawURLEncoding.EncodeToString(append([]byte(cidHead[2:]), digest[:]...))
}

// cidHead is what stands before the 32 bytes of the digest: version 1, raw bytes, SHA-256
// of 32 bytes.
const cidHead = "\x01\x55\x12\x20"

// cidAlphabet is RFC 4648's in lower case, as the multibase prefix 'b' says.
const cidAlphabet = "abcdefghijklmnopqrstuvwxyz234567"

// CID returns the content identifier of bytes with a SHA-256 digest: version 1, raw,
// base32 in lower case, such as "bafkrei…".
func CID(digest [32]byte) string {
	enc := base32.NewEncoding(cidAlphabet).WithPadding(base32.NoPadding)
	return "b" + enc.EncodeToString(append([]byte(cidHead), digest[:]...))
}

// ParseCID returns the SHA-256 digest that a content identifier of CID's form names. Others
// are refused: they name blocks of a graph and not the bytes of a document.
func ParseCID(s string) (digest [32]byte, err error) {
	enc := base32.NewEncoding(cidAlphabet).WithPadding(base32.NoPadding)
	bad := refuse("cid", "%s is not a version 1 content identifier of raw bytes by SHA-256 in base32", quote(s))
	if len(s) != 1+enc.EncodedLen(len(cidHead)+len(digest)) || s[0] != 'b' {
		return digest, bad
	}
	raw, err := enc.DecodeString(s[1:])
	if err != nil || !bytes.HasPrefix(raw, []byte(cidHead)) || copy(digest[:], raw[len(cidHead):]) != len(digest) || CID(digest) != s {
		return [32]byte{}, bad
	}
	return digest, nil
}
