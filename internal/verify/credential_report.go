package verify

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"caos"
)

// PassportReport is what a verifier found in a passport. It is OK only if every check is.
type PassportReport struct {
	OK         bool             `json:"ok"`
	Passport   *PassportSubject `json:"passport"`        // what the passport says; null unless it verified
	Digest     string           `json:"digest"`          // "SHA256:" and hex of the canonical form
	CID        string           `json:"cid"`             // of the same bytes
	KeyID      string           `json:"key_id"`          // of the trust file's key that signed; "" if none did
	Status     *PassportStatus  `json:"status"`          // what the status list says; null if none was given, or it does not hold
	Logged     *PassportLogged  `json:"logged"`          // where the audit log has it; null if no proof was given, or it does not hold
	Chain      []OnChain        `json:"chain,omitempty"` // what registries say of it; none unless they were asked
	Origin     string           `json:"origin"`          // of the trust file
	Trust      string           `json:"trust"`           // "SHA256:" and hex of the trust file
	Checks     []*Check         `json:"checks"`
	Findings   []string         `json:"findings"`    // true but worth knowing
	NotChecked []string         `json:"not_checked"` // what this program cannot tell
}

// PassportStatus is what a status list says of a passport.
type PassportStatus struct {
	List       string    `json:"list"`
	Revoked    bool      `json:"revoked"`
	ValidFrom  time.Time `json:"valid_from"`  // what the list knows is from then
	ValidUntil time.Time `json:"valid_until"` // there is a newer list since
}

// PassportLogged is where the audit log has a passport.
type PassportLogged struct {
	Index int64  `json:"index"` // of the leaf
	Time  string `json:"time"`  // caos.TimeLayout, as the leaf has it
	Size  int64  `json:"size"`  // of the tree whose checkpoint was signed

	Witnesses []PassportWitness `json:"witnesses,omitempty"` // who cosigned that checkpoint, of the trust file's
}

// PassportWitness is a witness that saw the log grow into a passport's tree.
type PassportWitness struct {
	Name string `json:"name"`
	At   string `json:"at"` // caos.TimeLayout, by its clock
}

// PassportFiles are what a passport may be checked with, as the installation serves them.
type PassportFiles struct {
	Status []byte    // the status list that it names; nil if not given
	Proof  []byte    // what /dpp/{id}/proof answers; nil if not given
	Now    time.Time // the present, which a list has to cover; zero: whenever
}

// readPassportFiles reads what a passport is to be checked with; "" names nothing.
func readPassportFiles(status, proof string) (with PassportFiles, err error) {
	with.Now = time.Now()
	if with.Status, err = readBounded(status, maxCredential); err != nil {
		return with, err
	}
	with.Proof, err = readBounded(proof, maxPassportProof)
	return with, err
}

// readBounded reads a file, one byte more than max if it has that many; nil for "".
func readBounded(name string, max int64) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, max+1))
}

// isPassport reports whether a file begins like a credential: no other file that is
// verified here is JSON.
func isPassport(r io.ReaderAt) bool {
	var head [64]byte
	n, _ := r.ReadAt(head[:], 0)
	return bytes.HasPrefix(bytes.TrimLeft(head[:n], " \t\r\n"), []byte("{"))
}

// verifyPassport checks a passport that lies in a file of its own.
func verifyPassport(f io.ReaderAt, size int64, trust Trust, with PassportFiles) *PassportReport {
	r := &PassportReport{Origin: trust.Origin, Checks: []*Check{}, Findings: []string{}, NotChecked: []string{
		"whether a later event has a passport of its own: ask the installation that issued it",
		"the annex: its SHA-256 has to be the annexDigest that the passport states",
		"the model's files: check the exported baseline, whose root has to be the rootDigest that the passport states",
	}}
	c := r.check("credential", "The passport is a W3C Verifiable Credential whose eddsa-jcs-2022 proof is by a passport key of the trust file")
	raw, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, 0, size), maxCredential+1))
	if err != nil {
		c.fail("file", "cannot be read: %v", err)
		return r
	}
	var cred *Credential
	if with.Proof != nil {
		cred, err = r.logged(raw, with.Proof, trust)
	} else {
		r.NotChecked = append(r.NotChecked, "when it was signed: give --proof FILE, which is to be had at its address with /proof, or check an evidence package that has it")
		cred, err = CheckCredential(raw, trust)
	}
	if err == nil && !with.Now.IsZero() {
		err = cred.CheckTime(with.Now)
	}
	if err != nil {
		c.fail("file", "%v", caos.AsError(err))
		return r
	}
	r.OK, r.Passport, r.Digest, r.CID, r.KeyID = true, &cred.Subject, cred.Digest, cred.CID, cred.KeyID
	c.Says += ", " + cred.KeyID
	if cred.KeyRetired && with.Proof == nil {
		r.Findings = append(r.Findings, fmt.Sprintf("the key %s was retired; that the passport was signed before, only the log can tell", cred.KeyID))
	}
	if o := cred.Subject.LogOrigin; o != trust.Origin {
		r.Findings = append(r.Findings, fmt.Sprintf("the passport names the log %s and the trust file is that of %s", quote(o), quote(trust.Origin)))
	}
	r.status(cred, trust, with)
	for _, one := range r.Checks {
		r.OK = r.OK && one.OK
	}
	return r
}

func (r *PassportReport) check(name, says string) *Check {
	c := &Check{Name: name, Says: says, OK: true, Count: 1, Failures: []Failure{}}
	r.Checks = append(r.Checks, c)
	return c
}

