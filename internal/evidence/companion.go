package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"caos"
	"caos/internal/auditlog"
)

// Companion is a file about a package's model that goes into its exports beside the
// evidence, or an audit record that does: the manifest of a baseline, a passport, a vote,
// the report of a review. Its entry in the file is Name (see verify.BaselineName and its
// kin).
type Companion struct {
	Name           string // "" for a record alone
	Subject        string // id that the audit record of its making names as a resource: "BL-FCS-2.1.0"
	Data           []byte
	Project        string
	Classification string

	// Recorded says that the audit record of its making states the digest of Data, and
	// belongs into the export: without it nobody can tell when the signature was made.
	Recorded bool
	// Record is the id of the audit record that belongs into the export with it, where that
	// is known; "" otherwise.
	Record string
	// Authority says that no other audience gets it: it names people.
	Authority bool
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
		if !x.audience.sees(c.Classification) || c.Project != x.pkg.Project || c.Authority && x.audience != Authority {
			continue
		}
		if err := x.mayGet(c.Classification); err != nil {
			return err
		}
		there, err := x.addRecordOf(c)
		if err != nil {
			return err
		}
		if !there || c.Name == "" || x.names[c.Name] {
			continue // recorded after the checkpoint that the file leads to, not for this audience, or there
		}
		if err := x.add(c.Name, c.Data); err != nil {
			return err
		}
	}
	return nil
}

// addRecordOf adds the record that belongs to a companion, and reports whether the file has
// it, or need not.
func (x *export) addRecordOf(c Companion) (bool, error) {
	switch {
	case c.Record != "":
		s, err := x.r.log.Get(x.ctx, c.Record)
		if err != nil {
			return false, err
		}
		// What a decision rests on may name items of other packages: their artifacts are not
		// in the file, but the decision is the model's.
		how := byRules
		if c.Authority {
			how = whole
		}
		err = x.addRecord(s, how)
		return x.records[s.ID], err
	case c.Recorded:
		return x.addStating(c)
	}
	return true, nil
}

// addStating adds the record that states the digest of a companion, and reports whether the
// file has it.
func (x *export) addStating(c Companion) (bool, error) {
	s, err := x.stating(c)
	if err != nil {
		return false, err
	}
	err = x.addRecord(s, byRules)
	return x.records[s.ID], err
}

// stating finds the record that tells when a companion was signed: the first one with its
// digest. Later ones, such as of a passport's being revoked, have it as well, and by then the
// key may have been retired. Of what was recorded before a recovery of the log nothing can be
// proved under the present checkpoint, so records since then go before. A passport has a
// second record for anybody, which does not name its signer and is taken where there is no other.
func (x *export) stating(c Companion) (first *auditlog.Stored, err error) {
	sum := sha256.Sum256(c.Data)
	stated := []byte(`"SHA256:` + hex.EncodeToString(sum[:]) + `"`)
	public := append([]byte(`"credential_digest":`), stated...)
	var open *auditlog.Stored // to anybody
	for cursor := ""; ; {
		page, err := x.r.log.List(x.ctx, auditlog.Filter{Resource: c.Subject, Limit: 1000}, cursor)
		if err != nil {
			return nil, err
		}
		for _, s := range page.Records {
			switch {
			case !bytes.Contains(s.Record, stated):
			case bytes.Contains(s.Record, public):
				open = earlier(s, open)
			default:
				first = earlier(s, first)
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if first == nil || open != nil && open.Generation > first.Generation {
		first = open
	}
	if first == nil {
		return nil, caos.Errorf(caos.Conflict, "%s is not the file that the log has a record of", c.Name).WithField(c.Subject).
			WithHint("it was changed where it is stored: run caos baseline verify, caos doctor and caos audit verify")
	}
	return first, nil
}

// earlier returns the one of two records that was made first, but for those from before a
// recovery. b may be nil.
func earlier(a, b *auditlog.Stored) *auditlog.Stored {
	if b == nil || a.Generation > b.Generation || a.Generation == b.Generation && a.Index < b.Index {
		return a
	}
	return b
}
