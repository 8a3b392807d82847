package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// testKey is a key of the log under test, made from a seed so that runs are alike.
type testKey struct {
	private ed25519.PrivateKey
	trust   TrustKey
}

func newTestKey(t testing.TB, purpose string, seed byte) testKey {
	t.Helper()
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	der, err := x509.MarshalPKIXPublicKey(priv.Public())
	if err != nil {
		t.Fatal(err)
	}
	return testKey{priv, TrustKey{ID: keyIDFromDER(purpose, der), Purpose: purpose, Algorithm: Ed25519, PublicKey: encodeBase64(der)}}
}

func (k testKey) envelope(payloadType string, payload []byte) []byte {
	return MarshalEnvelope(payloadType, payload, EnvelopeSignature{k.trust.ID, encodeBase64(ed25519.Sign(k.private, PAE(payloadType, payload)))})
}

func (k testKey) event(t testing.TB, kind string, by testKey) KeyEvent {
	t.Helper()
	text, err := KeyStatement{
		Algorithm: k.trust.Algorithm, Event: kind, KeyID: k.trust.ID, PublicKey: k.trust.PublicKey,
		Purpose: k.trust.Purpose, SignedBy: by.trust.ID, Time: testTime,
	}.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	return KeyEvent{Statement: text, Signature: encodeBase64(ed25519.Sign(by.private, PAE(KeyStatementType, []byte(text))))}
}

// checkpoint signs a checkpoint's text.
func (k testKey) checkpoint(t testing.TB, c Checkpoint) []byte {
	t.Helper()
	vkey, err := note.NewEd25519VerifierKey(c.Origin, k.private.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, testNoteSigner{k, v})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

type testNoteSigner struct {
	k testKey
	v note.Verifier
}

func (s testNoteSigner) Name() string                  { return s.v.Name() }
func (s testNoteSigner) KeyHash() uint32               { return s.v.KeyHash() }
func (s testNoteSigner) Sign(m []byte) ([]byte, error) { return ed25519.Sign(s.k.private, m), nil }

// sshLine and sshSign are ssh-keygen for Ed25519, made independently of the reader's code
// as far as the format allows; sshkeygen_test.go uses the real one.
func sshString(b []byte, parts ...[]byte) []byte {
	for _, p := range parts {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	return b
}

func (k testKey) sshBlob() []byte {
	return sshString(nil, []byte("ssh-ed25519"), k.private.Public().(ed25519.PublicKey))
}

func (k testKey) sshLine() string { return "ssh-ed25519 " + encodeBase64(k.sshBlob()) }

func (k testKey) sshSign(message []byte, namespace string) string {
	sum := sha512.Sum512(message)
	signed := sshString([]byte("SSHSIG"), []byte(namespace), nil, []byte("sha512"), sum[:])
	sig := sshString(nil, []byte("ssh-ed25519"), ed25519.Sign(k.private, signed))
	blob := binary.BigEndian.AppendUint32([]byte("SSHSIG"), 1)
	blob = sshString(blob, k.sshBlob(), []byte(namespace), nil, []byte("sha512"), sig)
	b64 := encodeBase64(blob)
	var lines []string
	for len(b64) > 70 {
		lines, b64 = append(lines, b64[:70]), b64[70:]
	}
	return sshBegin + strings.Join(append(lines, b64), "\n") + "\n" + sshEnd + "\n"
}

// world is a log with its keys, and the contents of one package of it.
type world struct {
	t        testing.TB
	cp, ev   testKey
	person   testKey
	trust    Trust
	log      testLog
	records  []RecordFile
	contents map[string][]byte
	info     PackageInfo
	plan     Plan
	signer   *testKey // who signs the manifest; ev unless a test says otherwise
}

func evid(i int) string { return fmt.Sprintf("EVID-%05d", i) }

// newWorld makes a package with n evidence items, each about one requirement, one personal
// decision and one server-asserted one.
func newWorld(t testing.TB, n int) *world {
	w := newBareWorld(t)
	possession := `{"person":"v.lead","public_key":"` + w.person.sshLine() + `"}`
	w.key("AUDIT-KEY-3", map[string]any{
		"event": EnrolmentActive, "person": "v.lead", "ssh_key": w.person.sshLine(), "countersigned_by": "q.lead",
		"possession": Possession{Namespace: "caos-key@v1", Statement: possession, Signature: w.person.sshSign([]byte(possession), "caos-key@v1")},
	})
	for i := range n {
		w.evidence(i)
	}
	w.decision("DEC-1", ProofSSH)
	w.decision("DEC-2", ProofServer)
	w.contents[DocumentName("report.txt")] = []byte("a document\n")
	w.seal()
	return w
}

// newSmallWorld makes a package of one item without decisions and documents, for tests
// that go over all its bytes.
func newSmallWorld(t testing.TB) *world {
	w := newBareWorld(t)
	w.evidence(0)
	w.seal()
	return w
}

func newBareWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, cp: newTestKey(t, PurposeCheckpoint, 1), ev: newTestKey(t, PurposeEvidence, 2), person: newTestKey(t, "person", 3), contents: map[string][]byte{}}
	w.key("AUDIT-KEY-1", w.cp.event(t, KeyCreated, w.cp))
	w.key("AUDIT-KEY-2", w.ev.event(t, KeyCreated, w.ev))
	w.ev.trust.ActiveFrom = 1
	w.trust = Trust{Version: 1, Origin: testOrigin, LogID: "log-1", Keys: []TrustKey{w.cp.trust, w.ev.trust}, Witnesses: []string{}}
	w.plan = Plan{Version: 1, PackageID: "CERT-PKG-1", Objectives: []string{"OBJ-1"}, Requirements: []string{"REQ-OPEN"}}
	w.info = PackageInfo{PackageID: "CERT-PKG-1", ModelID: "NN-FCS-001", Created: testTime, Origin: testOrigin, Audience: "authority"}
	return w
}

