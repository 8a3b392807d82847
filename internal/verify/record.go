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

// recordDetails are what is compared with other entries of a record's details.
type recordDetails struct {
	_             struct{} `open:"true"`
	EvidenceHash  *string  `json:"evidence_hash,omitempty"`  // EVIDENCE: "SHA256:" and hex of the artifact
	EnvelopeHash  *string  `json:"envelope_hash,omitempty"`  // EVIDENCE: of envelope.dsse.json
	StatementHash *string  `json:"statement_hash,omitempty"` // of a personal decision's statement

	// What a freeze and a passport say of the files that were made.
	BundleHash     *string `json:"bundle_digest,omitempty"`     // of the baseline's model.sig
	CredentialHash *string `json:"passport_digest,omitempty"`   // of the passport's credential
	PublicHash     *string `json:"credential_digest,omitempty"` // likewise, in the record that is for anybody
}

// decisionDetails are what is compared with a decision's statement and with its outcome.
// Records from before there were outcomes have none of them.
type decisionDetails struct {
	_             struct{} `open:"true"`
	What          *string  `json:"what,omitempty"`
	SubjectDigest *string  `json:"subject_digest,omitempty"`
	Outcome       string   `json:"outcome,omitempty"`
	Person        *string  `json:"person,omitempty"`
	Role          string   `json:"role,omitempty"` // in which it was decided
	Roles         []string `json:"roles,omitempty"`
	Proof         *string  `json:"proof,omitempty"`
	PolicyDigest  *string  `json:"policy_digest,omitempty"`
	SafetyLevel   string   `json:"safety_level,omitempty"`
}

// maxDecidedDetails bounds the details of a decision or an outcome, which has every vote.
const maxDecidedDetails = 1 << 20

// maxKeyDetails bounds the details of KEY records, which are kept until they are checked.
const maxKeyDetails = 64 << 10

// recordFacts is what later checks need of a record.
type recordFacts struct {
	index     int64
	leaf      Leaf
	hash      tlog.Hash
	resources []string        // of an EVIDENCE record
	details   recordDetails   // empty if they are no object, or one of the fields is no text
	key       json.RawMessage // details of a KEY record
	decision  decisionDetails // of a record of a decision
	outcome   *OutcomeDetails // of a record of what decisions came to, nil for any other
}

// readRecord reads a record file, checks it against its leaf and keeps the facts.
func readRecord(data []byte, s shapes) (*recordFacts, error) {
	file, err := parseRecordFile(data, s.record)
	if err != nil {
		return nil, err
	}
	leaf, hash, err := file.Check()
	if err != nil {
		return nil, err
	}
	var body recordBody
	if err := decodeStrict("record", []byte(file.Record), s.body, &body); err != nil {
		return nil, err
	}
	if !body.agrees(leaf) {
		return nil, refuse("record", "says another id, time or type than its leaf")
	}
	f := &recordFacts{index: file.Index, leaf: leaf, hash: hash}
	var d recordDetails
	if decodeStrict("details", body.Details, s.details, &d) == nil {
		f.details = d
	}
	switch {
	case leaf.Type == "EVIDENCE" && body.Resources != nil:
		f.resources = *body.Resources
	case leaf.Type == "KEY" && len(body.Details) > maxKeyDetails:
		return nil, refuse("details", "of a KEY record have %d bytes", len(body.Details))
	case leaf.Type == "KEY":
		f.key = body.Details
	case leaf.Type == "DECISION" || leaf.Type == "AUTHORISATION":
		err = f.readDecided(body.Details, s)
	}
	return f, err
}

// readDecided reads what decisions and outcomes have in their records. What has neither a
// statement_hash nor an outcome_of is another record of the same type.
func (f *recordFacts) readDecided(details json.RawMessage, s shapes) error {
	var probe struct {
		OutcomeOf json.RawMessage `json:"outcome_of"`
	}
	_ = json.Unmarshal(details, &probe) // no object: it is neither
	if f.details.StatementHash == nil && probe.OutcomeOf == nil {
		return nil
	}
	if len(details) > maxDecidedDetails {
		return refuse("details", "of a decision have %d bytes", len(details))
	}
	if probe.OutcomeOf != nil {
		f.outcome = &OutcomeDetails{}
		return decodeStrict("details", details, s.outcome, f.outcome)
	}
	return decodeStrict("details", details, s.decision, &f.decision)
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
