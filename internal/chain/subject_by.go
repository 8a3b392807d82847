package chain

import "caos/internal/db"

// SubjectBy returns the subject that an execution records, nil if it records none.
func (c *Chain) SubjectBy(tx *db.Tx, executionID string) (*Subject, error) {
	if executionID == "" || !db.Storable(executionID) {
		return nil, nil
	}
	var s *Subject
	err := tx.Query(`SELECT `+subjectColumns+` FROM chain_subjects WHERE execution_id = $1`, []any{executionID}, func(scan func(...any) error) (err error) {
		s, err = scanSubject(scan)
		return err
	})
	return s, err
}
