package verify

import (
	"crypto/ed25519"
	"crypto/sha256"
	"time"
)

// The contexts of a passport, in this order. The first is the W3C's; the second is served
// by the installation that issued the passport, under PassportContextV2Path; the first
// passports name PassportContextPath.
const (
	CredentialContext     = "https://www.w3.org/ns/credentials/v2"
	PassportContextPath   = "/contexts/passport-v1"
	PassportContextV2Path = "/contexts/passport-v2"
)

// What every passport says of itself in the words of others, since the second context.
const (
	PassportGranularity = "model" // it is about a version of a model, not about a copy of it
	PassportSchema      = "2"     // form of the subject
)

// The types of a passport.
const (
	CredentialType = "VerifiableCredential"
	PassportType   = "DigitalProductPassport"
)

// PassportSubject is what a passport says of a version of a model: what anyone may know.
// The restricted annex has the rest; the passport states its digest.
type PassportSubject struct {
	_              struct{}         `open:"true"`
	ID             string           `json:"id"`             // urn:caos:model:NN-FCS-001:2.1.0
	PassportID     string           `json:"passportId"`     // DPP-NN-FCS-001-2.1.0-FREEZE
	ModelID        string           `json:"modelId"`        // NN-FCS-001
	ModelVersion   string           `json:"modelVersion"`   // 2.1.0
	ModelFamily    string           `json:"modelFamily"`    // kind of model; may be ""
	SafetyLevel    string           `json:"safetyLevel"`    // DAL-A … DAL-E; "" while it is not assessed
	LifecycleEvent string           `json:"lifecycleEvent"` // FREEZE, DEPLOYMENT, CERTIFICATION, ROLLBACK, RETIREMENT
	Occurrence     int64            `json:"occurrence"`     // 1 for the first event of its kind
	LogOrigin      string           `json:"logOrigin"`      // name of the audit log that has the record of this passport
	Baseline       PassportBaseline `json:"baseline"`
	Artifacts      int64            `json:"artifactCount"` // hashed again for this passport
	Documents      int64            `json:"documentCount"` // that are registered about the version
	AnnexDigest    string           `json:"annexDigest"`   // "SHA256:" and hex of the restricted annex

	// In words that others know; passports of the first context have none of them.
	Granularity    string `json:"granularityLevel,omitempty"` // PassportGranularity
	ProductionDate string `json:"productionDate,omitempty"`   // day of FrozenAt, such as 2026-11-23
	SchemaVersion  string `json:"dppSchemaVersion,omitempty"` // PassportSchema
}

// PassportBaseline is the frozen version that a passport is about.
type PassportBaseline struct {
	_          struct{} `open:"true"`
	BaselineID string   `json:"baselineId"`
	FreezeID   string   `json:"freezeId"`
	RootDigest string   `json:"rootDigest"` // of all files, as the baseline's own signature has it
	Files      int64    `json:"fileCount"`
	Bytes      int64    `json:"byteCount"`
	FrozenAt   string   `json:"frozenAt"` // caos.TimeLayout
}

// Credential is a passport whose proof holds.
type Credential struct {
	ID         string // address of the passport's page, such as https://…/dpp/DPP-…
	Issuer     string // did:key of the key that signed
	KeyID      string // that key in the trust file, "passport-…"
	KeyRetired bool   // it signs no more; what it signed still counts
	ValidFrom  time.Time
	Digest     string // "SHA256:" and hex of the canonical form, which is what CAOS stores
	CID        string // content identifier of the same bytes
	Subject    PassportSubject
	Status     *StatusEntry // where it would say that the passport was revoked; nil if it names no list
}

// CheckCredential verifies a passport offline: the bytes, its W3C proof, that the proof is
// by a passport key of the trust file, and that what it says has the form it must have. A
// key that was compromised counts no more, because nothing here says when it signed; with
// the leaf of the passport's audit record, ask CheckCredentialAt.
//
// It does not say whether the passport was revoked, which the status list does that it names
// ([CheckStatusList]), or whether a later one exists.
func CheckCredential(raw []byte, trust Trust) (*Credential, error) {
	return checkCredential(raw, trust, nil)
}

// CheckCredentialAt is CheckCredential for a passport whose digest stands in the audit
// record at a leaf: the key must count there.
func CheckCredentialAt(raw []byte, trust Trust, leaf int64) (*Credential, error) {
	return checkCredential(raw, trust, &leaf)
}

