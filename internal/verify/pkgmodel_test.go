package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"strings"
	"testing"
)

const (
	baselineID = "BL-FCS-2.1.0"
	passportID = "DPP-NN-FCS-001-2.1.0-FREEZE"
)

// modelWorld is a package with the manifest of a baseline, a passport and its annex.
type modelWorld struct {
	*world
	baseline *ecdsa.PrivateKey
	passport testKey
	annex    []byte
	root     string // digest of the baseline, as its manifest has it
}

func newModelWorld(t testing.TB) *modelWorld {
	t.Helper()
	w := &modelWorld{world: newBareWorld(t), passport: newTestKey(t, PurposePassport, 7), annex: []byte(`{"salt":"0123","metadata":{}}`)}
	var err error
	if w.baseline, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.trust.Keys = append(w.trust.Keys, w.enrolled("AUDIT-KEY-8", PurposeBaseline, &w.baseline.PublicKey, func(m []byte) []byte { return w.ecdsa(w.baseline, m) }),
		w.enrolled("AUDIT-KEY-9", PurposePassport, w.passport.private.Public(), func(m []byte) []byte { return ed25519.Sign(w.passport.private, m) }))
	w.evidence(0)
	w.addBaseline(w.baseline, baselineID)
	w.addPassport(w.passport, passportID)
	w.seal()
	return w
}

func (w *modelWorld) ecdsa(k *ecdsa.PrivateKey, message []byte) []byte {
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, k, sum[:])
	if err != nil {
		w.t.Fatal(err)
	}
	return sig
}

// enrolled records the birth of a key and returns it as a trust file has it.
func (w *modelWorld) enrolled(record, purpose string, pub any, sign func([]byte) []byte) TrustKey {
	w.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		w.t.Fatal(err)
	}
	k := TrustKey{ID: keyIDFromDER(purpose, der), Purpose: purpose, Algorithm: AlgorithmFor(purpose), PublicKey: encodeBase64(der), ActiveFrom: w.log.n}
	text, err := KeyStatement{Algorithm: k.Algorithm, Event: KeyCreated, KeyID: k.ID, PublicKey: k.PublicKey, Purpose: purpose, SignedBy: k.ID, Time: testTime}.Canonical()
	if err != nil {
		w.t.Fatal(err)
	}
	w.key(record, KeyEvent{Statement: text, Signature: encodeBase64(sign(PAE(KeyStatementType, []byte(text))))})
	return k
}

