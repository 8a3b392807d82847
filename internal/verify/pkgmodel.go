package verify

import (
	"slices"
	"strings"
)

// checkModels checks the signed files about the model itself: manifests of baselines,
// passports and their annexes. A package without any says nothing about them.
func (p *pkg) checkModels() {
	p.checkSigned(kindBaseline, "baselines", "Every baseline's manifest is signed by a key that counted when the freeze was recorded, and has the digest of that record", p.checkBaseline)
	p.checkSigned(kindPassport, "passports", "Every passport is signed by a key that counted when it was recorded, has the digest of that record, and names its annex", p.checkPassport)
	var c *Check
	p.each(func(i int, _ *entryFacts) {
		name := p.entries[i].name
		if p.fact(strings.TrimSuffix(name, ".annex.json")+".json") != nil {
			return
		}
		if c == nil {
			c = p.report.check("annexes")
			c.Says = "Every annex belongs to a passport in the package"
		}
		c.Count++
		c.fail(name, "is the annex of a passport that is not in the package")
	}, kindAnnex)
}

// checkSigned checks every entry of a kind: that a proven record states its digest, and
// what check says of it at that record's leaf.
func (p *pkg) checkSigned(kind, name, says string, check func(c *Check, i int, data []byte, leaf int64)) {
	var c *Check
	p.each(func(i int, f *entryFacts) {
		if c == nil {
			c = p.report.check(name)
		}
		c.Count++
		entry := p.entries[i].name
		if f.digest != "" {
			c.fail(entry, "%s", f.digest)
			return
		}
		data, ok := p.small(p.entries[i].offset+block, p.entries[i].size)
		if !ok {
			c.fail(entry, "cannot be read")
			return
		}
		r := p.recordStating(kind, hashPrefix+p.manifest.Entries[i].SHA256)
		if r == nil {
			c.fail(entry, "no audit record in the package states its digest, so nobody can tell when it was signed")
			return
		}
		check(c, i, data, r.index)
	}, kind)
	if c != nil {
		c.Says = says + ": " + count(int64(c.Count), "file", "files")
	}
}

// recordStating finds the record that states the digest of a file of a kind, nil if there
// is none. Of several the first counts: a later one may not make a retired key good.
func (p *pkg) recordStating(kind, digest string) (first *recordFacts) {
	p.each(func(_ int, f *entryFacts) {
		r := f.record
		if r == nil || f.problem != "" {
			return
		}
		stated := []*string{r.details.CredentialHash, r.details.PublicHash}
		if kind == kindBaseline {
			stated = []*string{r.details.BundleHash}
		}
		if first != nil && r.index > first.index {
			return
		}
		if slices.ContainsFunc(stated, func(s *string) bool { return s != nil && *s == digest }) {
			first = r
		}
	}, kindRecord)
	return first
}

// checkBaseline checks who signed a baseline's manifest, and that it is of the baseline
// that the entry is named after.
func (p *pkg) checkBaseline(c *Check, i int, data []byte, leaf int64) {
	name := p.entries[i].name
	b, err := ParseModelBundle(data)
	if err != nil {
		c.fail(name, "%v", err)
		return
	}
	k := p.trust.signerOf(b)
	if k == nil {
		c.fail(name, "is not signed by a baseline key of the trust file")
		return
	}
	// Here the record tells when it was signed, so a key that was compromised later counts.
	if err := k.Counts(leaf); err != nil {
		c.fail(name, "%v", err)
		return
	}
	id := strings.Split(name, "/")[1]
	if b.Name != id {
		c.fail(name, "is the manifest of %s", quote(b.Name))
	}
}

// rootOf is the root digest of a baseline whose manifest is in the package, "" of another.
func (p *pkg) rootOf(baselineID string) string {
	i, ok := p.index[BaselineName(baselineID)]
	if !ok || p.facts[i].digest != "" {
		return ""
	}
	data, ok := p.small(p.entries[i].offset+block, p.entries[i].size)
	if !ok {
		return ""
	}
	b, err := ParseModelBundle(data)
	if err != nil {
		return "" // said where the manifest is checked
	}
	return b.Root
}

// signerOf returns the baseline key that signed a bundle, nil if none did.
func (t *Trust) signerOf(b *ModelBundle) *TrustKey {
	for i := range t.Keys {
		k := &t.Keys[i]
		if k.Purpose != PurposeBaseline {
			continue
		}
		if pub, err := k.Public(); err == nil && b.Verify(pub) == nil {
			return k
		}
	}
	return nil
}

// checkPassport checks a passport and the annex beside it, if the audience got that.
func (p *pkg) checkPassport(c *Check, i int, data []byte, leaf int64) {
	name := p.entries[i].name
	cred, err := CheckCredentialAt(data, p.trust, leaf)
	if err != nil {
		c.fail(name, "%v", err)
		return
	}
	id := entryID(name, ".json")
	if cred.Subject.PassportID != id {
		c.fail(name, "is the passport %s", quote(cred.Subject.PassportID))
	}
	if root := p.rootOf(cred.Subject.Baseline.BaselineID); root != "" && root != cred.Subject.Baseline.RootDigest {
		c.fail(name, "states another root digest than the manifest of %s in the package", cred.Subject.Baseline.BaselineID)
	}
	j, ok := p.index[AnnexName(id)]
	if !ok {
		return
	}
	if p.facts[j].digest != "" {
		c.fail(AnnexName(id), "%s", p.facts[j].digest)
		return
	}
	annex, ok := p.small(p.entries[j].offset+block, p.entries[j].size)
	if !ok {
		c.fail(AnnexName(id), "cannot be read")
		return
	}
	if err := cred.CheckAnnex(annex); err != nil {
		c.fail(AnnexName(id), "%v", err)
	}
}
