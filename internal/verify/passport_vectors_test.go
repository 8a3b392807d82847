package verify

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// A passport is checked by two programs that share no line: this package, and the script of
// its page. The vectors are one honest passport with its proof, status list and trust file,
// and many that differ from it in one thing. Both programs must come to the same verdict on
// each; internal/httpapi has the browser's half of the test.

const vectorsFile = "testdata/passport/vectors.json"

var updateVectors = flag.Bool("update-vectors", false, "write "+vectorsFile+" again")

// passportVectors is the form of the file; see testdata/passport/README.md.
type passportVectors struct {
	Now     string            `json:"now"` // the time of the check
	Honest  map[string]string `json:"honest"`
	Vectors []passportVector  `json:"vectors"`
}

type passportVector struct {
	Name    string            `json:"name"`
	Verdict string            `json:"verdict"`          // verified, incomplete, revoked or failed
	Fails   string            `json:"fails,omitempty"`  // the check that says so first, as the script names it
	Files   map[string]string `json:"files,omitempty"`  // that differ from the honest ones
	Base64  map[string]string `json:"base64,omitempty"` // the same for files that are no text
}

// verdict is what this package makes of the files of a passport.
func verdict(files map[string]string, now time.Time) (string, error) {
	trust, err := ParseTrust([]byte(files["trust"]))
	if err != nil {
		return "failed", err
	}
	c, err := CheckLoggedPassport([]byte(files["credential"]), []byte(files["proof"]), trust)
	if err != nil {
		return "failed", err
	}
	if err := c.CheckTime(now); err != nil {
		return "failed", err
	}
	if c.Status == nil {
		return "verified", nil
	}
	list, err := CheckStatusList([]byte(files["status"]), trust)
	if err != nil {
		return "failed", err
	}
	if err := list.CheckTime(now); err != nil {
		return "failed", err
	}
	set, err := list.Revoked(&c.Credential)
	if err != nil {
		return "failed", err
	}
	if set {
		return "revoked", nil
	}
	return "verified", nil
}

