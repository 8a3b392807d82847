package verify

import (
	"bytes"
	"encoding/json"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// The fuzz targets hold two things: no input makes a parser panic, and what a strict
// parser accepts is exactly what its writer writes.

func FuzzLeaf(f *testing.F) {
	f.Add(testLeaf(1))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ParseLeaf(data)
		if err != nil {
			return
		}
		c, err := ParseHash(l.Commitment)
		if err != nil || !bytes.Equal(LeafBytes(l.ID, l.Time, l.Type, c), data) {
			t.Fatalf("accepted %q", data)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	w := newWorld(f, 1)
	f.Add(w.contents[LogName])
	f.Add([]byte(w.info.Log.Text()))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := ParseCheckpoint(data); err == nil && c.Text() != string(data) {
			t.Fatalf("accepted %q", data)
		}
		if c, err := OpenCheckpoint(data, w.trust); err == nil && c.Root != w.info.Log.Root {
			t.Fatalf("forged %q", data)
		}
	})
}

func FuzzProof(f *testing.F) {
	w := newWorld(f, 2)
	f.Add(w.contents[ProofName("AUDIT-EVID-00000")])
	f.Add(FormatProof(Proof{Extra: []byte("x"), Checkpoint: []byte("c")}))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseProof(data)
		if err != nil {
			return
		}
		if !bytes.Equal(FormatProof(p), data) {
			t.Fatalf("accepted %q", data)
		}
		if _, err := p.Verify(tlog.Hash{1}, w.trust); err == nil {
			t.Fatalf("proved nothing with %q", data)
		}
		c, _ := ParseCheckpoint(p.Checkpoint)
		_ = CheckInclusion(p.Hashes, c, p.Index, tlog.Hash{1})
		_ = CheckConsistency(p.Hashes, Checkpoint{Size: p.Index}, c)
	})
}

