package readiness

import (
	"slices"
	"time"

	"caos"
)

// Level is how heavy a risk is, by its score.
type Level string

// The levels, the lightest first. Stored.
const (
	Low      Level = "Low"
	Medium   Level = "Medium"
	High     Level = "High"
	Critical Level = "Critical"
)

// maxRating is the highest likelihood and the highest impact; the lowest is 1.
const maxRating = 5

// Band is a range of scores and what follows from a risk in it.
type Band struct {
	Level      Level    `json:"level"`
	From       int      `json:"from"`        // score, likelihood × impact
	To         int      `json:"to"`          // score, included
	ReviewDays int      `json:"review_days"` // the risk is looked at again after so many days
	AcceptedBy []string `json:"accepted_by"` // roles, any one of which may accept it; none: it cannot be accepted
}

// Scale says what scores mean. It is data, so that a report can show by which scale it
// speaks, and another programme's scale is another value of this type.
type Scale struct {
	ScaleID string `json:"scale_id"`
	Bands   []Band `json:"bands"` // the lightest first, without gaps from 1 to 25
}

// ShippedScale is the scale of CAOS: that of the programme whose hooks it implements.
func ShippedScale() Scale {
	three := []string{"chief-engineer", "qa-lead", "safety-engineer"}
	return Scale{ScaleID: "caos-risk-1", Bands: []Band{
		{Level: Low, From: 1, To: 4, ReviewDays: 91, AcceptedBy: three},
		{Level: Medium, From: 5, To: 9, ReviewDays: 30, AcceptedBy: three},
		{Level: High, From: 10, To: 14, ReviewDays: 14, AcceptedBy: []string{"chief-engineer"}},
		{Level: Critical, From: 15, To: 25, ReviewDays: 7, AcceptedBy: []string{}},
	}}
}

// Check refuses a scale under which a score would mean nothing or two things, or a heavier
// risk would be treated more lightly.
func (s Scale) Check() error {
	if len(s.Bands) == 0 || len(s.Bands) > 10 {
		return caos.Errorf(caos.Invalid, "a scale has 1 to 10 bands").WithField("bands")
	}
	next, days := 1, 0
	for i, b := range s.Bands {
		if b.From != next || b.To < b.From || b.ReviewDays < 1 {
			return caos.Errorf(caos.Invalid, "the band %s does not begin where the one before ends, is empty or is never reviewed", b.Level).WithField("bands")
		}
		if i > 0 && b.ReviewDays > days {
			return caos.Errorf(caos.Invalid, "the band %s is reviewed less often than a lighter one", b.Level).WithField("bands")
		}
		next, days = b.To+1, b.ReviewDays
	}
	if next != maxRating*maxRating+1 {
		return caos.Errorf(caos.Invalid, "the bands end at %d, not at %d", next-1, maxRating*maxRating).WithField("bands")
	}
	return nil
}

// band is where a score lies. A score that cannot be lies in the heaviest band.
func (s Scale) band(score int) Band {
	for _, b := range s.Bands {
		if score >= b.From && score <= b.To {
			return b
		}
	}
	return s.Bands[len(s.Bands)-1]
}

// Level is what a score means; 0, which is "not assessed", means nothing.
func (s Scale) Level(score int) Level {
	if score == 0 {
		return ""
	}
	return s.band(score).Level
}

// Levels lists the levels, the lightest first.
func (s Scale) Levels() []Level {
	out := make([]Level, len(s.Bands))
	for i, b := range s.Bands {
		out[i] = b.Level
	}
	return out
}

// NextReview is the day by which a risk with this score has to be looked at again, counted
// from a moment.
func (s Scale) NextReview(score int, from time.Time) string {
	return day(from.UTC().AddDate(0, 0, s.band(score).ReviewDays))
}

// MayAccept returns the first of the roles in which a risk with this score may be accepted,
// "" for none.
func (s Scale) MayAccept(score int, roles []string) string {
	for _, role := range s.band(score).AcceptedBy {
		if slices.Contains(roles, role) {
			return role
		}
	}
	return ""
}
