package httpapi

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"caos"
)

// A cursor has the key of the row in it at which a page ended, and that row may be one that the
// caller must not hear of. So what goes out is sealed: it tells nothing but that there is more
// (and by its length only whether the key is uncommonly long), fits no other list, and cannot be
// made by hand. The same row gives the same text, on every node and after a restart, so that an
// answer that changed has changed. Another encryption key ends them: nodes that were started
// before and after it came refuse each other's.

// cursorStep is what the length of a cursor is rounded up to, in bytes.
const cursorStep = 96

// endOfCursor is between a cursor and the zeros that fill it up.
const endOfCursor = 1

// cursors seals and opens cursors.
type cursors struct {
	aead cipher.AEAD
	mac  []byte // key of the nonces
}

// newCursors makes them of a secret of 32 bytes that all nodes have. Without one they are good
// until the process ends.
func newCursors(secret []byte) cursors {
	if len(secret) == 0 {
		secret = make([]byte, 32)
		_, _ = rand.Read(secret) // cannot fail
	}
	half := func(label string) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(label))
		return h.Sum(nil)
	}
	block, err := aes.NewCipher(half("caos cursors: seal"))
	if err != nil {
		panic(err) // only for a key of another length
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // only for another block size
	}
	return cursors{aead: aead, mac: half("caos cursors: nonce")}
}

// seal hides where a list's page ended; "" stays "".
func (s cursors) seal(list, cursor string) string {
	if cursor == "" {
		return ""
	}
	text := append([]byte(cursor), endOfCursor)
	text = append(text, make([]byte, (cursorStep-len(text)%cursorStep)%cursorStep)...)
	// The nonce is of what is sealed: the same for the same, and for nothing else.
	h := hmac.New(sha256.New, s.mac)
	h.Write([]byte(list + "\x00"))
	h.Write(text)
	nonce := h.Sum(nil)[:s.aead.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, text, []byte(list)))
}

// open gives back what seal hid. Anything else is Invalid, by the field cursor.
func (s cursors) open(list, sealed string) (string, error) {
	if sealed == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if n := s.aead.NonceSize(); err == nil && len(raw) > n {
		if text, err := s.aead.Open(nil, raw[:n], raw[n:], []byte(list)); err == nil {
			if text = bytes.TrimRight(text, "\x00"); len(text) > 1 && text[len(text)-1] == endOfCursor {
				return string(text[:len(text)-1]), nil
			}
		}
	}
	return "", caos.Errorf(caos.Invalid, "not a cursor of this list").WithField("cursor").
		WithHint("use the next_cursor of the page before, unchanged; without a cursor the list begins anew")
}

// cursor is where a request says that its page begins.
func (p *Paging) cursor() *string { return &p.Cursor }

// next is where the next page begins.
func (p *Page[T]) next() *string { return &p.NextCursor }
