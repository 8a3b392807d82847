package verify

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"caos"
)

// Names of the entries that stand alone.
const (
	ManifestName  = "manifest.json"
	SignatureName = "manifest.dsse.json"
	LogName       = "log/checkpoint"
	PlanName      = "plan.json"
)

// ArtifactName is the entry of an evidence item's bytes.
func ArtifactName(evidenceID string) string { return "evidence/" + evidenceID + "/artifact" }

// EnvelopeName is the entry of an evidence item's signed envelope.
func EnvelopeName(evidenceID string) string { return "evidence/" + evidenceID + "/envelope.dsse.json" }

// RecordName is the entry of an audit record, of type RecordFile.
func RecordName(auditID string) string { return "audit/" + auditID + ".record.json" }

// ProofName is the entry of the proof that an audit record is in the log.
func ProofName(auditID string) string { return "audit/" + auditID + ".proof" }

// KeyRecordName is the entry of a KEY record.
func KeyRecordName(auditID string) string { return "keys/" + auditID + ".record.json" }

// KeyProofName is the entry of the proof of a KEY record.
func KeyProofName(auditID string) string { return "keys/" + auditID + ".proof" }

// DecisionName is the entry of a personal decision, of type DecisionFile.
func DecisionName(id string) string { return "decisions/" + id + ".json" }

// DocumentName is the entry of a document; path has up to three parts of letters, digits,
// '.', '_', '-' and ':', which start with a letter or digit.
func DocumentName(path string) string { return "documents/" + path }

// BaselineName is the entry of a baseline's signed manifest, an OpenSSF Model Signing
// bundle. The files that it lists are not in the package.
func BaselineName(baselineID string) string { return "baselines/" + baselineID + "/model.sig" }

// PassportName is the entry of a digital product passport, a verifiable credential.
func PassportName(passportID string) string { return "passports/" + passportID + ".json" }

// AnnexName is the entry of what a passport states for those alone who may know it.
func AnnexName(passportID string) string { return "passports/" + passportID + ".annex.json" }

// PolicyName is the entry of a decision policy, named by the SHA-256 of its bytes; digest is
// "SHA256:" and hex.
func PolicyName(digest string) string {
	return "policies/" + strings.TrimPrefix(digest, hashPrefix) + ".json"
}

// ReportName is the entry of an edition of a review's report; format is "html" or "pdf".
func ReportName(prrID, version, format string) string {
	return "reviews/" + prrID + "/" + version + "/report." + format
}

// Kinds of entries.
const (
	kindEvidence   = "evidence"
	kindEnvelope   = "envelope"
	kindRecord     = "record"
	kindProof      = "proof"
	kindCheckpoint = "checkpoint"
	kindPlan       = "plan"
	kindDecision   = "decision"
	kindKey        = "key"
	kindDocument   = "document"
	kindBaseline   = "baseline"
	kindPassport   = "passport"
	kindAnnex      = "annex"
	kindPolicy     = "policy"
	kindReport     = "report"
	kindAnchor     = "anchor"
)

// KindOf returns the kind that an entry of this name has, "" for a name that packages do
// not contain. A name has one kind, so the two cannot contradict each other.
func KindOf(name string) string {
	if len(name) > maxEntryName {
		return ""
	}
	parts := strings.Split(name, "/")
	for _, p := range parts {
		if !plainID(p) {
			return ""
		}
	}
	last := parts[len(parts)-1]
	has := func(suffix string) bool {
		return len(parts) == 2 && len(last) > len(suffix) && strings.HasSuffix(last, suffix)
	}
	switch {
	case name == LogName:
		return kindCheckpoint
	case name == PlanName:
		return kindPlan
	case parts[0] == "evidence" && len(parts) == 3 && last == "artifact":
		return kindEvidence
	case parts[0] == "evidence" && len(parts) == 3 && last == "envelope.dsse.json":
		return kindEnvelope
	case parts[0] == "audit" && has(".record.json"):
		return kindRecord
	case parts[0] == "keys" && has(".record.json"):
		return kindKey
	case (parts[0] == "audit" || parts[0] == "keys") && has(".proof"):
		return kindProof
	case parts[0] == "decisions" && has(".json"):
		return kindDecision
	case parts[0] == "baselines" && len(parts) == 3 && last == "model.sig":
		return kindBaseline
	case parts[0] == "passports" && has(".annex.json"):
		return kindAnnex
	case parts[0] == "passports" && has(".json"):
		return kindPassport
	case parts[0] == "policies" && has(".json"):
		return kindPolicy
	case parts[0] == "anchors" && has(".json"):
		return kindAnchor
	case parts[0] == "reviews" && (len(parts) == 3 || len(parts) == 4) && (last == "report.html" || last == "report.pdf"):
		return kindReport
	case parts[0] == "documents" && len(parts) >= 2 && len(parts) <= 4:
		return kindDocument
	}
	return ""
}

