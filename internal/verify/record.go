package verify

import (
	"encoding/json"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
)

// MaxRecordFile is the most bytes of a record file that are read.
const MaxRecordFile = 8 << 20

// RecordFile is an audit record with all that ties it to its leaf.
type RecordFile struct {
	Index  int64  `json:"index"`  // of the leaf in the log
	Leaf   string `json:"leaf"`   // LeafBytes
	Record string `json:"record"` // the stored record, canonical JSON text
	Salt   string `json:"salt"`   // base64 of 32 bytes
}

// NewRecordFile returns the file of a record.
func NewRecordFile(index int64, leaf, record []byte, salt [32]byte) RecordFile {
	return RecordFile{Index: index, Leaf: string(leaf), Record: string(record), Salt: encodeBase64(salt[:])}
}

// Marshal writes the file in canonical form.
func (f RecordFile) Marshal() []byte {
	b := make([]byte, 0, len(f.Record)+len(f.Record)/4+len(f.Leaf)+256)
	b = strconv.AppendInt(append(b, `{"index":`...), f.Index, 10)
	b = canonicalString(append(b, `,"leaf":`...), f.Leaf)
	b = canonicalString(append(b, `,"record":`...), f.Record)
	b = canonicalString(append(b, `,"salt":`...), f.Salt)
	return append(b, '}')
}

// ParseRecordFile reads a record file strictly.
func ParseRecordFile(data []byte) (RecordFile, error) {
	return parseRecordFile(data, shapeOf[RecordFile]())
}

func parseRecordFile(data []byte, s *shape) (RecordFile, error) {
	var f RecordFile
	if len(data) > MaxRecordFile {
		return f, refuse("record", "has %d bytes, more than %d", len(data), MaxRecordFile)
	}
	return f, decodeStrict("record", data, s, &f)
}

// Check recomputes the commitment from salt and record and compares it with the leaf's. It
// returns the leaf and its RFC 6962 hash.
func (f RecordFile) Check() (Leaf, tlog.Hash, error) {
	leaf, err := ParseLeaf([]byte(f.Leaf))
	if err != nil {
		return leaf, tlog.Hash{}, err
	}
	salt, ok := decodeBase64(f.Salt)
	if !ok || len(salt) != 32 {
		return leaf, tlog.Hash{}, refuse("salt", "is not 32 bytes in base64")
	}
	if FormatHash(Commitment([32]byte(salt), []byte(f.Record))) != leaf.Commitment {
		return leaf, tlog.Hash{}, refuse("record", "is not the record that the leaf commits to")
	}
	return leaf, RecordHash([]byte(f.Leaf)), nil
}

// recordBody is the part of a record that is compared with other entries. Whatever stands
// in the leaf too must be the same there.
type recordBody struct {
	_         struct{}        `open:"true"`
	ID        string          `json:"id,omitempty"`
	Time      string          `json:"time,omitempty"`
	Type      string          `json:"type,omitempty"`
	Resources *[]string       `json:"resources,omitempty"`
	Details   json.RawMessage `json:"details,omitempty"`
}

// evidenceDetails are the details of an EVIDENCE record.
type evidenceDetails struct {
	_            struct{} `open:"true"`
	EvidenceHash *string  `json:"evidence_hash,omitempty"` // "SHA256:" and hex of the artifact
	EnvelopeHash *string  `json:"envelope_hash,omitempty"` // of envelope.dsse.json
}

// decisionDetails are the details of the record of a personal decision.
type decisionDetails struct {
	_             struct{} `open:"true"`
	StatementHash *string  `json:"statement_hash,omitempty"` // "SHA256:" and hex of the decision's statement
}

func (b recordBody) agrees(l Leaf) bool {
	if b.Time != "" && b.Time != l.Time {
		// Leaves always have six decimals; the record may drop zeros.
		rt, err := time.Parse(time.RFC3339Nano, b.Time)
		lt, _ := time.Parse(caos.TimeLayout, l.Time)
		if err != nil || !rt.Equal(lt) {
			return false
		}
	}
	return (b.ID == "" || b.ID == l.ID) && (b.Type == "" || b.Type == l.Type)
}

func (b recordBody) names(resource string) bool {
	if b.Resources == nil {
		return false
	}
	for _, r := range *b.Resources {
		if r == resource {
			return true
		}
	}
	return false
}