func checkCredential(raw []byte, trust Trust, leaf *int64) (*Credential, error) {
	o, err := openCredential("credential", raw)
	if err != nil {
		return nil, err
	}
	c := &Credential{Issuer: o.did, Digest: FormatHash(o.digest), CID: CID(o.digest)}
	if err := c.read(o); err != nil {
		return nil, err
	}
	k, err := trust.passportKey(o.did)
	if err != nil {
		return nil, err
	}
	c.KeyID, c.KeyRetired = k.ID, k.ActiveUntil != nil
	switch {
	case leaf != nil:
		err = k.Counts(*leaf)
	case k.CompromisedAt != nil:
		err = refuse("key", "%s is compromised; what it signed proves nothing without the leaf of its record", k.ID)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// passportKey returns the passport key that a did:key names.
func (t Trust) passportKey(did string) (*TrustKey, error) {
	pub, err := ParseDIDKey(did)
	if err != nil {
		return nil, err
	}
	id, err := KeyID(PurposePassport, pub)
	if err != nil {
		return nil, err
	}
	k, err := t.Find(id, PurposePassport)
	if err != nil {
		return nil, err
	}
	if known, err := k.Public(); err != nil || !pub.Equal(known) {
		return nil, refuse("key", "%s is not in the trust file", quote(did))
	}
	return k, nil
}

// read fills in what the credential says.
func (c *Credential) read(o *openedCredential) (err error) {
	contexts, err := o.check(PassportType)
	switch {
	case err != nil:
		return err
	case len(contexts) != 2:
		return refuse("@context", "is not that of a passport")
	case o.head.ValidUntil != "":
		return refuse("validUntil", "passports have none: what they state has happened")
	}
	c.ID, c.ValidFrom = o.head.ID, o.validFrom
	if c.Status, err = statusEntryOf(o.head.Status); err != nil {
		return err
	}
	if err := decodeStrict("credentialSubject", o.head.Subject, shapeOf[PassportSubject](), &c.Subject); err != nil {
		return err
	}
	return c.Subject.check()
}

// CheckTime refuses a passport that is not valid yet at a moment of the reader's clock.
func (c *Credential) CheckTime(now time.Time) error { return notBefore(c.ValidFrom, now) }

func (s *PassportSubject) check() error {
	for _, f := range []struct{ name, digest string }{{"annexDigest", s.AnnexDigest}, {"baseline.rootDigest", s.Baseline.RootDigest}} {
		if _, err := ParseHash(f.digest); err != nil {
			return refuse("credentialSubject."+f.name, "%s is not a digest", quote(f.digest))
		}
	}
	for _, f := range []struct{ name, text string }{
		{"passportId", s.PassportID}, {"modelId", s.ModelID}, {"modelVersion", s.ModelVersion},
		{"lifecycleEvent", s.LifecycleEvent}, {"baseline.baselineId", s.Baseline.BaselineID},
	} {
		if !plainID(f.text) {
			return refuse("credentialSubject."+f.name, "%s is not an identifier", quote(f.text))
		}
	}
	for _, f := range []struct{ name, text string }{{"modelFamily", s.ModelFamily}, {"safetyLevel", s.SafetyLevel}, {"logOrigin", s.LogOrigin},
		{"granularityLevel", s.Granularity}, {"dppSchemaVersion", s.SchemaVersion}} {
		if f.text != "" && !printable(f.text, 300) {
			return refuse("credentialSubject."+f.name, "is not a line of text")
		}
	}
	if !plainTime(s.Baseline.FrozenAt) {
		return refuse("credentialSubject.baseline.frozenAt", "%s is not a time", quote(s.Baseline.FrozenAt))
	}
	if d := s.ProductionDate; d != "" && d != s.Baseline.FrozenAt[:len("2006-01-02")] {
		return refuse("credentialSubject.productionDate", "%s is not the day on which the baseline was frozen", quote(d))
	}
	return nil
}

// CheckAnnex reports whether an annex is the one that the passport states.
func (c *Credential) CheckAnnex(annex []byte) error {
	if got := FormatHash(sha256.Sum256(annex)); got != c.Subject.AnnexDigest {
		return refuse("annex", "has the digest %s, the passport states %s", got, c.Subject.AnnexDigest)
	}
	return nil
}

// PassportKey returns the Ed25519 key of a signer's public half, for building a proof.
func PassportKey(pub any) (ed25519.PublicKey, error) {
	k, ok := pub.(ed25519.PublicKey)
	if !ok || len(k) != ed25519.PublicKeySize {
		return nil, refuse("key", "a passport is signed with an Ed25519 key")
	}
	return k, nil
}