// maxSize is the most bytes that an entry of a kind can have. What a verifier must hold in
// memory is small; artifacts and documents are streamed and bound by the tar format.
func maxSize(kind string) int64 {
	switch kind {
	case kindEvidence, kindDocument, kindReport:
		return maxTarSize
	case kindPlan, kindBaseline, kindAnnex:
		return 16 << 20
	case kindPolicy:
		return MaxPolicy
	case kindProof:
		return MaxProof
	case kindAnchor:
		return maxAnchorFile
	case kindCheckpoint:
		return MaxCheckpoint
	case kindRecord, kindKey:
		return MaxRecordFile
	}
	return MaxEnvelope
}

const (
	maxManifest = 64 << 20
	maxEntries  = 300_000 // 70,000 evidence items
)

// Manifest says what a package contains; every other byte of the file follows from it. The
// fields are in the order of their JSON names, so that encoding/json writes them
// canonically.
type Manifest struct {
	Audience  string          `json:"audience"` // whom the package was made for: "authority", "supplier", "public"
	Coverage  Coverage        `json:"coverage"`
	Created   string          `json:"created"` // caos.TimeLayout
	Entries   []ManifestEntry `json:"entries"` // in file order, which is the byte order of names
	Log       ManifestLog     `json:"log"`
	ModelID   string          `json:"model_id"`
	Origin    string          `json:"origin"`
	PackageID string          `json:"package_id"`
	Version   int             `json:"version"` // 1
}

// ManifestEntry is one entry.
type ManifestEntry struct {
	Kind   string `json:"kind"`   // KindOf(Name)
	Name   string `json:"name"`   // path in the package
	SHA256 string `json:"sha256"` // 64 lower-case hex digits
	Size   int64  `json:"size"`   // bytes
}

// ManifestLog is the tree that the package's proofs lead to.
type ManifestLog struct {
	Root string `json:"root"` // "SHA256:" and hex
	Size int64  `json:"size"` // leaves
}

// canonical writes the manifest in its canonical form.
func (m Manifest) canonical() ([]byte, error) {
	for _, l := range []*[]string{&m.Coverage.Objectives.Missing, &m.Coverage.Requirements.Missing} {
		if *l == nil {
			*l = []string{}
		}
	}
	return marshalPlain(m)
}

