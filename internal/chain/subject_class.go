package chain

import (
	"caos"
	"caos/internal/db"
)

// follow gives a subject the classification of the model that it is about, if that became the
// stricter one since the subject was wanted: why it is not recorded may tell as much.
func (c *Chain) follow(tx *db.Tx, s *Subject) error {
	if c.opt.Class == nil || !s.AboutModel() {
		return nil
	}
	class, err := c.opt.Class(tx, s.ModelID)
	if caos.KindOf(err) == caos.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	stricter := caos.Stricter(s.Classification, class)
	if stricter == s.Classification {
		return nil
	}
	s.Classification = stricter
	tx.Exec(`UPDATE chain_subjects SET classification = $1 WHERE kind = $2 AND id = $3`, stricter, string(s.Kind), s.ID)
	return tx.Err()
}

// AboutModel reports whether ModelID is a model's. Audit records and checkpoints state
// something else there.
func (s *Subject) AboutModel() bool {
	return (s.Kind == KindPassport || s.Kind == KindEvidence) && caos.CheckID("model", "", s.ModelID) == nil
}
