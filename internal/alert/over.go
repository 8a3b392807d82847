package alert

import "caos/internal/db"

// Over closes the alert with the source, subject and metric of of that is not closed yet, as what
// it says is over; had tells whether there was one. by is who found that out. The caller
// writes the audit record, in the same transaction. It is for lasting states that end by
// themselves: what people have to look into is left to them.
func (s *Store) Over(tx *db.Tx, of Alert, by, reason string) (closed Alert, had bool, err error) {
	old, had, err := s.standing(tx, of)
	if err != nil || !had {
		return old, false, err
	}
	closed, err = s.Close(tx, old.AlertID, by, reason)
	return closed, err == nil, err
}
