package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// edit changes a record file of the package.
func (w *world) edit(name string, f func(r *RecordFile)) {
	w.t.Helper()
	r, err := ParseRecordFile(w.contents[name])
	if err != nil {
		w.t.Fatal(err)
	}
	f(&r)
	w.contents[name] = r.Marshal()
}

// replace changes text in an entry, which must contain it.
func (w *world) replace(name, old, new string) {
	w.t.Helper()
	if !bytes.Contains(w.contents[name], []byte(old)) {
		w.t.Fatalf("%s has no %q", name, old)
	}
	w.contents[name] = bytes.Replace(w.contents[name], []byte(old), []byte(new), 1)
}

func (w *world) drop(names ...string) {
	for _, n := range names {
		delete(w.contents, n)
	}
}

// mutateProof changes a proof.
func (w *world) mutateProof(name string, f func(p *Proof)) {
	w.t.Helper()
	p, err := ParseProof(w.contents[name])
	if err != nil {
		w.t.Fatal(err)
	}
	f(&p)
	w.contents[name] = FormatProof(p)
}

// resign makes the envelope of item 0 again, by a key, from a changed statement.
func (w *world) resign(k testKey, payloadType string, f func(s *Statement)) {
	w.t.Helper()
	e, err := ParseEnvelope(w.contents[EnvelopeName(evid(0))])
	if err != nil {
		w.t.Fatal(err)
	}
	st, err := ParseStatement(e.Bytes())
	if err != nil {
		w.t.Fatal(err)
	}
	f(&st)
	b, err := json.Marshal(st)
	if err != nil {
		w.t.Fatal(err)
	}
	w.contents[EnvelopeName(evid(0))] = k.envelope(payloadType, b)
}

func same(*Statement) {}

func ptr(n int64) *int64 { return &n }

func (w *world) decisionFile(f func(d *DecisionFile)) {
	w.t.Helper()
	var d DecisionFile
	if err := json.Unmarshal(w.contents[DecisionName("DEC-1")], &d); err != nil {
		w.t.Fatal(err)
	}
	f(&d)
	w.contents[DecisionName("DEC-1")], _ = d.Marshal()
}

// Entries that the table names.
const (
	item     = "evidence/EVID-00000/envelope.dsse.json"
	artifact = "evidence/EVID-00000/artifact"
	record   = "audit/AUDIT-EVID-00000.record.json"
	proofs   = "audit/AUDIT-EVID-00000.proof"
	decided  = "decisions/DEC-1.json"
)

// A lie is a change to a package, and the entry that must be blamed for it.
type lie struct {
	entry string
	tell  func(w *world)
}