func FuzzEnvelope(f *testing.F) {
	k := newTestKey(f, PurposeEvidence, 2)
	f.Add(k.envelope(InTotoType, []byte(`{"_type":"x"}`)))
	f.Add([]byte(`{"payload":"-_-_","payloadType":"x","signatures":[{"keyid":"","sig":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseEnvelope(data)
		if err != nil {
			return
		}
		_, _ = ParseStatement(e.Bytes())
		_, _ = e.Verify(InTotoType, func(string) (*TrustKey, error) { return &k.trust, nil })
		again, err := ParseEnvelope(MarshalEnvelope(e.PayloadType, e.Bytes(), e.Signatures...))
		if err != nil || !bytes.Equal(again.Bytes(), e.Bytes()) {
			t.Fatalf("%q changes when written again: %v", data, err)
		}
	})
}

func FuzzSSHSig(f *testing.F) {
	k := newTestKey(f, "person", 3)
	f.Add([]byte(k.sshSign([]byte("m"), DecisionNamespace)), k.sshLine())
	f.Add([]byte(sshBegin+"U1NIU0lH\n"+sshEnd), "ssh-rsa AAAA comment")
	f.Fuzz(func(t *testing.T, armored []byte, line string) {
		if key, err := VerifySSHSig(armored, []byte("m"), DecisionNamespace); err == nil && key.String() != k.sshLine() {
			t.Fatalf("forged %q", armored)
		}
		if key, err := ParseSSHKey(line); err == nil {
			if again, err := ParseSSHKey(key.String()); err != nil || again.Fingerprint() != key.Fingerprint() {
				t.Fatalf("%q changes when written again: %v", line, err)
			}
		}
	})
}

func FuzzTrust(f *testing.F) {
	w := newWorld(f, 1)
	text, err := w.trust.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		trust, err := ParseTrust(data)
		if err != nil {
			return
		}
		text, err := trust.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseTrust(text); err != nil {
			t.Fatalf("%q cannot be read again: %v", data, err)
		}
	})
}

func FuzzJSONFiles(f *testing.F) {
	w := newWorld(f, 1)
	for name, data := range w.contents {
		if KindOf(name) != kindEvidence {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := ParseRecordFile(data); err == nil {
			_, _, _ = r.Check()
			if again, err := ParseRecordFile(r.Marshal()); err != nil || again != r {
				t.Fatalf("%q changes when written again: %v", data, err)
			}
		}
		if d, err := ParseDecision(data); err == nil {
			if again, err := d.Canonical(); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("accepted %q", data)
			}
		}
		_, _, _, _ = ParseDecisionFile(data)
		_, _ = ParsePlan(data)
		_, _ = KeyEvent{Statement: string(data)}.Parse()
		_, _ = readRecord(data, newShapes())
		var m Manifest
		if decodeStrict("manifest", data, shapeOf[Manifest](), &m) == nil {
			_ = m.check()
		}
	})
}

// checkAnyPackage verifies a file that is good only if it is the one given.
func checkAnyPackage(t *testing.T, w *world, file, good []byte) {
	t.Helper()
	r, err := Package(bytes.NewReader(file), int64(len(file)), w.trust, PackageOptions{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r.OK != bytes.Equal(file, good) {
		t.Fatalf("OK is %v: %q", r.OK, failures(r))
	}
	if !r.OK && len(failures(r)) == 0 {
		t.Fatal("failed without a reason")
	}
	var b bytes.Buffer
	if err := r.Text(&b, true); err != nil {
		t.Fatal(err)
	}
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
}

// FuzzPackage replaces a stretch of a good file; any change must be found.
func FuzzPackage(f *testing.F) {
	w := newSmallWorld(f)
	file := w.write()
	f.Add(uint32(0), uint16(0), []byte("x"))
	f.Add(uint32(124), uint16(11), []byte("77777777777"))
	f.Add(uint32(4096), uint16(512), []byte(nil))
	h := header("documents/x", 0)
	f.Add(uint32(len(file)-trailer), uint16(0), h[:])
	f.Fuzz(func(t *testing.T, pos uint32, cut uint16, put []byte) {
		at := int(pos) % (len(file) + 1)
		end := min(at+int(cut), len(file))
		checkAnyPackage(t, w, append(append(bytes.Clone(file[:at]), put...), file[end:]...), file)
	})
}

// FuzzManifest puts anything in the manifest's place.
func FuzzManifest(f *testing.F) {
	w := newSmallWorld(f)
	file := w.write()
	list := layoutOf(f, file)
	f.Add(file[block : block+list[0].size])
	f.Add([]byte(`{"audience":"a","coverage":{"objectives":{"covered":0,"missing":[],"planned":0},"requirements":{"covered":0,"missing":[],"planned":0}},"created":"` + testTime + `","entries":[],"log":{"root":"` + FormatHash(tlog.Hash{}) + `","size":0},"model_id":"m","origin":"o","package_id":"p","version":1}`))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		h := header(ManifestName, int64(len(manifest)))
		b := append(append(h[:], manifest...), make([]byte, padding(int64(len(manifest))))...)
		checkAnyPackage(t, w, append(b, file[list[1].offset:]...), file)
	})
}

// FuzzOutcome checks packages whose outcome says anything: nothing panics, and what verifies
// says of the review what its votes come to.
func FuzzOutcome(f *testing.F) {
	s := newStory(f)
	for _, o := range []OutcomeDetails{s.review, s.conditions, s.release} {
		data, err := o.MarshalJSON()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var o OutcomeDetails
		if json.Unmarshal(data, &o) != nil {
			return
		}
		s := newStory(t)
		o.Votes = nil
		switch o.OutcomeOf {
		case OutcomeOfConditions:
			s.conditions = o
		case OutcomeOfRelease:
			s.release = o
		default:
			s.review = o
		}
		s.build()
		r := s.verify(s.write())
		if r.OK && (s.review.Outcome != OutcomeConditional || s.release.Outcome != OutcomeAuthorised) {
			t.Fatalf("verified %s", data)
		}
		for _, colour := range []bool{false, true} {
			narrow(t, text(t, r, colour))
		}
	})
}