// logged checks the passport together with its place in the log. What does not hold there
// leaves the passport to be judged alone, beside a check that failed.
func (r *PassportReport) logged(raw, proof []byte, trust Trust) (*Credential, error) {
	c := r.check("log", "The audit log has the passport's public record, in a tree whose checkpoint is signed by a key of the trust file")
	l, err := CheckLoggedPassport(raw, proof, trust)
	if err != nil {
		c.fail("proof", "%v", caos.AsError(err))
		return CheckCredential(raw, trust)
	}
	r.Logged = &PassportLogged{Index: l.Index, Time: l.Leaf.Time, Size: l.Checkpoint.Size}
	for _, w := range l.Cosigned {
		r.Logged.Witnesses = append(r.Logged.Witnesses, PassportWitness{w.Witness, caos.FormatTime(w.At)})
	}
	switch n := len(trust.Witnesses); {
	case trust.WitnessQuorum > 0:
		c.Says += fmt.Sprintf(" and cosigned by %d of its %s, where it asks for %d", len(l.Cosigned), count(int64(n), "witness", "witnesses"), trust.WitnessQuorum)
	case n > 0 && len(l.Cosigned) == 0:
		r.Findings = append(r.Findings, "none of the trust file's witnesses has cosigned the checkpoint of the proof; it does not ask that any does")
	}
	return &l.Credential, nil
}

// status checks the list that says whether the passport was revoked.
func (r *PassportReport) status(cred *Credential, trust Trust, with PassportFiles) {
	switch {
	case cred.Status == nil && with.Status == nil:
		r.NotChecked = append(r.NotChecked, "whether it was revoked: it names no status list, as passports from before there were lists; ask the installation that issued it")
		return
	case with.Status == nil:
		r.NotChecked = append(r.NotChecked, "status not checked, whether it was revoked: give --status FILE, which is to be had at "+cred.Status.List)
		return
	}
	c := r.check("status", "The status list that the passport names is signed by a passport key of the trust file, still counts, and does not say that it was revoked")
	l, err := CheckStatusList(with.Status, trust)
	if err != nil {
		c.fail("status", "%v", caos.AsError(err))
		return
	}
	revoked, err := l.Revoked(cred)
	if err != nil {
		c.fail("status", "%v", caos.AsError(err))
		return
	}
	r.Status = &PassportStatus{List: l.ID, Revoked: revoked, ValidFrom: l.ValidFrom, ValidUntil: l.ValidUntil}
	if revoked {
		c.fail("status", "the passport was REVOKED, says the list of %s", caos.FormatTime(l.ValidFrom))
	}
	if err := l.CheckTime(with.Now); !with.Now.IsZero() && err != nil {
		c.fail("status", "%v", caos.AsError(err))
	}
}

// JSON writes the report as one JSON object, indented.
func (r *PassportReport) JSON(w io.Writer) error { return writeJSON(w, r) }

// Text writes the report for a person; with colour only if asked to.
func (r *PassportReport) Text(w io.Writer, colour bool) error {
	p := painter(colour)
	var b strings.Builder
	writeSandbox(&b, p, r.Origin)
	if s := r.Passport; s != nil {
		fmt.Fprintf(&b, "Passport %s\n", shownText(s.PassportID))
		fold(&b, "Model    ", 9, fmt.Sprintf("%s %s, safety level %s, event %s", shownText(s.ModelID), shownText(s.ModelVersion), shownText(or(s.SafetyLevel, "not assessed")), shownText(s.LifecycleEvent)))
		fold(&b, "Baseline ", 9, fmt.Sprintf("%s, root %s, frozen %s", shownText(s.Baseline.BaselineID), shownText(s.Baseline.RootDigest), shownText(s.Baseline.FrozenAt)))
		if l := r.Logged; l != nil {
			fold(&b, "Logged   ", 9, fmt.Sprintf("%s, leaf %d of a tree of %d", l.Time, l.Index, l.Size))
			for _, w := range l.Witnesses {
				fold(&b, "Cosigned ", 9, shownText(w.Name)+", "+w.At)
			}
		}
		if st := r.Status; st != nil {
			word := "not revoked"
			if st.Revoked {
				word = p.red("REVOKED")
			}
			fold(&b, "Status   ", 9, fmt.Sprintf("%s, as of %s", word, caos.FormatTime(st.ValidFrom)))
		}
		for _, o := range r.Chain {
			word := p.red("NOT RECORDED")
			if o.Recorded {
				word = fmt.Sprintf("recorded in block %d, %s, at %s by %s", o.Block, deep(o.Depth), o.At, o.Recorder)
			}
			fold(&b, "Chain    ", 9, fmt.Sprintf("%s, on the chain %d", word, o.ChainID))
		}
		fmt.Fprintf(&b, "Digest   %s\nCID      %s\nAnnex    %s\n", r.Digest, r.CID, shownText(s.AnnexDigest))
	}
	writeHead(&b, p, r.Origin, r.Trust)
	writeChecks(&b, p, r.Checks)
	section(&b, "Worth knowing:", r.Findings)
	section(&b, "Not checked by this program:", r.NotChecked)
	if r.OK {
		b.WriteString("\n" + p.green("VERIFIED") + ": every check above holds.\n")
	} else {
		b.WriteString("\n" + p.red("VERIFICATION FAILED") + ": do not rely on this file.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