// marshalPlain is json.Marshal without HTML escapes and the final newline.
func marshalPlain(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// check refuses a manifest whose entries cannot be a package's.
func (m *Manifest) check() error {
	if m.Version != 1 {
		return refuse("version", "packages of version %d are not known; a newer caos-verify may read it", m.Version)
	}
	for name, v := range map[string]string{"package_id": m.PackageID, "model_id": m.ModelID, "audience": m.Audience} {
		if !plainID(v) {
			return refuse(name, "%s is not an identifier", quote(v))
		}
	}
	if !plainTime(m.Created) {
		return refuse("created", "%s is not a time like %s", quote(m.Created), caos.TimeLayout)
	}
	if err := CheckOrigin(m.Origin); err != nil {
		return err
	}
	if _, err := ParseHash(m.Log.Root); err != nil || m.Log.Size < 0 || m.Log.Size > MaxTreeSize {
		return refuse("log", "is not a tree head")
	}
	if len(m.Entries) > maxEntries {
		return caos.Errorf(caos.TooLarge, "has %d entries, more than %d", len(m.Entries), maxEntries).WithField("entries")
	}
	for i, e := range m.Entries {
		if err := e.check(); err != nil {
			return err
		}
		if i > 0 && m.Entries[i-1].Name >= e.Name {
			return refuse("entries", "%s stands after %s, out of order or twice", quote(e.Name), quote(m.Entries[i-1].Name))
		}
	}
	return nil
}

func (e ManifestEntry) check() error {
	kind := KindOf(e.Name)
	if kind == "" {
		return refuse("entries", "%s is not the name of an entry", quote(e.Name))
	}
	if e.Kind != kind {
		return refuse("entries", "%s is of kind %s, not %s", e.Name, kind, quote(e.Kind))
	}
	if e.Size < 0 || e.Size > maxSize(kind) {
		return caos.Errorf(caos.TooLarge, "%s has %d bytes, more than %d", e.Name, e.Size, maxSize(kind)).WithField("entries")
	}
	if _, err := parseHex(e.SHA256); err != nil {
		return refuse("entries", "%s has no SHA-256", e.Name)
	}
	return nil
}

// Plan is what a package has to give evidence for. It may say more.
type Plan struct {
	_            struct{} `open:"true"`
	Objectives   []string `json:"objective_ids"`
	PackageID    string   `json:"package_id"`
	Requirements []string `json:"requirement_ids"`
	Version      int      `json:"version"` // 1
}

// ParsePlan reads plan.json.
func ParsePlan(data []byte) (Plan, error) {
	var p Plan
	if err := decodeStrict("plan", data, shapeOf[Plan](), &p); err != nil {
		return p, err
	}
	if p.Version != 1 {
		return p, refuse("plan", "is of version %d, which is not known", p.Version)
	}
	for _, ids := range [][]string{p.Objectives, p.Requirements} {
		for _, id := range ids {
			if !printable(id, 200) {
				return p, refuse("plan", "%s is not an identifier", quote(id))
			}
		}
	}
	return p, nil
}

// printable reports whether s is 1 to n bytes of UTF-8 without control characters.
func printable(s string, n int) bool {
	return s != "" && len(s) <= n && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// Coverage compares a plan with the evidence.
type Coverage struct {
	Objectives   CoverageOf `json:"objectives"`
	Requirements CoverageOf `json:"requirements"`
}

// CoverageOf is the coverage of one sort of identifier.
type CoverageOf struct {
	Covered int      `json:"covered"` // planned ids that some evidence item names
	Missing []string `json:"missing"` // planned ids that none names, in byte order
	Planned int      `json:"planned"` // different ids in the plan
}

// Complete reports whether something was planned and nothing of it is missing.
func (c Coverage) Complete() bool {
	return c.Objectives.Planned+c.Requirements.Planned > 0 && len(c.Objectives.Missing)+len(c.Requirements.Missing) == 0
}

// Equal reports whether two coverages say the same.
func (c Coverage) Equal(d Coverage) bool {
	return c.Objectives.equal(d.Objectives) && c.Requirements.equal(d.Requirements)
}

func (c CoverageOf) equal(d CoverageOf) bool {
	return c.Covered == d.Covered && c.Planned == d.Planned && slices.Equal(c.Missing, d.Missing)
}

// Cover computes the coverage of a plan by evidence items: the same function fills a
// manifest and checks it.
func Cover(plan Plan, items []EvidenceClaim) Coverage {
	reqs, objs := map[string]bool{}, map[string]bool{}
	for _, it := range items {
		for _, id := range it.Requirements {
			reqs[id] = true
		}
		for _, id := range it.Objectives {
			objs[id] = true
		}
	}
	return Coverage{Objectives: coverOf(plan.Objectives, objs), Requirements: coverOf(plan.Requirements, reqs)}
}

func coverOf(planned []string, have map[string]bool) CoverageOf {
	ids := slices.Clone(planned)
	slices.SortFunc(ids, cmp.Compare[string])
	ids = slices.Compact(ids)
	c := CoverageOf{Planned: len(ids), Missing: []string{}}
	for _, id := range ids {
		if have[id] {
			c.Covered++
		} else {
			c.Missing = append(c.Missing, id)
		}
	}
	return c
}
