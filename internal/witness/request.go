package witness

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/verify"
)

const (
	// maxProof is the most hashes of a consistency proof, by the specification.
	maxProof = 63
	// maxRequest is the most bytes of a request: a proof, and a checkpoint with a hundred
	// signatures.
	maxRequest = 64 + maxProof*45 + verify.MaxCheckpoint
	// maxAnswer is the most bytes of an answer that the client reads.
	maxAnswer = 64 << 10
)

// Request asks a witness to cosign a checkpoint.
type Request struct {
	Old        int64       // size of the last checkpoint that the witness cosigned
	Proof      []tlog.Hash // that the tree of Old leaves is a prefix of the new one
	Checkpoint []byte      // signed note
}

// Format writes a request as add-checkpoint wants it.
func (r Request) Format() []byte {
	var b bytes.Buffer
	b.WriteString("old " + strconv.FormatInt(r.Old, 10) + "\n")
	for _, h := range r.Proof {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	b.WriteByte('\n')
	b.Write(r.Checkpoint)
	return b.Bytes()
}

// ParseRequest reads a request strictly. The checkpoint is not looked into.
func ParseRequest(body []byte) (Request, error) {
	bad := func(format string, args ...any) (Request, error) {
		return Request{}, caos.Errorf(caos.Invalid, format, args...).WithField("body")
	}
	if len(body) > maxRequest {
		return bad("the request has more than %d bytes", maxRequest)
	}
	head, checkpoint, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		return bad("the request has no empty line")
	}
	lines := strings.Split(string(head), "\n")
	old, ok := strings.CutPrefix(lines[0], "old ")
	if !ok {
		return bad("the request does not begin with an old size")
	}
	size, ok := decimal(old)
	if !ok {
		return bad("the old size is no number, or too large")
	}
	if len(lines)-1 > maxProof {
		return bad("the proof has %d hashes, more than %d", len(lines)-1, maxProof)
	}
	r := Request{Old: size, Checkpoint: checkpoint}
	for i, line := range lines[1:] {
		h, err := strict64(line)
		if err != nil || len(h) != tlog.HashSize {
			return bad("hash %d of the proof is malformed", i+1)
		}
		r.Proof = append(r.Proof, tlog.Hash(h))
	}
	return r, nil
}

// decimal reads a number without sign and leading zeros, as large as trees may be here.
func decimal(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > verify.MaxTreeSize || strconv.FormatInt(n, 10) != s {
		return 0, false
	}
	return n, true
}
