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

	// PartParty is of who could have acted in the stead of somebody with another part, as
	// they made that account or a token of it.
	PartParty = "PARTY"
)

// Barred returns who cannot be on the approving side of a version, by user id, with the
// parts that bar them: whoever owned the model at any time, wrote or registered a V&V report
// of the version, requested a freeze, a review or a release of it, or did that for somebody,
// or could have: with an account or token that they handed out. What was ever true bars: a
// model that is given away, a report that is superseded and a review that failed do not set
// anybody free.
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
	return out, r.addParties(tx, out)
}

// addParties bars who could have acted for those who are. It goes no further: whoever got
// their account from an administrator that gave an owner theirs is not barred by that, or
// nobody could ever decide where one person makes all accounts.
func (r *Readiness) addParties(tx *db.Tx, barred map[string][]Hand) error {
	for _, id := range names(barred) {
		if caos.CheckID("user", "person", id) != nil {
			continue // no account, so nobody made it
		}
		parties, err := r.people.Parties(tx, caos.Principal{ID: id})
		if err != nil {
			return err
		}
		for _, party := range parties {
			barred[party] = append(barred[party], Hand{Person: party, Part: PartParty, Source: id})
		}
	}
	return nil
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

// barredBy returns who bars a person: themselves, or a party with a hand in the version that
// could have acted in their stead; "" for nobody.
func barredBy(barred map[string][]Hand, person string, parties []string) string {
	if len(barred[person]) > 0 {
		return person
	}
	for _, id := range parties {
		if slices.ContainsFunc(barred[id], func(h Hand) bool { return h.Part != PartParty }) {
			return id
		}
	}
	return ""
}

// barredAmong lists, sorted, who is barred and who of those that decided is because somebody
// barred could have decided in their stead.
func barredAmong(barred map[string][]Hand, decisions []*Decision) []string {
	out := names(barred)
	for _, d := range decisions {
		if len(barred[d.Person]) == 0 && barredBy(barred, d.Person, d.Parties) != "" && !slices.Contains(out, d.Person) {
			out = append(out, d.Person)
		}
	}
	slices.Sort(out)
	return out
}

// separated is the refusal, saying which part in the version stands against the person.
func separated(person, party string, hands []Hand, what string) *caos.Error {
	h := hands[0]
	part := strings.ToLower(strings.ReplaceAll(h.Part, "_", " "))
	if h.Part == PartParty {
		return caos.Errorf(caos.Denied, "%s made the account of %s, or a token of it, who had a hand in the version: %s cannot %s", person, h.Source, person, what).
			WithRule(RuleSeparation).WithHint("somebody who had no hand in the version, and gave none to who had, has to do this")
	}
	if person == party {
		return caos.Errorf(caos.Denied, "%s is %s (%s) and cannot %s", person, part, h.Source, what).WithRule(RuleSeparation).
			WithHint("somebody who had no hand in the version has to do this")
	}
	return caos.Errorf(caos.Denied, "%s, who is %s (%s), gave %s this account, token or trigger: %s cannot %s", party, part, h.Source, person, person, what).
		WithRule(RuleSeparation).WithHint("use a token that nobody who had a hand in the version issued, or let somebody else do this")
}