// record appends an audit record to the log.
func (w *world) record(id, typ string, resources []string, details any) RecordFile {
	w.t.Helper()
	text, err := json.Marshal(map[string]any{"actor": "tester", "details": details, "id": id, "resources": resources, "time": testTime, "type": typ, "v": 1})
	if err != nil {
		w.t.Fatal(err)
	}
	salt := sha256.Sum256([]byte(id))
	leaf := LeafBytes(id, testTime, typ, Commitment(salt, text))
	f := NewRecordFile(w.log.n, leaf, text, salt)
	w.log.add(w.t, leaf)
	w.records = append(w.records, f)
	return f
}

func (w *world) key(id string, details any) {
	w.contents[KeyRecordName(id)] = w.record(id, "KEY", nil, details).Marshal()
}

func (w *world) evidence(i int) {
	id := evid(i)
	artifact := fmt.Appendf(nil, "artifact %d\n%s", i, strings.Repeat("x", i%700))
	w.contents[ArtifactName(id)] = artifact
	w.item(i, sha256.Sum256(artifact))
}

// item signs and records an evidence item of some digest.
func (w *world) item(i int, digest [32]byte) {
	id := evid(i)
	w.plan.Requirements = append(w.plan.Requirements, fmt.Sprintf("REQ-%d", i))
	envelope := w.envelope(w.ev, id, digest, fmt.Sprintf("REQ-%d", i))
	w.contents[EnvelopeName(id)] = envelope
	audit := "AUDIT-" + id
	w.contents[RecordName(audit)] = w.record(audit, "EVIDENCE", []string{id, "NN-FCS-001"}, map[string]string{
		"evidence_hash": FormatHash(digest), "envelope_hash": FormatHash(sha256.Sum256(envelope)),
	}).Marshal()
}

