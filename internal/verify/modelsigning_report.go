package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// ModelReport is what a verifier found in an exported baseline. It is OK only if every
// check is.
type ModelReport struct {
	OK         bool     `json:"ok"`
	BaselineID string   `json:"baseline_id"` // as the bundle states it
	Root       string   `json:"root"`        // "SHA256:" and hex: what the freeze record states
	Bundle     string   `json:"bundle"`      // "SHA256:" and hex of model.sig
	KeyID      string   `json:"key_id"`      // of the trust file's key that signed; "" if none did
	Origin     string   `json:"origin"`      // of the trust file
	Trust      string   `json:"trust"`       // "SHA256:" and hex of the trust file
	Files      int      `json:"files"`       // that the bundle lists
	Checks     []*Check `json:"checks"`      // in the order they were made
	Findings   []string `json:"findings"`    // true but worth knowing
	NotChecked []string `json:"not_checked"` // what this program cannot tell
}

func (r *ModelReport) check(name, says string) *Check {
	c := &Check{Name: name, Says: says, OK: true, Failures: []Failure{}}
	r.Checks = append(r.Checks, c)
	return c
}

// verifyModelFolder checks a baseline that lies in a folder.
func verifyModelFolder(dir string, trust Trust) (*ModelReport, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Lstat(ModelSignatureName) // first: opening a pipe would wait for a writer
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no %s in it: name the folder of one baseline", dir, ModelSignatureName)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s of %s is not a file", ModelSignatureName, dir)
	}
	if err != nil {
		return nil, err
	}
	f, err := root.Open(ModelSignatureName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	bundle, err := io.ReadAll(io.LimitReader(f, MaxModelBundle+1))
	if err != nil {
		return nil, err
	}
	entries, err := ListModel(root.FS())
	if err != nil {
		return nil, err
	}
	r := newModelReport(trust)
	r.model(bundle, entries, trust)
	return r, nil
}

// verifyModelTar checks a baseline that was exported as one file.
func verifyModelTar(f io.ReaderAt, size int64, trust Trust) *ModelReport {
	r := newModelReport(trust)
	layout := r.check("layout", "Every byte of the file is accounted for")
	layout.Count = 1
	t, err := ReadModelTar(f, size)
	if err != nil {
		layout.fail("file", "%v", err)
		return r
	}
	layout.Count = len(t.Entries) + 2
	b := r.model(t.Bundle, t.Entries, trust)
	if b == nil {
		return r
	}
	if err := t.checkOrder(&b.ModelStatement); err != nil {
		layout.fail("file", "%v", err)
	}
	if k, err := trust.ModelKey(b); err == nil {
		pub, _ := k.Public()
		if want, err := ModelKeyPEM(pub); err != nil || !bytes.Equal(want, t.Key) {
			layout.fail(t.ID+".pub", "is not the key that signed the bundle")
		}
	}
	r.settle()
	return r
}

func newModelReport(trust Trust) *ModelReport {
	return &ModelReport{Origin: trust.Origin, Checks: []*Check{}, Findings: []string{}, NotChecked: []string{
		"when the baseline was frozen and by whom: an evidence package has the log's record of it, which states the same root and digest of model.sig",
		"what the model computes",
	}}
}

// model checks the bundle, its signature and the files, and returns the bundle if it could
// be read.
func (r *ModelReport) model(bundle []byte, entries []ModelEntry, trust Trust) *ModelBundle {
	defer r.settle()
	c := r.check("bundle", "The bundle is a Model Signing bundle whose root is the digest over its files")
	c.Count = 1
	b, err := ParseModelBundle(bundle)
	if err != nil {
		c.fail(ModelSignatureName, "%v", err)
		return nil
	}
	r.BaselineID, r.Root, r.Bundle, r.Files = b.Name, b.Root, b.BundleDigest, len(b.Resources)
	c = r.check("signature", "The bundle is signed by a baseline key of the trust file")
	c.Count = 1
	if k, err := trust.ModelKey(b); err != nil {
		c.fail(ModelSignatureName, "%v", err)
	} else {
		r.KeyID = k.ID
		c.Says += ", " + k.ID
		if k.ActiveUntil != nil {
			r.Findings = append(r.Findings, fmt.Sprintf("the key %s was retired at leaf %d of the log; that the baseline was signed before, only the log can tell", k.ID, *k.ActiveUntil))
		}
	}
	c = r.check("files", fmt.Sprintf("Every file has the bytes that were frozen, none is missing, and there is no other: %s", count(int64(len(b.Resources)), "file", "files")))
	c.Count = len(b.Resources)
	problems, err := b.Compare(context.Background(), entries, nil)
	if err != nil {
		c.fail(".", "%v", err)
	}
	for _, p := range problems {
		c.fail(p.Path, "%s", p.Message)
	}
	if b.FollowedLinks {
		r.Findings = append(r.Findings, "the signer followed symbolic links; this program does not")
	}
	for _, i := range b.Ignored {
		if i != ModelSignatureName {
			r.Findings = append(r.Findings, fmt.Sprintf("the signer left out %s, and so did this program", quote(i)))
		}
	}
	return b
}

func (r *ModelReport) settle() {
	r.OK = len(r.Checks) > 0
	for _, c := range r.Checks {
		r.OK = r.OK && c.OK
	}
}

// JSON writes the report as one JSON object, indented.
func (r *ModelReport) JSON(w io.Writer) error { return writeJSON(w, r) }

// Text writes the report for a person; with colour only if asked to.
func (r *ModelReport) Text(w io.Writer, colour bool) error {
	p := painter(colour)
	var b strings.Builder
	writeSandbox(&b, p, r.Origin)
	if r.BaselineID != "" {
		fold(&b, "Baseline ", 9, fmt.Sprintf("%s, root %s, bundle %s", shownText(r.BaselineID), r.Root, r.Bundle))
	}
	writeHead(&b, p, r.Origin, r.Trust)
	writeChecks(&b, p, r.Checks)
	section(&b, "Worth knowing:", r.Findings)
	section(&b, "Not checked by this program:", r.NotChecked)
	if r.OK {
		b.WriteString("\n" + p.green("VERIFIED") + ": every check above holds.\n")
	} else {
		b.WriteString("\n" + p.red("VERIFICATION FAILED") + ": do not rely on these files.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeHead writes which log the keys are of.
func writeHead(b *strings.Builder, p painter, origin, trust string) {
	sandbox := isSandbox(origin)
	if origin = shownText(origin); sandbox {
		origin = p.red(origin)
	}
	fold(b, "Log      ", 9, origin)
	if trust != "" {
		fold(b, "Trust    ", 9, shownText(trust)+": compare it with what the operator of the log publishes")
	}
	b.WriteString("\n")
}

// writeChecks writes each check and what failed in it.
func writeChecks(b *strings.Builder, p painter, checks []*Check) {
	for _, c := range checks {
		mark := p.green("OK    ")
		if !c.OK {
			mark = p.red("FAILED")
		}
		fold(b, mark+"  ", 8, shownText(c.Says))
		for _, f := range c.Failures {
			fold(b, "        ", 10, p.red(shownText(f.Entry))+": "+shownText(f.Problem))
		}
		if n := c.Failed - len(c.Failures); n > 0 {
			fmt.Fprintf(b, "        and %d more\n", n)
		}
	}
}
