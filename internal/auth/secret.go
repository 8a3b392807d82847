package auth

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"io"
	"strings"

	"caos"
)

// A token is "caos_<id>_<secret>": id is 10 random bytes and secret 32, in lower-case
// base32 without padding. The prefix lets scanners find a token that leaked.
const (
	tokenPrefix = "caos_"
	idBytes     = 10
	secretBytes = 32
	idChars     = 16
	secretChars = 52
	tokenChars  = len(tokenPrefix) + idChars + 1 + secretChars
)

const alphabet = "abcdefghijklmnopqrstuvwxyz234567"

func encoding() *base32.Encoding {
	return base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)
}

// newToken returns a fresh token, its id and its hash.
func newToken(random io.Reader) (token, id string, hash [32]byte, err error) {
	var b [idBytes + secretBytes]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", "", hash, fmt.Errorf("random bytes: %w", err)
	}
	enc := encoding()
	id = enc.EncodeToString(b[:idBytes])
	token = tokenPrefix + id + "_" + enc.EncodeToString(b[idBytes:])
	return token, id, sha256.Sum256([]byte(token)), nil
}

// parseToken returns the id of a well-formed token. It decides nothing.
func parseToken(token string) (id string, ok bool) {
	if len(token) != tokenChars || !strings.HasPrefix(token, tokenPrefix) || token[len(tokenPrefix)+idChars] != '_' {
		return "", false
	}
	id = token[len(tokenPrefix) : len(tokenPrefix)+idChars]
	if !inAlphabet(id) || !inAlphabet(token[len(tokenPrefix)+idChars+1:]) {
		return "", false
	}
	return id, true
}

func inAlphabet(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// parseMFA reads the value of the header CAOS-MFA: "totp" and six digits.
func parseMFA(header string) (code string, err error) {
	method, code, ok := strings.Cut(header, " ")
	good := ok && method == "totp" && len(code) == 6
	for i := 0; good && i < len(code); i++ {
		good = code[i] >= '0' && code[i] <= '9'
	}
	if !good {
		return "", caos.Errorf(caos.Unauthenticated, "the second factor is malformed").WithField("CAOS-MFA").
			WithHint("send the header CAOS-MFA: totp and the six digits of the current code")
	}
	return code, nil
}
