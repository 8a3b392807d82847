package evidence_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"

	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/evidence"
	"caos/internal/sign"
	"caos/internal/verify"
)

const passport = "DPP-NN-FCS-001-2.1.0-FREEZE"

// signPassport makes a passport with the passport key of the moment.
func (w *world) signPassport() []byte {
	w.t.Helper()
	signer, err := w.keys.Signer(sign.Passport)
	w.ok(err)
	did := verify.DIDKey(signer.Public().(ed25519.PublicKey))
	digest := verify.FormatHash(sha256.Sum256([]byte("a file")))
	doc := map[string]any{
		"@context": []string{verify.CredentialContext, "https://caos.test" + verify.PassportContextV2Path}, "id": "https://caos.test/dpp/" + passport,
		"type": []string{verify.CredentialType, verify.PassportType}, "issuer": did, "validFrom": "2026-11-22T10:00:00.000000Z",
		"credentialSubject": map[string]any{
			"id": "urn:caos:model:NN-FCS-001:2.1.0", "passportId": passport, "modelId": model, "modelVersion": "2.1.0", "modelFamily": "", "safetyLevel": "DAL-C",
			"lifecycleEvent": "FREEZE", "occurrence": 1, "logOrigin": "log.example/caos", "artifactCount": 1, "documentCount": 0, "annexDigest": digest,
			"baseline": map[string]any{"baselineId": "BL-FCS-2.1.0", "freezeId": "FRZ-FCS-2.1.0", "rootDigest": digest, "fileCount": 1, "byteCount": 6, "frozenAt": "2026-11-22T09:00:00.000000Z"},
		},
	}
	options := map[string]any{"@context": doc["@context"], "type": verify.ProofType, "cryptosuite": verify.ProofSuite, "created": "2026-11-22T10:00:00Z",
		"verificationMethod": verify.VerificationMethod(did), "proofPurpose": verify.ProofPurpose}
	text := func(v any) []byte {
		out, err := json.Marshal(v) // whose order of keys is the canonical one for these
		w.ok(err)
		return out
	}
	input, err := verify.ProofInput(text(doc), text(options))
	w.ok(err)
	sig, err := signer.Sign(w.t.Context(), input)
	w.ok(err)
	options["proofValue"] = verify.ProofValue(sig)
	doc["proof"] = options
	return text(doc)
}

// record appends a record about the passport.
func (w *world) record(details map[string]any) string {
	w.t.Helper()
	var rec auditlog.Receipt
	w.ok(w.update(func(tx *db.Tx) (err error) {
		rec, err = w.log.Append(tx, auditlog.Record{Type: auditlog.Data, Actor: "caos", Resources: []string{passport}, Details: details})
		return err
	}))
	return rec.ID
}

// A passport has a record of its issue, one for anybody, and others of what became of it, all
// with its digest. A package takes the first: by the time of a later one the key may be
// another, and the passport would look falsified although it is not.
func TestPassportGoesWithTheRecordOfItsIssue(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		_, err := w.log.KeyCreated(t.Context(), sign.Passport, "anna")
		w.ok(err)
		data := w.signPassport()
		digest := verify.FormatHash(sha256.Sum256(data))
		opt := w.options
		opt.Companions = func(context.Context, string) ([]evidence.Companion, error) {
			return []evidence.Companion{{Name: verify.PassportName(passport), Subject: passport, Data: data, Recorded: true}}, nil
		}
		w.Repository, err = evidence.New(opt)
		w.ok(err)
		pkg := w.create(evidence.Package{ModelID: model})
		w.plan(pkg.PackageID, []string{"R-1"}, nil)
		_, err = w.collect(w.request(pkg.PackageID, w.file("a.txt", "a\n"), evidence.Document, evidence.Metadata{RequirementIDs: []string{"R-1"}}))
		w.ok(err)
		has := func(when string, id string, others ...string) {
			t.Helper()
			file := w.export(pkg.PackageID, evidence.Authority)
			if rep := w.verified(file); !rep.OK {
				t.Errorf("%s: %+v", when, rep.Checks)
			}
			for _, one := range append(others, id) {
				if there := slices.Contains(entries(t, file), verify.RecordName(one)); there != (one == id) {
					t.Errorf("%s: the record %s is there: %v", when, one, there)
				}
			}
		}
		public := w.record(map[string]any{"event": "passport", "passport_id": passport, "credential_digest": digest})
		has("the one for anybody alone", public)
		issued := w.record(map[string]any{"event": "passport issued", "passport_id": passport, "passport_digest": digest})
		has("both", issued, public)
		_, err = w.log.KeyRotated(t.Context(), sign.Passport, "anna")
		w.ok(err)
		revoked := w.record(map[string]any{"event": "passport revoked", "passport_id": passport, "passport_digest": digest, "reason": "withdrawn"})
		has("revoked when the key was another", issued, public, revoked)
	})
}

// entries are the names in a package file.
func entries(t *testing.T, file []byte) (names []string) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(file))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}