func (w *world) envelope(k testKey, id string, digest [32]byte, req string) []byte {
	w.t.Helper()
	st, err := NewStatement(id, digest, EvidencePredicate, map[string]any{
		"evidence_id": id, "requirement_ids": []string{req}, "objective_ids": []string{"OBJ-1"}, "evidence_type": "TEST_RESULT",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return k.envelope(InTotoType, st)
}

func (w *world) decision(id, kind string) { w.decisionAs(id, kind, "DECISION") }

// decisionAs records a decision in a record of some type.
func (w *world) decisionAs(id, kind, typ string) {
	w.t.Helper()
	text, err := Decision{Digest: FormatHash(sha256.Sum256([]byte("report"))), Meaning: "I approve the freeze of NN-FCS-001 2.1.0 \"as is\"", Person: "v.lead", Time: testTime, What: "approve:" + id}.Canonical()
	if err != nil {
		w.t.Fatal(err)
	}
	audit := "AUDIT-" + id
	w.contents[RecordName(audit)] = w.record(audit, typ, []string{id}, map[string]string{"statement_hash": StatementHash(text)}).Marshal()
	f := DecisionFile{Record: audit, Statement: string(text), Proof: DecisionProof{Kind: kind}}
	if kind == ProofSSH {
		f.Proof.Signature = w.person.sshSign(text, DecisionNamespace)
	}
	if w.contents[DecisionName(id)], err = f.Marshal(); err != nil {
		w.t.Fatal(err)
	}
}

// seal signs the log's head and makes the proofs of all records.
func (w *world) seal() {
	w.t.Helper()
	w.contents[PlanName], _ = json.Marshal(w.plan)
	w.info.Log = w.log.head(w.t, w.log.n)
	w.contents[LogName] = w.cp.checkpoint(w.t, w.info.Log)
	for _, name := range slices.Collect(maps.Keys(w.contents)) {
		if k := KindOf(name); k == kindRecord || k == kindKey {
			f, err := ParseRecordFile(w.contents[name])
			if err != nil {
				w.t.Fatal(err)
			}
			w.contents[proofOf(name)] = w.proof(f.Index)
		}
	}
	w.cover()
}

func (w *world) proof(index int64) []byte {
	w.t.Helper()
	hashes, err := tlog.ProveRecord(w.log.n, index, &w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	return FormatProof(Proof{Index: index, Hashes: hashes, Checkpoint: w.contents[LogName]})
}

func (w *world) cover() {
	plan, err := ParsePlan(w.contents[PlanName])
	if err != nil {
		w.t.Fatal(err)
	}
	var claims []EvidenceClaim
	for name, data := range w.contents {
		if KindOf(name) != kindEnvelope {
			continue
		}
		if e, err := ParseEnvelope(data); err == nil {
			var st Statement
			var c EvidenceClaim
			if json.Unmarshal(e.Bytes(), &st) == nil && json.Unmarshal(st.Predicate, &c) == nil {
				claims = append(claims, c)
			}
		}
	}
	w.info.Coverage = Cover(plan, claims)
}

// write makes the file.
func (w *world) write() []byte {
	w.t.Helper()
	k := w.ev
	if w.signer != nil {
		k = *w.signer
	}
	var list []Content
	for name, data := range w.contents {
		list = append(list, BytesContent(name, data))
	}
	var b bytes.Buffer
	err := WritePackage(&b, w.info, list, func(statement []byte) ([]byte, error) { return k.envelope(InTotoType, statement), nil })
	if err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

func (w *world) verify(file []byte) *Report {
	w.t.Helper()
	r, err := Package(bytes.NewReader(file), int64(len(file)), w.trust, PackageOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// failures lists what a report holds against entries.
func failures(r *Report) (out []string) {
	for _, c := range r.Checks {
		for _, f := range c.Failures {
			out = append(out, c.Name+" "+f.Entry+": "+f.Problem)
		}
	}
	return out
}

// blames reports whether a failure names an entry.
func blames(r *Report, entry string) bool {
	for _, c := range r.Checks {
		for _, f := range c.Failures {
			if f.Entry == entry {
				return true
			}
		}
	}
	return false
}
