package verify

import (
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	proofHeader = "c2sp.org/tlog-proof@v1"
	// maxProofHashes is more than any tree of MaxTreeSize leaves needs.
	maxProofHashes = 128
	maxProofExtra  = 16 << 10
	// MaxProof is the most bytes of a proof that are read.
	MaxProof = MaxCheckpoint + 2*maxProofExtra + maxProofHashes*48
)

// Proof says that a leaf stands at an index of the tree of a checkpoint
// (c2sp.org/tlog-proof@v1). It carries no leaf: whoever checks it brings the leaf's hash.
type Proof struct {
	Extra      []byte      // opaque and not authenticated; CAOS writes none
	Index      int64       // zero-based position of the leaf
	Hashes     []tlog.Hash // from the leaf's sibling up to a child of the root
	Checkpoint []byte      // the signed checkpoint, verbatim
}

// FormatProof writes a proof.
func FormatProof(p Proof) []byte {
	var b strings.Builder
	b.Grow(64 + 45*len(p.Hashes) + len(p.Checkpoint))
	b.WriteString(proofHeader + "\n")
	if p.Extra != nil {
		b.WriteString("extra " + encodeBase64(p.Extra) + "\n")
	}
	b.WriteString("index " + strconv.FormatInt(p.Index, 10) + "\n")
	for _, h := range p.Hashes {
		b.WriteString(h.String() + "\n")
	}
	b.WriteString("\n")
	b.Write(p.Checkpoint)
	return []byte(b.String())
}

// ParseProof reads a proof strictly: the header, the lines in their order, canonical
// numbers and base64. The checkpoint it ends in is returned as it is, to be opened with
// OpenCheckpoint.
func ParseProof(data []byte) (Proof, error) {
	if len(data) > MaxProof {
		return Proof{}, refuse("proof", "has %d bytes, more than %d", len(data), MaxProof)
	}
	head, checkpoint, ok := strings.Cut(string(data), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || lines[0] != proofHeader {
		return Proof{}, refuse("proof", "is not a %s", proofHeader)
	}
	var p Proof
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		p.Extra, ok = decodeBase64(strings.TrimPrefix(lines[0], "extra "))
		if !ok || len(p.Extra) > maxProofExtra {
			return Proof{}, refuse("proof", "has a malformed extra line")
		}
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return Proof{}, refuse("proof", "has no index line where one belongs")
	}
	if p.Index, ok = decimal(strings.TrimPrefix(lines[0], "index ")); !ok {
		return Proof{}, refuse("proof", "has a malformed index: %s", quote(lines[0]))
	}
	lines = lines[1:]
	if len(lines) > maxProofHashes {
		return Proof{}, refuse("proof", "has %d hashes, more than any tree needs", len(lines))
	}
	p.Hashes = make([]tlog.Hash, len(lines))
	for i, l := range lines {
		h, ok := decodeBase64(l)
		if !ok || len(h) != tlog.HashSize {
			return Proof{}, refuse("proof", "hash %d is malformed: %s", i+1, quote(l))
		}
		p.Hashes[i] = tlog.Hash(h)
	}
	if checkpoint == "" {
		return Proof{}, refuse("proof", "has no checkpoint")
	}
	p.Checkpoint = []byte(checkpoint)
	return p, nil
}

// Verify checks that the leaf with this hash is at the proof's index of the log that the
// trust file describes, and returns the checkpoint that says so. Of the witnesses of the
// trust file as many as it asks for must have cosigned that checkpoint.
func (p Proof) Verify(leaf tlog.Hash, trust Trust) (Checkpoint, error) {
	c, _, err := p.verifyCosigned(leaf, trust)
	return c, err
}

func (p Proof) verifyCosigned(leaf tlog.Hash, trust Trust) (Checkpoint, []Cosignature, error) {
	c, by, err := OpenCosigned(p.Checkpoint, trust)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	if len(by) < trust.WitnessQuorum {
		return Checkpoint{}, nil, refuse("checkpoint", "is cosigned by %d of the witnesses, and the trust file asks for %d", len(by), trust.WitnessQuorum)
	}
	return c, by, CheckInclusion(p.Hashes, c, p.Index, leaf)
}

// CheckInclusion checks by RFC 6962 that the leaf with this hash is at index of the
// checkpoint's tree.
func CheckInclusion(hashes []tlog.Hash, c Checkpoint, index int64, leaf tlog.Hash) error {
	if c.Size < 0 || c.Size > MaxTreeSize || index < 0 || index >= c.Size {
		return refuse("proof", "index %d is not in a tree of %d leaves", index, c.Size)
	}
	if err := tlog.CheckRecord(tlog.RecordProof(hashes), c.Size, c.Root, index, leaf); err != nil {
		return refuse("proof", "the leaf is not at index %d of the tree of %d leaves", index, c.Size)
	}
	return nil
}

// CheckConsistency checks by RFC 6962 that the older tree is a prefix of the newer: that
// nothing was changed or removed in between.
func CheckConsistency(hashes []tlog.Hash, older, newer Checkpoint) error {
	if older.Size < 0 || newer.Size > MaxTreeSize || older.Size > newer.Size {
		return refuse("proof", "a tree of %d leaves cannot have grown to %d", older.Size, newer.Size)
	}
	if older.Size == 0 {
		// Everything extends nothing; a proof would be empty.
		if len(hashes) != 0 || older.Root != emptyRoot() || newer.Size == 0 && newer.Root != emptyRoot() {
			return refuse("proof", "the empty tree has another root and needs no proof")
		}
		return nil
	}
	if err := tlog.CheckTree(tlog.TreeProof(hashes), newer.Size, newer.Root, older.Size, older.Root); err != nil {
		return refuse("proof", "the tree of %d leaves is not a prefix of the tree of %d", older.Size, newer.Size)
	}
	return nil
}