func TestPassportVectors(t *testing.T) {
	made := makePassportVectors(t)
	if *updateVectors {
		out, err := json.MarshalIndent(made, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.FromSlash(vectorsFile), append(out, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.FromSlash(vectorsFile))
	if err != nil {
		t.Fatal(err)
	}
	var v passportVectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	now, err := time.Parse(time.RFC3339, v.Now)
	if err != nil {
		t.Fatal(err)
	}
	falsified := 0
	for _, one := range v.Vectors {
		files := map[string]string{}
		for name, text := range v.Honest {
			files[name] = text
		}
		for name, text := range one.Files {
			files[name] = text
		}
		for name, text := range one.Base64 {
			raw, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			files[name] = string(raw)
		}
		got, err := verdict(files, now)
		want := one.Verdict
		if want == "incomplete" {
			want = "failed" // here there is no verdict but yes and no
		}
		if got != want {
			t.Errorf("%s: %s and not %s: %v", one.Name, got, want, err)
		}
		if one.Verdict != "verified" {
			falsified++
		}
	}
	if falsified < 30 || len(v.Vectors) != len(made.Vectors) {
		t.Errorf("%d falsified vectors, and %d in all where %d are made: go test -run TestPassportVectors -update-vectors", falsified, len(v.Vectors), len(made.Vectors))
	}
}

// forge makes the files of a passport. Each function may bend something on the way, before
// it is signed or after; what follows from it is made anew.
type forge struct {
	key        ed25519.PrivateKey        // signs the passport
	logKey     ed25519.PrivateKey        // signs the checkpoint
	list       ed25519.PrivateKey        // signs the status list
	doc        func(doc map[string]any)  // the credential, before it is signed
	opt        func(opt map[string]any)  // the proof's options, before they are signed
	signed     func(text string) string  // the credential, signed
	record     func(r, d map[string]any) // the audit record and its details, before they are logged
	recordText func(text string) string  // as text, likewise
	leaf       func(text string) string  // the leaf, before it is logged
	head       func(c *Checkpoint)       // before it is signed
	note       func(text string) string  // the signed checkpoint
	path       func(p *Proof)            // the proof of inclusion
	proof      func(p *PassportProof)    // the file of the proof
	proofText  func(text string) string  // as text
	status     func(doc map[string]any)  // the status list, before it is signed
	bits       func(bits []byte) []byte  // of the status list
	folded     func(text string) string  // the list, as it is encoded
	listed     func(text string) string  // the status list, signed
	trust      func(t *Trust)            // the trust file
	trusted    func(text string) string  // as text
}

func seededKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("caos passport vectors: " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicOf(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func apply[T any](f func(T), v T) {
	if f != nil {
		f(v)
	}
}

func bend[T any](f func(T) T, v T) T {
	if f != nil {
		return f(v)
	}
	return v
}

const (
	vectorOrigin = "caos.example/log"
	vectorBase   = "https://caos.example"
	vectorID     = "DPP-NN-FCS-001-2.1.0-FREEZE"
	vectorIndex  = 5  // of the passport's public record
	vectorSize   = 11 // of the log
	vectorTime   = "2026-11-23T10:15:00.123456Z"
)

// secure signs a document as a data integrity proof.
func secure(t *testing.T, doc map[string]any, opt func(map[string]any), key ed25519.PrivateKey) string {
	t.Helper()
	did := DIDKey(publicOf(key))
	options := map[string]any{"@context": doc["@context"], "type": ProofType, "cryptosuite": ProofSuite, "created": "2026-11-23T10:15:00Z",
		"verificationMethod": VerificationMethod(did), "proofPurpose": ProofPurpose}
	apply(opt, options)
	input, err := ProofInput(marshalJSON(t, doc), marshalJSON(t, options))
	if err != nil {
		t.Fatal(err)
	}
	if options["proofValue"] == nil {
		options["proofValue"] = ProofValue(ed25519.Sign(key, input))
	}
	doc["proof"] = options
	out, err := canonicalJSON("document", marshalJSON(t, doc))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func marshalJSON(t *testing.T, v any) []byte {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// passport makes and signs the credential.
func (f *forge) passport(t *testing.T) string {
	t.Helper()
	hash := func(s string) string { return FormatHash(sha256.Sum256([]byte(s))) }
	doc := map[string]any{
		"@context": []any{CredentialContext, vectorBase + PassportContextPath}, "id": vectorBase + "/dpp/" + vectorID,
		"type": []any{CredentialType, PassportType}, "issuer": DIDKey(publicOf(f.key)), "validFrom": vectorTime,
		"credentialStatus": map[string]any{"id": vectorBase + "/dpp/status/1#4711", "type": StatusEntryType, "statusPurpose": StatusRevocation,
			"statusListIndex": "4711", "statusListCredential": vectorBase + "/dpp/status/1"},
		"credentialSubject": map[string]any{"type": "ModelVersion", "id": "urn:caos:model:NN-FCS-001:2.1.0", "passportId": vectorID, "modelId": "NN-FCS-001",
			"modelVersion": "2.1.0", "modelFamily": "régression “é” \\ 😀", "safetyLevel": "DAL-A", "lifecycleEvent": "FREEZE", "occurrence": 1, "logOrigin": vectorOrigin,
			"artifactCount": 3, "documentCount": 2, "annexDigest": hash("annex"),
			"baseline": map[string]any{"baselineId": "BL-FCS-2.1.0", "freezeId": "FRZ-FCS-2.1.0", "rootDigest": hash("root"), "fileCount": 3, "byteCount": 123456789, "frozenAt": vectorTime}},
	}
	apply(f.doc, doc)
	return bend(f.signed, secure(t, doc, f.opt, f.key))
}

// inLog records the passport in a log and makes the file of its proof.
func (f *forge) inLog(t *testing.T, credential string) string {
	t.Helper()
	var c struct {
		Subject struct {
			PassportID  string `json:"passportId"`
			AnnexDigest string `json:"annexDigest"`
		} `json:"credentialSubject"`
	}
	_ = json.Unmarshal([]byte(credential), &c) // what is bent too far has an empty record
	canonical, err := canonicalJSON("credential", []byte(credential))
	if err != nil {
		canonical = []byte(credential)
	}
	sum := sha256.Sum256(canonical)
	details := map[string]any{"passport_id": c.Subject.PassportID, "credential_digest": FormatHash(sum), "annex_digest": c.Subject.AnnexDigest, "cid": CID(sum)}
	const id = "AUDIT-20261123T101500.123456Z"
	record := map[string]any{"id": id, "time": vectorTime, "type": "EVIDENCE", "actor": "caos", "recorded_by": "caos", "resources": []any{c.Subject.PassportID}, "details": details}
	if f.record != nil {
		f.record(record, details)
	}
	text, err := canonicalJSON("record", marshalJSON(t, record))
	if err != nil {
		t.Fatal(err)
	}
	text = respell(text, f.recordText)
	salt := sha256.Sum256([]byte("salt"))
	leaf := bend(f.leaf, string(LeafBytes(id, vectorTime, "EVIDENCE", Commitment(salt, text))))

	var store []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, err error) {
		for _, i := range at {
			out = append(out, store[i])
		}
		return out, nil
	})
	for i := range int64(vectorSize) {
		data := []byte{byte(i)}
		if i == vectorIndex {
			data = []byte(leaf)
		}
		hashes, err := tlog.StoredHashes(i, data, reader)
		if err != nil {
			t.Fatal(err)
		}
		store = append(store, hashes...)
	}
	root, err := tlog.TreeHash(vectorSize, reader)
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := tlog.ProveRecord(vectorSize, vectorIndex, reader)
	if err != nil {
		t.Fatal(err)
	}
	head := Checkpoint{Origin: vectorOrigin, Size: vectorSize, Root: root}
	apply(f.head, &head)
	p := Proof{Index: vectorIndex, Hashes: hashes, Checkpoint: []byte(bend(f.note, signNote(t, head, f.logKey)))}
	apply(f.path, &p)
	file := PassportProof{PassportID: c.Subject.PassportID, RecordID: id, Record: string(text), Salt: encodeBase64(salt[:]), Leaf: leaf, Index: vectorIndex,
		Proof: string(FormatProof(p)), Checkpoint: string(p.Checkpoint)}
	apply(f.proof, &file)
	return bend(f.proofText, string(marshalJSON(t, file)))
}

// signNote signs a checkpoint as c2sp.org/tlog-checkpoint has it.
func signNote(t *testing.T, c Checkpoint, key ed25519.PrivateKey) string {
	t.Helper()
	sig := ed25519.Sign(key, []byte(c.Text()))
	head := sha256.Sum256(append([]byte(c.Origin+"\n\x01"), publicOf(key)...))
	return c.Text() + "\n\u2014 " + c.Origin + " " + encodeBase64(append(head[:4:4], sig...)) + "\n"
}

// statusList makes and signs the status list.
func (f *forge) statusList(t *testing.T) string {
	t.Helper()
	bits := make([]byte, MinStatusBits/8)
	SetStatus(bits, 4710)
	SetStatus(bits, 4712)
	folded, err := FoldStatus(bend(f.bits, bits))
	if err != nil {
		t.Fatal(err)
	}
	doc := map[string]any{
		"@context": []any{CredentialContext}, "id": vectorBase + "/dpp/status/1", "type": []any{CredentialType, StatusListType}, "issuer": DIDKey(publicOf(f.list)),
		"validFrom": "2026-11-23T11:00:00.000000Z", "validUntil": "2026-11-24T11:00:00.000000Z",
		"credentialSubject": map[string]any{"id": vectorBase + "/dpp/status/1#list", "type": StatusSubjectType, "statusPurpose": StatusRevocation, "encodedList": bend(f.folded, folded)},
	}
	apply(f.status, doc)
	return bend(f.listed, secure(t, doc, nil, f.list))
}

func (f *forge) trustFile(t *testing.T) string {
	t.Helper()
	trust := Trust{Version: 1, Origin: vectorOrigin, LogID: "LOG-20261101T000000.000000Z", Witnesses: []string{}}
	for i, purpose := range []string{PurposeCheckpoint, PurposeEvidence, PurposePassport} {
		trust.Keys = append(trust.Keys, trustKey(t, purpose, seededKey(purpose), int64(i)))
	}
	for _, purpose := range []string{PurposeBaseline, PurposeEncryption} {
		trust.Keys = append(trust.Keys, otherKey(t, purpose))
	}
	apply(f.trust, &trust)
	out, err := trust.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return bend(f.trusted, string(out))
}

func trustKey(t *testing.T, purpose string, key ed25519.PrivateKey, from int64) TrustKey {
	t.Helper()
	id, err := KeyID(purpose, publicOf(key))
	if err != nil {
		t.Fatal(err)
	}
	der := append([]byte("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"), publicOf(key)...)
	return TrustKey{ID: id, Purpose: purpose, Algorithm: Ed25519, PublicKey: encodeBase64(der), ActiveFrom: from}
}

// otherKey is a key that signs no passport, of the algorithm of its purpose.
func otherKey(t *testing.T, purpose string) TrustKey {
	t.Helper()
	curve := ecdh.X25519()
	if purpose == PurposeBaseline {
		curve = ecdh.P256()
	}
	key, err := curve.NewPrivateKey(seededKey(purpose).Seed())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return TrustKey{ID: keyIDFromDER(purpose, der), Purpose: purpose, Algorithm: AlgorithmFor(purpose), PublicKey: encodeBase64(der), ActiveFrom: 3}
}

// files runs the forge.
func (f forge) files(t *testing.T) map[string]string {
	t.Helper()
	for key, purpose := range map[*ed25519.PrivateKey]string{&f.key: PurposePassport, &f.list: PurposePassport, &f.logKey: PurposeCheckpoint} {
		if *key == nil {
			*key = seededKey(purpose)
		}
	}
	credential := f.passport(t)
	return map[string]string{"credential": credential, "proof": f.inLog(t, credential), "status": f.statusList(t), "trust": f.trustFile(t)}
}

func makePassportVectors(t *testing.T) passportVectors {
	t.Helper()
	v := passportVectors{Now: "2026-11-23T12:00:00Z", Honest: forge{}.files(t)}
	for _, c := range slices.Concat(honestForges(), credentialForges(), proofForges(), trustForges(), statusForges(), witnessForges(), oddForges()) {
		one := passportVector{Name: c.name, Verdict: c.verdict, Fails: c.fails, Files: map[string]string{}}
		if one.Verdict == "" {
			one.Verdict = "failed"
		}
		for name, text := range c.forge.files(t) {
			switch {
			case text == v.Honest[name]:
			case !json.Valid(marshalJSON(t, text)) || string(bytes.ToValidUTF8([]byte(text), nil)) != text:
				one.Base64 = map[string]string{name: encodeBase64([]byte(text))}
			default:
				one.Files[name] = text
			}
		}
		if len(one.Files)+len(one.Base64) == 0 && c.name != "honest" {
			t.Errorf("%s: nothing was bent", c.name)
		}
		v.Vectors = append(v.Vectors, one)
	}
	return v
}

// noteLine returns a signature line of a note by a key of another kind or name.
func noteLine(name string, algorithm byte, pub, sig []byte) string {
	head := sha256.Sum256(append(append([]byte(name+"\n"), algorithm), pub...))
	return "\u2014 " + name + " " + encodeBase64(append(head[:4:4], sig...)) + "\n"
}
