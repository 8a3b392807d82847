package verify

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// MaxCheckpoint is the most bytes of a signed checkpoint that are read: room for a
	// hundred cosignatures.
	MaxCheckpoint = 64 << 10
	// MaxTreeSize bounds tree sizes and indices. The arithmetic of sumdb/tlog does not
	// end for sizes beyond 2^62, so a hostile checkpoint must not get that far; no log
	// of ours comes near 2^48.
	MaxTreeSize = 1 << 48
	maxOrigin   = 200
)

// Checkpoint is the head of a log: a tree size and the RFC 6962 root over so many leaves
// (c2sp.org/tlog-checkpoint).
type Checkpoint struct {
	Origin     string    // the log's name, first line of the note
	Size       int64     // number of leaves
	Root       tlog.Hash // root hash of the tree
	Extensions []string  // further lines, opaque to us; CAOS writes none
	KeyID      string    // CAOS key that signed; "" until OpenCheckpoint has checked it
}

// Text returns the note text that is signed, with its final newline.
func (c Checkpoint) Text() string {
	var b strings.Builder
	b.WriteString(c.Origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + c.Root.String() + "\n")
	for _, l := range c.Extensions {
		b.WriteString(l + "\n")
	}
	return b.String()
}

// CheckOrigin refuses an origin that cannot be the name of a note's key: it must be 1 to
// 200 bytes of UTF-8 without spaces, control characters or '+'.
func CheckOrigin(origin string) error {
	odd := func(r rune) bool { return r == '+' || unicode.IsSpace(r) || unicode.IsControl(r) }
	if origin == "" || len(origin) > maxOrigin || !utf8.ValidString(origin) || strings.ContainsFunc(origin, odd) {
		return refuse("origin", "%s cannot be the origin of a log", quote(origin))
	}
	return nil
}

// ParseCheckpoint reads the text of a checkpoint (not its signatures). Extension lines are
// tolerated, as the specification asks.
func ParseCheckpoint(text []byte) (Checkpoint, error) {
	if len(text) > MaxCheckpoint {
		return Checkpoint{}, refuse("checkpoint", "has %d bytes, more than %d", len(text), MaxCheckpoint)
	}
	body, ok := strings.CutSuffix(string(text), "\n")
	if !ok || !utf8.Valid(text) {
		return Checkpoint{}, refuse("checkpoint", "does not end in a newline or is not UTF-8")
	}
	lines := strings.Split(body, "\n")
	if len(lines) < 3 {
		return Checkpoint{}, refuse("checkpoint", "has %d lines, fewer than 3", len(lines))
	}
	for _, l := range lines {
		if l == "" {
			return Checkpoint{}, refuse("checkpoint", "has an empty line")
		}
	}
	c := Checkpoint{Origin: lines[0]}
	if err := CheckOrigin(c.Origin); err != nil {
		return Checkpoint{}, err
	}
	if c.Size, ok = decimal(lines[1]); !ok {
		return Checkpoint{}, refuse("checkpoint", "%s is not a tree size", quote(lines[1]))
	}
	root, ok := decodeBase64(lines[2])
	if !ok || len(root) != tlog.HashSize {
		return Checkpoint{}, refuse("checkpoint", "%s is not a root hash", quote(lines[2]))
	}
	c.Root = tlog.Hash(root)
	if c.Size == 0 && c.Root != emptyRoot() {
		return Checkpoint{}, refuse("checkpoint", "an empty tree has another root hash")
	}
	if len(lines) > 3 {
		c.Extensions = lines[3:]
	}
	return c, nil
}

// emptyRoot is the root of a tree without leaves: the hash of nothing.
func emptyRoot() tlog.Hash {
	h, _ := tlog.TreeHash(0, nil)
	return h
}

// decimal reads a number from 0 to MaxTreeSize without sign or leading zeros.
func decimal(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > MaxTreeSize || strconv.FormatInt(n, 10) != s {
		return 0, false
	}
	return n, true
}

// OpenCheckpoint reads a signed checkpoint and checks its origin and that a checkpoint key
// of the trust file signed it, one that was active at the tree's last leaf and was never
// reported compromised. Signatures by other keys, such as witnesses, are ignored; a wrong
// signature by a key of the trust file is an error.
func OpenCheckpoint(signed []byte, trust Trust) (Checkpoint, error) {
	return openCheckpoint(signed, trust, func(k *TrustKey, leaf int64) bool {
		return k.CompromisedAt == nil && k.activeAt(leaf)
	})
}

// OpenLoggedCheckpoint is OpenCheckpoint for who also holds the log's leaves and proves
// the checkpoint from them: then a key counts up to the leaf that reports it compromised.
func OpenLoggedCheckpoint(signed []byte, trust Trust) (Checkpoint, error) {
	return openCheckpoint(signed, trust, func(k *TrustKey, leaf int64) bool {
		return k.activeAt(leaf) && (k.CompromisedAt == nil || leaf < *k.CompromisedAt)
	})
}

func openCheckpoint(signed []byte, trust Trust, counts func(*TrustKey, int64) bool) (Checkpoint, error) {
	if len(signed) > MaxCheckpoint {
		return Checkpoint{}, refuse("checkpoint", "has %d bytes, more than %d", len(signed), MaxCheckpoint)
	}
	// The text ends at the last empty line; its size decides which keys may sign it. What
	// is read here is confirmed below by the signature.
	split := bytes.LastIndex(signed, []byte("\n\n"))
	if split < 0 {
		return Checkpoint{}, refuse("checkpoint", "is not a signed note")
	}
	c, err := ParseCheckpoint(signed[:split+1])
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != trust.Origin {
		return Checkpoint{}, refuse("checkpoint", "is of the log %s, not of %s", quote(c.Origin), quote(trust.Origin))
	}
	var known []note.Verifier
	keyOf := map[uint32]string{}
	refused := ""
	for i := range trust.Keys {
		k := &trust.Keys[i]
		if k.Purpose != PurposeCheckpoint {
			continue
		}
		v, err := k.noteVerifier(trust.Origin)
		if err != nil {
			return Checkpoint{}, err
		}
		if !counts(k, max(c.Size-1, 0)) {
			if signedBy(signed, v) {
				refused = k.ID
			}
			continue
		}
		known = append(known, v)
		keyOf[v.KeyHash()] = k.ID
	}
	n, err := note.Open(signed, note.VerifierList(known...))
	if err != nil {
		if refused != "" {
			return Checkpoint{}, refuse("checkpoint", "is signed by %s, which does not count at tree size %d: the key was not active yet, was retired or is compromised", refused, c.Size)
		}
		return Checkpoint{}, refuse("checkpoint", "has no valid signature of a trusted key: %v", err)
	}
	if n.Text != string(signed[:split+1]) {
		return Checkpoint{}, refuse("checkpoint", "is not a well-formed note")
	}
	for _, s := range slices.Concat(n.Sigs, n.UnverifiedSigs) {
		// Package note lets the unused last bits of base64 be anything, so that two notes
		// could differ and both verify.
		if _, ok := decodeBase64(s.Base64); !ok {
			return Checkpoint{}, refuse("checkpoint", "has a signature in a non-canonical spelling")
		}
	}
	c.KeyID = keyOf[n.Sigs[0].Hash]
	return c, nil
}

func signedBy(signed []byte, v note.Verifier) bool {
	n, err := note.Open(signed, note.VerifierList(v))
	return err == nil && len(n.Sigs) > 0
}
