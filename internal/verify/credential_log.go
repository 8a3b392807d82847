package verify

import "bytes"

// maxPassportProof is the most bytes of a passport's proof that are read.
const maxPassportProof = 2 * (MaxProof + MaxCheckpoint)

// PassportProof shows that a passport stands in the audit log: its public record with all
// that ties it to a leaf of a signed tree. Nothing in it is confidential.
type PassportProof struct {
	_          struct{} `open:"true"`
	PassportID string   `json:"passport_id"`
	RecordID   string   `json:"record_id"`  // of the public record
	Record     string   `json:"record"`     // canonical JSON text, as it is stored
	Salt       string   `json:"salt"`       // base64 of 32 bytes
	Leaf       string   `json:"leaf"`       // canonical JSON text
	Index      int64    `json:"index"`      // of the leaf in the log
	Proof      string   `json:"proof"`      // c2sp.org/tlog-proof@v1, which ends in the checkpoint
	Checkpoint string   `json:"checkpoint"` // the same signed note, by itself
}

// passportRecord is the public record of a passport, as far as it is compared.
type passportRecord struct {
	_       struct{} `open:"true"`
	ID      string   `json:"id"`
	Time    string   `json:"time,omitempty"`
	Type    string   `json:"type,omitempty"`
	Details struct {
		_          struct{} `open:"true"`
		PassportID string   `json:"passport_id"`
		Credential string   `json:"credential_digest"`
		Annex      string   `json:"annex_digest"`
		CID        string   `json:"cid"`
	} `json:"details"`
}

// LoggedPassport is a passport that the audit log has.
type LoggedPassport struct {
	Credential
	Index      int64         // of the leaf of its public record
	Leaf       Leaf          // that leaf: when the log recorded it
	Checkpoint Checkpoint    // of the tree in which it stands
	Cosigned   []Cosignature // of that checkpoint, by witnesses of the trust file
}

// CheckLoggedPassport verifies a passport with the proof that the audit log has its public
// record: what CheckCredentialAt does, the record's commitment, its leaf in the tree, and the
// signature of the checkpoint.
func CheckLoggedPassport(raw, proof []byte, trust Trust) (*LoggedPassport, error) {
	p, err := ParsePassportProof(proof)
	if err != nil {
		return nil, err
	}
	leaf, checkpoint, by, err := p.inLog(trust)
	if err != nil {
		return nil, err
	}
	c, err := CheckCredentialAt(raw, trust, p.Index)
	if err != nil {
		return nil, err
	}
	var r passportRecord
	if err := decodeStrict("record", []byte(p.Record), shapeOf[passportRecord](), &r); err != nil {
		return nil, err
	}
	if err := plainTokens([]byte(p.Record), false); err != nil {
		return nil, refuse("record", "%v", err)
	}
	if body := (recordBody{ID: r.ID, Time: r.Time, Type: r.Type}); !body.agrees(leaf) {
		return nil, refuse("record", "says another id, time or type than its leaf")
	}
	for _, f := range []struct{ field, has, want string }{
		{"record.id", r.ID, leaf.ID}, {"record_id", p.RecordID, leaf.ID}, {"passport_id", p.PassportID, c.Subject.PassportID},
		{"record.details.passport_id", r.Details.PassportID, c.Subject.PassportID}, {"record.details.credential_digest", r.Details.Credential, c.Digest},
		{"record.details.annex_digest", r.Details.Annex, c.Subject.AnnexDigest}, {"record.details.cid", r.Details.CID, c.CID},
		{"checkpoint", checkpoint.Origin, c.Subject.LogOrigin},
	} {
		if f.has != f.want {
			return nil, refuse(f.field, "is %s and not %s", quote(f.has), quote(f.want))
		}
	}
	return &LoggedPassport{Credential: *c, Index: p.Index, Leaf: leaf, Checkpoint: checkpoint, Cosigned: by}, nil
}

// ParsePassportProof reads a passport's proof strictly. Nothing is checked yet.
func ParsePassportProof(data []byte) (p PassportProof, err error) {
	if len(data) > maxPassportProof {
		return p, refuse("proof", "has %d bytes, more than %d", len(data), maxPassportProof)
	}
	return p, decodePlain("proof", data, shapeOf[PassportProof](), &p)
}

// inLog checks that the record is at its place in the signed tree.
func (p *PassportProof) inLog(trust Trust) (Leaf, Checkpoint, []Cosignature, error) {
	leaf, hash, err := RecordFile{Index: p.Index, Leaf: p.Leaf, Record: p.Record, Salt: p.Salt}.Check()
	if err != nil {
		return leaf, Checkpoint{}, nil, err
	}
	proof, err := ParseProof([]byte(p.Proof))
	switch {
	case err != nil:
		return leaf, Checkpoint{}, nil, err
	case proof.Index != p.Index:
		return leaf, Checkpoint{}, nil, refuse("index", "is %d, the proof is of %d", p.Index, proof.Index)
	case !bytes.Equal(proof.Checkpoint, []byte(p.Checkpoint)):
		return leaf, Checkpoint{}, nil, refuse("checkpoint", "is not the one of the proof")
	}
	c, by, err := proof.verifyCosigned(hash, trust)
	return leaf, c, by, err
}
