package sign

import (
	"caos"
	"caos/internal/verify"
)

// KeyEvent is an event as the log has it: the details of a KEY record and the index of its
// leaf.
type KeyEvent struct {
	Leaf  int64
	Event verify.KeyEvent
}

// BuildTrust makes the trust file of a log from its KEY records, in the order of their
// leaves. Every statement must be signed as the life cycle demands: a birth by an active
// key of the same purpose or, where there is none, by the key itself; an end by the key
// itself. What does not fit is an error that names the leaf.
func BuildTrust(origin, logID string, events []KeyEvent) (verify.Trust, error) {
	t := verify.Trust{Version: 1, Origin: origin, LogID: logID, Keys: []verify.TrustKey{}, Witnesses: []string{}}
	last := int64(-1)
	for _, e := range events {
		if e.Leaf <= last {
			return t, caos.Errorf(caos.Invalid, "the key record at leaf %d is out of order", e.Leaf).WithField("events")
		}
		last = e.Leaf
		if err := apply(&t, e); err != nil {
			return t, caos.Errorf(caos.Invalid, "the key record at leaf %d: %w", e.Leaf, err).WithField("events")
		}
	}
	return t, t.Check()
}

func apply(t *verify.Trust, e KeyEvent) error {
	s, err := e.Event.Parse()
	if err != nil {
		return err
	}
	about, err := s.Key()
	if err != nil {
		return err
	}
	if s.Event == verify.KeyCreated {
		return applyBirth(t, e, s, about)
	}
	k, err := t.Find(s.KeyID, s.Purpose)
	if err != nil {
		return err
	}
	if err := checkSigner(t, e, s, k); err != nil {
		return err
	}
	leaf := e.Leaf
	switch {
	case s.Event == verify.KeyRetired && k.ActiveUntil == nil && k.CompromisedAt == nil:
		k.ActiveUntil = &leaf
	case s.Event == verify.KeyCompromised && k.CompromisedAt == nil:
		k.CompromisedAt = &leaf
	default:
		return caos.Errorf(caos.Conflict, "%s has already ended", k.ID)
	}
	return nil
}

func applyBirth(t *verify.Trust, e KeyEvent, s verify.KeyStatement, born verify.TrustKey) error {
	if _, err := t.Find(s.KeyID, s.Purpose); err == nil {
		return caos.Errorf(caos.Conflict, "%s was born before", s.KeyID)
	}
	if s.SignedBy == s.KeyID {
		for i := range t.Keys {
			if k := &t.Keys[i]; k.Purpose == s.Purpose && k.Counts(e.Leaf) == nil {
				return caos.Errorf(caos.Denied, "%s signed its own birth while %s was active", s.KeyID, k.ID)
			}
		}
	}
	if err := checkSigner(t, e, s, &born); err != nil {
		return err
	}
	born.ActiveFrom = e.Leaf
	t.Keys = append(t.Keys, born)
	return nil
}

// checkSigner checks who signed a statement about a key, and the signature.
func checkSigner(t *verify.Trust, e KeyEvent, s verify.KeyStatement, about *verify.TrustKey) error {
	by := about
	if s.SignedBy != s.KeyID {
		purpose := s.Purpose
		if purpose == string(Encryption) {
			purpose = string(Checkpoint) // an encryption key cannot sign
		}
		k, err := t.Key(s.SignedBy, purpose, e.Leaf)
		if err != nil {
			return err
		}
		by = k
	}
	pub, err := by.Public()
	if err != nil {
		return err
	}
	return e.Event.Verify(pub)
}
