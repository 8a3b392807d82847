package sign

import (
	"context"
	"time"

	"caos"
	"caos/internal/verify"
)

// Event is something that happened to a key, with what its KEY record in the audit log
// must carry: the record's details are Event.KeyEvent.
type Event struct {
	verify.KeyEvent
	Key    verify.TrustKey // the key, without leaves
	Kind   string          // verify.KeyCreated, KeyRetired or KeyCompromised
	Signer string          // id of the key that signed the statement
}

// Create makes a key. Where its purpose has no active key yet it becomes active at once
// and its birth is signed by itself; else it waits in state created, its birth signed by
// its predecessor, until Activate puts it in the predecessor's place. The event belongs
// into the log before anything that the new key signs.
func (k *Keys) Create(ctx context.Context, p Purpose, at time.Time) (Event, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one, err := k.generate(p, at)
	if err != nil {
		return Event{}, err
	}
	by := one
	if pred, err := k.active(p); err == nil {
		by = pred
	} else {
		one.info.State = Active
	}
	e, err := k.event(ctx, one, verify.KeyCreated, by, at)
	if err != nil {
		return Event{}, err
	}
	if err := k.save(one.info); err != nil {
		return Event{}, err
	}
	k.keys[one.info.ID] = one
	return e, nil
}

// Activate puts a created key in the place of its purpose's active one, which retires, and
// returns the event of that retirement, signed by the retired key as its last statement.
// Activating the active key changes nothing and returns no event, so after a crash it may
// be repeated.
func (k *Keys) Activate(ctx context.Context, id string, at time.Time) ([]Event, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one, err := k.find(id)
	if err != nil {
		return nil, err
	}
	if one.info.State == Active {
		return nil, nil
	}
	if one.info.State != Created {
		return nil, caos.Errorf(caos.Conflict, "the key %s is %s", id, one.info.State).WithHint("create a new key")
	}
	var events []Event
	if pred, err := k.active(one.info.Purpose); err == nil {
		e, err := k.end(ctx, pred, Retired, verify.KeyRetired, at)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, k.setState(one, Active)
}

// Retire ends a key that is no longer needed; the event is signed by the key itself.
func (k *Keys) Retire(ctx context.Context, id string, at time.Time) (Event, error) {
	return k.finish(ctx, id, Retired, verify.KeyRetired, at)
}

// MarkCompromised ends a key that somebody else may have. It signs nothing from then on;
// the event is the last thing it signs, since a thief gains nothing by it.
func (k *Keys) MarkCompromised(ctx context.Context, id string, at time.Time) (Event, error) {
	return k.finish(ctx, id, Compromised, verify.KeyCompromised, at)
}

func (k *Keys) finish(ctx context.Context, id string, to State, kind string, at time.Time) (Event, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one, err := k.find(id)
	if err != nil {
		return Event{}, err
	}
	// A retired key can still turn out to be stolen; nothing else follows an end.
	if s := one.info.State; s == Compromised || s == to {
		return Event{}, caos.Errorf(caos.Conflict, "the key %s is already %s", id, s)
	}
	return k.end(ctx, one, to, kind, at)
}

func (k *Keys) end(ctx context.Context, one *key, to State, kind string, at time.Time) (Event, error) {
	e, err := k.event(ctx, one, kind, one, at)
	if err != nil {
		return Event{}, err
	}
	return e, k.setState(one, to)
}

func (k *Keys) setState(one *key, s State) error {
	info := one.info
	info.State = s
	if err := k.save(info); err != nil {
		return err
	}
	one.info = info
	return nil
}

func (k *Keys) find(id string) (*key, error) {
	one, ok := k.keys[id]
	if !ok {
		return nil, caos.Errorf(caos.NotFound, "there is no key %q", id).WithField("key_id").WithHint("list them with: caos key list")
	}
	return one, nil
}

// Birth signs again the statement of a key's birth, for a KEY record that a crash kept out
// of the log. As in Create, the predecessor signs it if there is one.
func (k *Keys) Birth(ctx context.Context, id string, at time.Time) (Event, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one, err := k.find(id)
	if err != nil {
		return Event{}, err
	}
	by := one
	if pred, err := k.active(one.info.Purpose); err == nil {
		by = pred
	}
	return k.event(ctx, one, verify.KeyCreated, by, at)
}

// event makes and signs the statement of an event. An encryption key cannot sign, so
// whatever happens to one is vouched for by the active checkpoint key.
func (k *Keys) event(ctx context.Context, about *key, kind string, by *key, at time.Time) (Event, error) {
	if by.info.Purpose == Encryption {
		vouch, err := k.active(Checkpoint)
		if err != nil {
			return Event{}, err
		}
		by = vouch
	}
	signer, err := by.signer()
	if err != nil {
		return Event{}, err
	}
	i := about.info
	text, err := verify.KeyStatement{
		Algorithm: i.Algorithm, Event: kind, KeyID: i.ID, PublicKey: i.PublicKey,
		Purpose: string(i.Purpose), SignedBy: by.info.ID, Time: caos.FormatTime(at),
	}.Canonical()
	if err != nil {
		return Event{}, err
	}
	sig, err := signPAE(ctx, signer, verify.KeyStatementType, []byte(text))
	if err != nil {
		return Event{}, err
	}
	return Event{
		KeyEvent: verify.KeyEvent{Statement: text, Signature: sig.Sig},
		Key:      verify.TrustKey{ID: i.ID, Purpose: string(i.Purpose), Algorithm: i.Algorithm, PublicKey: i.PublicKey},
		Kind:     kind, Signer: by.info.ID,
	}, nil
}
