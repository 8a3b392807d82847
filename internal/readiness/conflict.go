package readiness

import (
	"slices"
	"strings"

	"caos"
	"caos/internal/db"
)

// The parts of a version that a review or a release authorisation gives. Those of the
// registry and of freezes come in through Options.Hands.
const (
	PartReviewRequester  = "REVIEW_REQUESTER"
	PartReviewRecorder   = "REVIEW_RECORDER"
	PartReleaseRequester = "RELEASE_REQUESTER"
	PartReleaseRecorder  = "RELEASE_RECORDER"
)

// Barred returns who cannot be on the approving side of a version, by user id, with the
// parts that bar them: whoever owned the model at any time, wrote or registered a V&V report
// of the version, requested a freeze, a review or a release of it, or did that for somebody.
// What was ever true bars: a model that is given away, a report that is superseded and a
// review that failed do not set anybody free.
func (r *Readiness) Barred(tx *db.Tx, s Subject) (map[string][]Hand, error) {
	hands, err := r.hands(tx, s.ModelID, s.Version)
	if err != nil {
		return nil, err
	}
	reviewed, err := reviewRequesters(tx, s)
	if err != nil {
		return nil, err
	}
	released, err := releaseRequesters(tx, s)
	if err != nil {
		return nil, err
	}
	out := map[string][]Hand{}
	for _, h := range slices.Concat(hands, reviewed, released) {
		if h.Person != "" && !slices.Contains(out[h.Person], h) {
			out[h.Person] = append(out[h.Person], h)
		}
	}
	return out, nil
}

// reviewRequesters returns who asked for the reviews of a version, who authenticated for
// them, and who switched the trigger on that did.
func reviewRequesters(tx *db.Tx, s Subject) ([]Hand, error) {
	var out []Hand
	err := tx.Query(`SELECT prr_id, requested_by, recorded_by, enabled_by FROM reviews WHERE model_id = $1 AND version = $2 ORDER BY n`, []any{s.ModelID, s.Version},
		func(scan func(...any) error) error {
			var id, requested, recorded, enabled string
			if err := scan(&id, &requested, &recorded, &enabled); err != nil {
				return err
			}
			out = append(out, Hand{Person: requested, Part: PartReviewRequester, Source: id})
			for _, person := range []string{recorded, enabled} {
				if person != requested {
					out = append(out, Hand{Person: person, Part: PartReviewRecorder, Source: id})
				}
			}
			return nil
		})
	return out, err
}

// notBarred refuses a decision by somebody who is barred from the version, or in whose stead
// somebody who is could have acted. what follows "cannot", such as "vote on PRR-…".
func (r *Readiness) notBarred(tx *db.Tx, s Subject, p caos.Principal, what string) error {
	barred, err := r.Barred(tx, s)
	if err != nil {
		return err
	}
	parties, err := r.people.Parties(tx, p)
	if err != nil {
		return err
	}
	if id := barredBy(barred, p.ID, parties); id != "" {
		return separated(p.ID, id, barred[id], what)
	}
	return nil
}

// barredBy returns who bars a person: themselves, or a party that could have acted in their
// stead; "" for nobody.
func barredBy(barred map[string][]Hand, person string, parties []string) string {
	for _, id := range append([]string{person}, parties...) {
		if len(barred[id]) > 0 {
			return id
		}
	}
	return ""
}

// separated is the refusal, saying which part in the version stands against the person.
func separated(person, party string, hands []Hand, what string) *caos.Error {
	h := hands[0]
	part := strings.ToLower(strings.ReplaceAll(h.Part, "_", " "))
	if person == party {
		return caos.Errorf(caos.Denied, "%s is %s (%s) and cannot %s", person, part, h.Source, what).WithRule(RuleSeparation).
			WithHint("somebody who had no hand in the version has to do this")
	}
	return caos.Errorf(caos.Denied, "%s, who is %s (%s), gave %s this account, token or trigger: %s cannot %s", party, part, h.Source, person, person, what).
		WithRule(RuleSeparation).WithHint("use a token that nobody who had a hand in the version issued, or let somebody else do this")
}