// addBaseline signs the manifest of a baseline and records it.
func (w *modelWorld) addBaseline(k *ecdsa.PrivateKey, id string) {
	w.t.Helper()
	st, root, err := BuildModelStatement(id, []ModelResource{{Name: "model.onnx", Digest: FormatHash(sha256.Sum256([]byte("weights")))}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.root = root
	keyID, err := KeyID(PurposeBaseline, &k.PublicKey)
	if err != nil {
		w.t.Fatal(err)
	}
	bundle, err := MarshalModelBundle(st, &k.PublicKey, keyID, w.ecdsa(k, PAE(InTotoType, st)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.contents[BaselineName(baselineID)] = bundle
	w.stating("AUDIT-FREEZE", "MODEL_FREEZE", baselineID, "bundle_digest", bundle)
}

// stating records the digest of a file.
func (w *modelWorld) stating(audit, typ, resource, field string, file []byte) {
	w.contents[RecordName(audit)] = w.record(audit, typ, []string{resource}, map[string]string{field: FormatHash(sha256.Sum256(file))}).Marshal()
}

// addPassport signs a passport and records it.
func (w *modelWorld) addPassport(k testKey, id string) {
	w.t.Helper()
	doc := map[string]any{
		"@context": []string{CredentialContext, "https://caos.test" + PassportContextPath}, "id": "https://caos.test/dpp/" + id,
		"type": []string{CredentialType, PassportType}, "issuer": DIDKey(k.private.Public().(ed25519.PublicKey)), "validFrom": "2026-11-22T10:15:00Z",
		"credentialSubject": map[string]any{
			"id": "urn:caos:model:NN-FCS-001:2.1.0", "passportId": id, "modelId": "NN-FCS-001", "modelVersion": "2.1.0", "modelFamily": "", "safetyLevel": "DAL-A",
			"lifecycleEvent": "FREEZE", "occurrence": 1, "logOrigin": testOrigin, "artifactCount": 1, "documentCount": 1, "annexDigest": FormatHash(sha256.Sum256(w.annex)),
			"baseline": map[string]any{"baselineId": baselineID, "freezeId": "FREEZE-NN-FCS-001-2.1.0", "rootDigest": w.root, "fileCount": 1, "byteCount": 7, "frozenAt": testTime},
		},
	}
	did := doc["issuer"].(string)
	options := map[string]any{"@context": doc["@context"], "type": ProofType, "cryptosuite": ProofSuite, "created": "2026-11-22T10:15:00Z",
		"verificationMethod": did + "#" + strings.TrimPrefix(did, "did:key:"), "proofPurpose": ProofPurpose}
	unsecured, _ := json.Marshal(doc)
	opts, _ := json.Marshal(options)
	input, err := ProofInput(unsecured, opts)
	if err != nil {
		w.t.Fatal(err)
	}
	options["proofValue"] = ProofValue(ed25519.Sign(k.private, input))
	doc["proof"] = options
	secured, _ := json.Marshal(doc)
	canonical, err := canonicalJSON("credential", secured)
	if err != nil {
		w.t.Fatal(err)
	}
	w.contents[PassportName(passportID)], w.contents[AnnexName(passportID)] = canonical, w.annex
	w.stating("AUDIT-DPP", "DATA", passportID, "passport_digest", canonical)
}

func TestPackageWithModel(t *testing.T) {
	w := newModelWorld(t)
	r := w.verify(w.write())
	if !r.OK {
		t.Fatalf("%v", failures(r))
	}
	counts := map[string]int{}
	for _, c := range r.Checks {
		counts[c.Name] = c.Count
	}
	if counts["baselines"] != 1 || counts["passports"] != 1 {
		t.Errorf("checked %v", counts)
	}
	var text bytes.Buffer
	if err := r.Text(&text, false); err != nil || !strings.Contains(text.String(), "Every passport is signed") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

// What an operator with all keys but those of baselines and passports could write, and what
// one with all keys could leave out. The manifest is signed anew each time.
func TestFalseModels(t *testing.T) {
	bundle, passport, annex := BaselineName(baselineID), PassportName(passportID), AnnexName(passportID)
	lies := map[string]lie{
		"bundle changed":            {bundle, func(w *world) { w.replace(bundle, `"sig":"`, `"sig":"AAAA`) }},
		"bundle of another digest":  {bundle, func(w *world) { w.replace(bundle, "{", "{ ") }},
		"freeze record left out":    {bundle, func(w *world) { w.drop(RecordName("AUDIT-FREEZE"), ProofName("AUDIT-FREEZE")) }},
		"bundle under another name": {BaselineName("BL-FCS-9.9.9"), func(w *world) { w.contents[BaselineName("BL-FCS-9.9.9")] = w.contents[bundle]; w.drop(bundle) }},
		"bundle is no bundle":       {bundle, func(w *world) { w.contents[bundle] = []byte("{}") }},
		"passport changed":          {passport, func(w *world) { w.replace(passport, "DAL-A", "DAL-E") }},
		"passport record left out":  {passport, func(w *world) { w.drop(RecordName("AUDIT-DPP"), ProofName("AUDIT-DPP")) }},
		"passport under another name": {PassportName("DPP-NN-FCS-001-9.9.9-FREEZE"), func(w *world) {
			w.contents[PassportName("DPP-NN-FCS-001-9.9.9-FREEZE")] = w.contents[passport]
			w.drop(passport)
		}},
		"annex changed":            {annex, func(w *world) { w.replace(annex, "0123", "0124") }},
		"annex without a passport": {annex, func(w *world) { w.drop(passport) }},
		"key born after the freeze": {bundle, func(w *world) {
			for i := range w.trust.Keys {
				if k := &w.trust.Keys[i]; k.Purpose == PurposeBaseline {
					k.ActiveFrom = w.log.n
				}
			}
		}},
		"key compromised before the passport": {passport, func(w *world) {
			for i := range w.trust.Keys {
				if k := &w.trust.Keys[i]; k.Purpose == PurposePassport {
					k.CompromisedAt = ptr(k.ActiveFrom)
				}
			}
		}},
	}
	for name, l := range lies {
		t.Run(name, func(t *testing.T) {
			w := newModelWorld(t)
			l.tell(w.world)
			if r := w.verify(w.write()); r.OK || !blames(r, l.entry) {
				t.Errorf("ok %v, %v", r.OK, failures(r))
			}
		})
	}
	t.Run("baseline signed by a stranger", func(t *testing.T) {
		w := newModelWorld(t)
		other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		w.addBaseline(other, baselineID)
		w.seal()
		if r := w.verify(w.write()); r.OK || !blames(r, bundle) {
			t.Errorf("ok %v, %v", r.OK, failures(r))
		}
	})
	t.Run("passport signed by a stranger", func(t *testing.T) {
		w := newModelWorld(t)
		w.addPassport(newTestKey(t, PurposePassport, 8), passportID)
		w.seal()
		if r := w.verify(w.write()); r.OK || !blames(r, passport) {
			t.Errorf("ok %v, %v", r.OK, failures(r))
		}
	})
	t.Run("passport of other bytes", func(t *testing.T) {
		w := newModelWorld(t)
		w.root = FormatHash(sha256.Sum256(nil))
		w.addPassport(w.passport, passportID)
		w.seal()
		if r := w.verify(w.write()); r.OK || !blames(r, passport) {
			t.Errorf("ok %v, %v", r.OK, failures(r))
		}
	})
	t.Run("manifest of another baseline", func(t *testing.T) {
		w := newModelWorld(t)
		w.addBaseline(w.baseline, "BL-FCS-3.0.0")
		w.seal()
		if r := w.verify(w.write()); r.OK || !blames(r, bundle) {
			t.Errorf("ok %v, %v", r.OK, failures(r))
		}
	})
}

// A key that was compromised after the freeze was recorded still vouches for it.
func TestCompromisedLater(t *testing.T) {
	w := newModelWorld(t)
	for i := range w.trust.Keys {
		if k := &w.trust.Keys[i]; k.Purpose == PurposeBaseline || k.Purpose == PurposePassport {
			k.CompromisedAt = ptr(w.log.n)
		}
	}
	if r := w.verify(w.write()); len(failures(r)) > 0 && (blames(r, BaselineName(baselineID)) || blames(r, PassportName(passportID))) {
		t.Errorf("%v", failures(r))
	}
}
