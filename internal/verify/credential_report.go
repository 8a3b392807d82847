package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"caos"
)

// PassportReport is what a verifier found in a passport. It is OK only if every check is.
type PassportReport struct {
	OK         bool             `json:"ok"`
	Passport   *PassportSubject `json:"passport"` // what the passport says; null unless it verified
	Digest     string           `json:"digest"`   // "SHA256:" and hex of the canonical form
	CID        string           `json:"cid"`      // of the same bytes
	KeyID      string           `json:"key_id"`   // of the trust file's key that signed; "" if none did
	Origin     string           `json:"origin"`   // of the trust file
	Trust      string           `json:"trust"`    // "SHA256:" and hex of the trust file
	Checks     []*Check         `json:"checks"`
	Findings   []string         `json:"findings"`    // true but worth knowing
	NotChecked []string         `json:"not_checked"` // what this program cannot tell
}

// isPassport reports whether a file begins like a credential: no other file that is
// verified here is JSON.
func isPassport(r io.ReaderAt) bool {
	var head [64]byte
	n, _ := r.ReadAt(head[:], 0)
	return bytes.HasPrefix(bytes.TrimLeft(head[:n], " \t\r\n"), []byte("{"))
}

// verifyPassport checks a passport that lies in a file of its own.
func verifyPassport(f io.ReaderAt, size int64, trust Trust) *PassportReport {
	r := &PassportReport{Origin: trust.Origin, Checks: []*Check{}, Findings: []string{}, NotChecked: []string{
		"when it was signed: an evidence package has the log's record of it, which states this digest",
		"whether it was revoked, or a later event has a passport of its own: ask the installation that issued it",
		"the annex: its SHA-256 has to be the annexDigest that the passport states",
		"the model's files: check the exported baseline, whose root has to be the rootDigest that the passport states",
	}}
	c := &Check{Name: "credential", Says: "The passport is a W3C Verifiable Credential whose eddsa-jcs-2022 proof is by a passport key of the trust file", OK: true, Count: 1, Failures: []Failure{}}
	r.Checks = append(r.Checks, c)
	raw, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, 0, size), maxCredential+1))
	if err != nil {
		c.fail("file", "cannot be read: %v", err)
		return r
	}
	cred, err := CheckCredential(raw, trust)
	if err != nil {
		c.fail("file", "%v", caos.AsError(err))
		return r
	}
	r.OK, r.Passport, r.Digest, r.CID, r.KeyID = true, &cred.Subject, cred.Digest, cred.CID, cred.KeyID
	c.Says += ", " + cred.KeyID
	if cred.KeyRetired {
		r.Findings = append(r.Findings, fmt.Sprintf("the key %s was retired; that the passport was signed before, only the log can tell", cred.KeyID))
	}
	if o := cred.Subject.LogOrigin; o != trust.Origin {
		r.Findings = append(r.Findings, fmt.Sprintf("the passport names the log %s and the trust file is that of %s", quote(o), quote(trust.Origin)))
	}
	return r
}

// JSON writes the report as one JSON object, indented.
func (r *PassportReport) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// Text writes the report for a person; with colour only if asked to.
func (r *PassportReport) Text(w io.Writer, colour bool) error {
	p := painter(colour)
	var b strings.Builder
	writeSandbox(&b, p, r.Origin)
	if s := r.Passport; s != nil {
		fmt.Fprintf(&b, "Passport %s\n", shownText(s.PassportID))
		fold(&b, "Model    ", 9, fmt.Sprintf("%s %s, safety level %s, event %s", shownText(s.ModelID), shownText(s.ModelVersion), shownText(or(s.SafetyLevel, "not assessed")), shownText(s.LifecycleEvent)))
		fold(&b, "Baseline ", 9, fmt.Sprintf("%s, root %s, frozen %s", shownText(s.Baseline.BaselineID), shownText(s.Baseline.RootDigest), shownText(s.Baseline.FrozenAt)))
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
