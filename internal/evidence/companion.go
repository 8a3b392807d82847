package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"caos"
	"caos/internal/auditlog"
)

// Companion is a signed file about a package's model that goes into its exports beside the
// evidence: the manifest of a baseline, a passport. Its entry in the file is Name (see
// verify.BaselineName and its kin).
type Companion struct {
	Name           string
	Subject        string // id that the audit record of its making names as a resource: "BL-FCS-2.1.0"
	Data           []byte
	Project        string
	Classification string

	// Recorded says that the audit record of its making states the digest of Data, and
	// belongs into the export: without it nobody can tell when the signature was made.
	Recorded bool
}

// addCompanions adds what the model's other nouns have to show, as far as the audience may
// see it, with the records that state the digests.
func (x *export) addCompanions() error {
	if x.r.companions == nil {
		return nil
	}
	list, err := x.r.companions(x.ctx, x.pkg.ModelID)
	if err != nil {
		return err
	}
	for _, c := range list {
		if !x.audience.sees(c.Classification) || c.Project != x.pkg.Project {
			continue
		}
		if c.Recorded {
			there, err := x.addRecordOf(c)
			if err != nil {
				return err
			}
			if !there {
				continue // recorded after the checkpoint that the file leads to, or not for this audience
			}
		}
		if err := x.add(c.Name, c.Data); err != nil {
			return err
		}
	}
	return nil
}

// addRecordOf adds the record that states the digest of a companion, and reports whether
// the file has it.
func (x *export) addRecordOf(c Companion) (bool, error) {
	sum := sha256.Sum256(c.Data)
	stated := []byte(`"SHA256:` + hex.EncodeToString(sum[:]) + `"`)
	for cursor := ""; ; {
		page, err := x.r.log.List(x.ctx, auditlog.Filter{Resource: c.Subject, Limit: 1000}, cursor)
		if err != nil {
			return false, err
		}
		for _, s := range page.Records {
			if !bytes.Contains(s.Record, stated) {
				continue
			}
			err := x.addRecord(s, false)
			return x.records[s.ID], err
		}
		if cursor = page.Next; cursor == "" {
			return false, caos.Errorf(caos.Conflict, "%s is not the file that the log has a record of", c.Name).WithField(c.Subject).
				WithHint("it was changed where it is stored: run caos baseline verify, caos doctor and caos audit verify")
		}
	}
}