// falsified are lies that the operator of the log could tell with all keys at hand: the
// manifest is always signed again, so digests hold and only meaning is left to be checked.
func falsified() map[string]lie {
	all := map[string]lie{}
	for _, m := range []map[string]lie{recordLies(), treeLies(), evidenceLies(), keyLies(), decisionLies()} {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

func recordLies() map[string]lie {
	return map[string]lie{
		"record text changed": {record, func(w *world) {
			w.edit(record, func(r *RecordFile) { r.Record = strings.Replace(r.Record, "tester", "nobody", 1) })
		}},
		"record spelled otherwise": {record, func(w *world) {
			w.edit(record, func(r *RecordFile) { r.Record = strings.Replace(r.Record, ":", ": ", 1) })
		}},
		"salt changed":  {record, func(w *world) { w.edit(record, func(r *RecordFile) { r.Salt = "A" + r.Salt[1:] }) }},
		"salt too long": {record, func(w *world) { w.edit(record, func(r *RecordFile) { r.Salt = encodeBase64(make([]byte, 33)) }) }},
		"record and leaf made anew": {proofs, func(w *world) {
			w.edit(record, func(r *RecordFile) {
				r.Record = strings.Replace(r.Record, "tester", "nobody", 1)
				salt, _ := decodeBase64(r.Salt)
				r.Leaf = string(LeafBytes("AUDIT-EVID-00000", testTime, "EVIDENCE", Commitment([32]byte(salt), []byte(r.Record))))
			})
		}},
		"leaf with another time": {proofs, func(w *world) {
			w.edit(record, func(r *RecordFile) {
				r.Leaf = strings.Replace(r.Leaf, "04:00", "03:00", 1)
				r.Record = strings.Replace(r.Record, "04:00", "03:00", 1)
				w.recommit(r)
			})
		}},
		"leaf not canonical": {record, func(w *world) { w.edit(record, func(r *RecordFile) { r.Leaf = strings.Replace(r.Leaf, ",", ", ", 1) }) }},
		"record contradicts leaf": {record, func(w *world) {
			w.edit(record, func(r *RecordFile) {
				r.Record = strings.Replace(r.Record, `"type":"EVIDENCE"`, `"type":"ACCESS"`, 1)
				w.recommit(r)
			})
		}},
		"record has a key twice": {record, func(w *world) {
			w.edit(record, func(r *RecordFile) { r.Record = strings.Replace(r.Record, `"v":1`, `"v":1,"id":"X"`, 1); w.recommit(r) })
		}},
		"record under another name": {record, func(w *world) { w.contents[record] = w.contents[RecordName("AUDIT-EVID-00001")] }},
		"record twice": {RecordName("AUDIT-EVID-00009"), func(w *world) {
			w.contents[RecordName("AUDIT-EVID-00009")] = w.contents[record]
			w.contents[ProofName("AUDIT-EVID-00009")] = w.contents[proofs]
		}},
		"record file with a key more": {record, func(w *world) {
			w.replace(record, `{"index"`, `{"extra":1,"index"`)
		}},
		"record file with a key twice": {record, func(w *world) { w.replace(record, `{"index"`, `{"index":0,"index"`) }},
		"record file in capitals":      {record, func(w *world) { w.replace(record, `"salt"`, `"Salt"`) }},
		"index off by one":             {proofs, func(w *world) { w.edit(record, func(r *RecordFile) { r.Index++ }) }},
		"index negative":               {proofs, func(w *world) { w.edit(record, func(r *RecordFile) { r.Index = -1 }) }},
	}
}

// recommit makes the leaf of an edited record again.
func (w *world) recommit(r *RecordFile) {
	l, err := ParseLeaf([]byte(r.Leaf))
	if err != nil {
		w.t.Fatal(err)
	}
	salt, _ := decodeBase64(r.Salt)
	r.Leaf = string(LeafBytes(l.ID, l.Time, l.Type, Commitment([32]byte(salt), []byte(r.Record))))
}

func treeLies() map[string]lie {
	other := func(w *world) []byte { return w.contents[ProofName("AUDIT-EVID-00001")] }
	return map[string]lie{
		"proof of another record": {proofs, func(w *world) { w.contents[proofs] = other(w) }},
		"proof and index of another record": {proofs, func(w *world) {
			w.contents[proofs] = other(w)
			w.edit(record, func(r *RecordFile) { r.Index++ })
		}},
		"proof index changed": {proofs, func(w *world) { w.mutateProof(proofs, func(p *Proof) { p.Index ^= 1 }) }},
		"proof and record index": {proofs, func(w *world) {
			w.mutateProof(proofs, func(p *Proof) { p.Index ^= 1 })
			w.edit(record, func(r *RecordFile) { r.Index ^= 1 })
		}},
		"proof hash flipped": {proofs, func(w *world) { w.mutateProof(proofs, func(p *Proof) { p.Hashes[1][3] ^= 1 }) }},
		"proof hash dropped": {proofs, func(w *world) { w.mutateProof(proofs, func(p *Proof) { p.Hashes = p.Hashes[1:] }) }},
		"proof hash added":   {proofs, func(w *world) { w.mutateProof(proofs, func(p *Proof) { p.Hashes = append(p.Hashes, tlog.Hash{}) }) }},
		"proof hashes swapped": {proofs, func(w *world) {
			w.mutateProof(proofs, func(p *Proof) { p.Hashes[0], p.Hashes[1] = p.Hashes[1], p.Hashes[0] })
		}},
		"proof of an older tree": {proofs, func(w *world) {
			w.mutateProof(proofs, func(p *Proof) { p.Checkpoint = w.cp.checkpoint(w.t, w.log.head(w.t, 4)) })
		}},
		"proof without its note": {proofs, func(w *world) { w.mutateProof(proofs, func(p *Proof) { p.Checkpoint = []byte(w.info.Log.Text()) }) }},
		"proof missing":          {proofs, func(w *world) { w.drop(proofs) }},
		"proof without a record": {ProofName("AUDIT-DEC-2"), func(w *world) { w.drop(RecordName("AUDIT-DEC-2"), DecisionName("DEC-2")) }},
		"checkpoint missing":     {LogName, func(w *world) { w.drop(LogName) }},
		"checkpoint by a stranger": {LogName, func(w *world) {
			w.contents[LogName] = newTestKey(w.t, PurposeCheckpoint, 9).checkpoint(w.t, w.info.Log)
		}},
		"checkpoint by evidence key": {LogName, func(w *world) { w.contents[LogName] = w.ev.checkpoint(w.t, w.info.Log) }},
		"checkpoint not signed":      {LogName, func(w *world) { w.contents[LogName] = []byte(w.info.Log.Text()) }},
		"checkpoint of another log": {LogName, func(w *world) {
			c := w.info.Log
			c.Origin = "other.test"
			w.contents[LogName] = w.cp.checkpoint(w.t, c)
		}},
		"checkpoint of another size": {LogName, func(w *world) { w.contents[LogName] = w.cp.checkpoint(w.t, w.log.head(w.t, w.log.n-1)) }},
		"checkpoint of another tree": {proofs, func(w *world) {
			w.info.Log.Root[0] ^= 1
			w.contents[LogName] = w.cp.checkpoint(w.t, w.info.Log)
			for name := range w.contents {
				if KindOf(name) == kindProof {
					w.mutateProof(name, func(p *Proof) { p.Checkpoint = w.contents[LogName] })
				}
			}
		}},
		"manifest of another tree": {LogName, func(w *world) { w.info.Log.Size++ }},
		"manifest of another log":  {ManifestName, func(w *world) { w.info.Origin = "other.test" }},
	}
}

func evidenceLies() map[string]lie {
	return map[string]lie{
		"artifact exchanged": {item, func(w *world) { w.contents[artifact] = []byte("better results") }},
		"artifact and envelope exchanged": {record, func(w *world) {
			w.contents[artifact] = []byte("better results")
			w.resign(w.ev, InTotoType, func(s *Statement) { s.Subject[0].Digest.SHA256 = tlogHex(sha256.Sum256(w.contents[artifact])) })
		}},
		"envelope signed again with another claim": {record, func(w *world) {
			w.resign(w.ev, InTotoType, func(s *Statement) {
				s.Predicate = json.RawMessage(strings.Replace(string(s.Predicate), "REQ-0", "REQ-OPEN", 1))
			})
			w.cover()
		}},
		"envelope by a stranger":        {item, func(w *world) { w.resign(newTestKey(w.t, PurposeEvidence, 9), InTotoType, same) }},
		"envelope by another purpose":   {item, func(w *world) { w.resign(w.cp, InTotoType, same) }},
		"envelope of another type":      {item, func(w *world) { w.resign(w.ev, "text/plain", same) }},
		"envelope about another item":   {item, func(w *world) { w.resign(w.ev, InTotoType, func(s *Statement) { s.Subject[0].Name = "EVID-00001" }) }},
		"envelope of another predicate": {item, func(w *world) { w.resign(w.ev, InTotoType, func(s *Statement) { s.PredicateType = PackagePredicate }) }},
		"envelope with two subjects": {item, func(w *world) {
			w.resign(w.ev, InTotoType, func(s *Statement) { s.Subject = append(s.Subject, s.Subject[0]) })
		}},
		"envelope without claims": {item, func(w *world) {
			w.resign(w.ev, InTotoType, func(s *Statement) { s.Predicate = json.RawMessage(`{"evidence_id":"EVID-00000"}`) })
		}},
		"envelope claims in capitals": {item, func(w *world) {
			w.resign(w.ev, InTotoType, func(s *Statement) {
				s.Predicate = json.RawMessage(strings.Replace(string(s.Predicate), "evidence_id", "Evidence_ID", 1))
			})
		}},
		"envelope payload changed": {item, func(w *world) { w.replace(item, `"payload":"ey`, `"payload":"ez`) }},
		"envelope signature dropped": {item, func(w *world) {
			w.contents[item] = []byte(strings.Split(string(w.contents[item]), `"signatures"`)[0] + `"signatures":[]}`)
		}},
		"envelope with a key twice": {item, func(w *world) { w.replace(item, `{"payload"`, `{"payload":"e30=","payload"`) }},
		"envelope with a key more":  {item, func(w *world) { w.replace(item, `{"payload"`, `{"more":1,"payload"`) }},
		"envelope missing":          {artifact, func(w *world) { w.drop(item); w.cover() }},
		"artifact missing":          {artifact, func(w *world) { w.drop(artifact) }},
		"item missing, record left": {record, func(w *world) { w.drop(item, artifact); w.cover() }},
		"evidence record missing":   {item, func(w *world) { w.drop(record, proofs) }},
		"evidence record of a digest": {record, func(w *world) {
			w.edit(record, func(r *RecordFile) {
				r.Record = strings.Replace(r.Record, `"evidence_hash":"SHA256:`, `"evidence_hash":"SHA256:0`, 1)
				w.recommit(r)
			})
		}},
		"no evidence": {ManifestName, func(w *world) {
			for i := range 3 {
				w.drop(ArtifactName(evid(i)), EnvelopeName(evid(i)), RecordName("AUDIT-"+evid(i)), ProofName("AUDIT-"+evid(i)))
			}
			w.cover()
		}},
		"plan missing":                {PlanName, func(w *world) { w.drop(PlanName) }},
		"plan of another package":     {PlanName, func(w *world) { w.replace(PlanName, "CERT-PKG-1", "CERT-PKG-2") }},
		"plan with a key twice":       {PlanName, func(w *world) { w.replace(PlanName, `{"objective_ids"`, `{"objective_ids":[],"objective_ids"`) }},
		"plan version":                {PlanName, func(w *world) { w.replace(PlanName, `"version":1`, `"version":2`) }},
		"plan shortened":              {ManifestName, func(w *world) { w.replace(PlanName, `"REQ-OPEN",`, ``) }},
		"coverage overstated":         {ManifestName, func(w *world) { w.info.Coverage.Requirements.Covered++ }},
		"coverage hides a gap":        {ManifestName, func(w *world) { w.info.Coverage.Requirements.Missing = []string{} }},
		"manifest by a stranger":      {SignatureName, func(w *world) { k := newTestKey(w.t, PurposeEvidence, 9); w.signer = &k }},
		"manifest by another purpose": {SignatureName, func(w *world) { w.signer = &w.cp }},
	}
}

func keyLies() map[string]lie {
	birth := KeyRecordName("AUDIT-KEY-2")
	person := KeyRecordName("AUDIT-KEY-3")
	return map[string]lie{
		"evidence key retired before":      {item, func(w *world) { w.trust.Keys[1].ActiveUntil = ptr(3) }},
		"evidence key retired since":       {SignatureName, func(w *world) { w.trust.Keys[1].ActiveUntil = ptr(6) }},
		"evidence key born after":          {item, func(w *world) { w.trust.Keys[1].ActiveFrom = 5 }},
		"evidence key compromised before":  {item, func(w *world) { w.trust.Keys[1].CompromisedAt = ptr(2) }},
		"evidence key compromised since":   {SignatureName, func(w *world) { w.trust.Keys[1].CompromisedAt = ptr(1000) }},
		"evidence key unknown":             {item, func(w *world) { w.trust.Keys = w.trust.Keys[:1] }},
		"checkpoint key compromised since": {LogName, func(w *world) { w.trust.Keys[0].CompromisedAt = ptr(1000) }},
		"checkpoint key retired before":    {LogName, func(w *world) { w.trust.Keys[0].ActiveUntil = ptr(3) }},
		"checkpoint key born after":        {LogName, func(w *world) { w.trust.Keys[0].ActiveFrom = 1000 }},
		"trust file of another log":        {LogName, func(w *world) { w.trust.Origin = "other.test" }},
		"key record at another leaf":       {birth, func(w *world) { w.trust.Keys[1].ActiveFrom = 0 }},
		"key record of an unknown key":     {birth, func(w *world) { w.trust.Keys = w.trust.Keys[:1] }},
		"key record signed by another": {birth, func(w *world) {
			w.editKey(birth, func(e *KeyEvent) { e.Signature = w.cp.event(w.t, KeyCreated, w.cp).Signature })
		}},
		"key record statement changed": {birth, func(w *world) {
			w.editKey(birth, func(e *KeyEvent) { e.Statement = strings.Replace(e.Statement, "04:00", "03:00", 1) })
		}},
		"key record statement not canonical": {birth, func(w *world) {
			w.editKey(birth, func(e *KeyEvent) { e.Statement = strings.Replace(e.Statement, ",", ", ", 1) })
		}},
		"record of another type among keys": {KeyRecordName("AUDIT-EVID-00000"), func(w *world) {
			w.contents[KeyRecordName("AUDIT-EVID-00000")] = w.contents[record]
			w.contents[KeyProofName("AUDIT-EVID-00000")] = w.contents[proofs]
		}},
		"theft kept from the trust file":      {KeyRecordName("AUDIT-KEY-4"), func(w *world) { w.key("AUDIT-KEY-4", w.ev.event(w.t, KeyCompromised, w.ev)); w.seal() }},
		"retirement kept from the trust file": {KeyRecordName("AUDIT-KEY-4"), func(w *world) { w.key("AUDIT-KEY-4", w.ev.event(w.t, KeyRetired, w.ev)); w.seal() }},
		"enrolment without a second person":   {person, func(w *world) { w.editDetails(person, `"countersigned_by":"q.lead"`, `"countersigned_by":""`) }},
		"enrolment countersigned by oneself":  {person, func(w *world) { w.editDetails(person, `"countersigned_by":"q.lead"`, `"countersigned_by":"v.lead"`) }},
		"enrolment without possession":        {KeyRecordName("AUDIT-KEY-3"), func(w *world) { w.editDetails(person, `"namespace":"caos-key@v1"`, `"namespace":"file"`) }},
		"enrolment of another's possession":   {KeyRecordName("AUDIT-KEY-3"), func(w *world) { w.editDetails(person, `"person":"v.lead"`, `"person":"x.lead"`) }},
		"enrolment of no key":                 {person, func(w *world) { w.editDetails(person, "ssh-ed25519 AAAA", "ssh-ed25519 AAAB") }},
	}
}

// editDetails changes a record's text and makes its leaf again (so its proof fails too).
func (w *world) editDetails(name, old, new string) {
	w.edit(name, func(r *RecordFile) {
		if !strings.Contains(r.Record, old) {
			w.t.Fatalf("%s has no %s", name, old)
		}
		r.Record = strings.Replace(r.Record, old, new, 1)
		w.recommit(r)
	})
}

func (w *world) editKey(name string, f func(e *KeyEvent)) {
	w.edit(name, func(r *RecordFile) {
		var m map[string]any
		var e KeyEvent
		if err := json.Unmarshal([]byte(r.Record), &m); err != nil {
			w.t.Fatal(err)
		}
		d, _ := json.Marshal(m["details"])
		_ = json.Unmarshal(d, &e)
		f(&e)
		m["details"] = e
		b, _ := json.Marshal(m)
		r.Record = string(b)
		w.recommit(r)
	})
}

func decisionLies() map[string]lie {
	sign := func(k byte, namespace string) func(w *world) {
		return func(w *world) {
			w.decisionFile(func(d *DecisionFile) {
				d.Proof.Signature = newTestKey(w.t, "person", k).sshSign([]byte(d.Statement), namespace)
			})
		}
	}
	return map[string]lie{
		"decision by a stranger":       {decided, sign(9, DecisionNamespace)},
		"decision for another purpose": {decided, sign(3, "git")},
		"decision text changed": {decided, func(w *world) {
			w.decisionFile(func(d *DecisionFile) { d.Statement = strings.Replace(d.Statement, "approve the", "refuse the", 1) })
		}},
		"decision not canonical": {decided, func(w *world) {
			w.decisionFile(func(d *DecisionFile) {
				d.Statement = strings.Replace(d.Statement, ",", ", ", 1)
				d.Proof.Signature = w.person.sshSign([]byte(d.Statement), DecisionNamespace)
			})
		}},
		"decision signed anew": {decided, func(w *world) {
			w.decisionFile(func(d *DecisionFile) {
				d.Statement = strings.Replace(d.Statement, "approve the", "refuse the", 1)
				d.Proof.Signature = w.person.sshSign([]byte(d.Statement), DecisionNamespace)
			})
		}},
		"decision recorded from outside": {DecisionName("DEC-3"), func(w *world) { w.decisionAs("DEC-3", ProofServer, "CONFIG_CHANGE"); w.seal() }},
		"decision without its record":    {decided, func(w *world) { w.drop(RecordName("AUDIT-DEC-1"), ProofName("AUDIT-DEC-1")) }},
		"decision of another record":     {decided, func(w *world) { w.decisionFile(func(d *DecisionFile) { d.Record = "AUDIT-DEC-2" }) }},
		"decision without a signature":   {decided, func(w *world) { w.decisionFile(func(d *DecisionFile) { d.Proof.Signature = "" }) }},
		"decision of an unknown proof":   {decided, func(w *world) { w.decisionFile(func(d *DecisionFile) { d.Proof.Kind = "oath" }) }},
		"decision by a key not enrolled": {decided, func(w *world) { w.drop(KeyRecordName("AUDIT-KEY-3"), KeyProofName("AUDIT-KEY-3")) }},
		"decision by another's key":      {decided, func(w *world) { w.editDetails(KeyRecordName("AUDIT-KEY-3"), `"person":"v.lead"`, `"person":"x.lead"`) }},
		"decision by a revoked key":      {decided, func(w *world) { w.editDetails(KeyRecordName("AUDIT-KEY-3"), `"event":"enrolled"`, `"event":"revoked"`) }},
		"decision since the theft": {decided, func(w *world) {
			w.key("AUDIT-KEY-4", map[string]string{"event": EnrolmentRevoked, "person": "v.lead", "ssh_key": w.person.sshLine(), "countersigned_by": "q.lead", "compromised_since": testTime})
			w.seal()
		}},
		"decision before enrolment": {decided, func(w *world) { w.edit(KeyRecordName("AUDIT-KEY-3"), func(r *RecordFile) { r.Index = 100 }) }},
	}
}

func TestFalsifiedPackagesAreRefused(t *testing.T) {
	table := falsified()
	for name, f := range table {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3)
			f.tell(w)
			r := w.verify(w.write())
			if r.OK {
				t.Fatal("verified")
			}
			if !blames(r, f.entry) {
				t.Fatalf("%s is not named, but %q", f.entry, failures(r))
			}
		})
	}
	t.Logf("%d falsified packages", len(table))
}

// TestTheftDoesNotUndoThePast: what was recorded before a key was stolen stays proven, once
// a newer key has signed the package.
func TestTheftDoesNotUndoThePast(t *testing.T) {
	w := newWorld(t, 3)
	next := newTestKey(t, PurposeEvidence, 5)
	w.key("AUDIT-KEY-4", w.ev.event(t, KeyCompromised, w.ev))
	w.trust.Keys[1].CompromisedAt = ptr(w.log.n - 1)
	w.key("AUDIT-KEY-5", next.event(t, KeyCreated, next))
	next.trust.ActiveFrom = w.log.n - 1
	w.trust.Keys = append(w.trust.Keys, next.trust)
	w.signer = &next
	w.seal()
	if r := w.verify(w.write()); !r.OK {
		t.Fatal(failures(r))
	}
}
