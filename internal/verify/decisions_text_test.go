package verify

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func text(t *testing.T, r *Report, colour bool) string {
	t.Helper()
	var b strings.Builder
	if err := r.Text(&b, colour); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReportTellsWhoDecidedWhat(t *testing.T) {
	s := newStory(t)
	s.build()
	r := s.verify(s.write())
	r.Trust = digestOf("trust")
	got := text(t, r, false)
	for _, want := range []string{
		"2026-11-23 04:00:00  c.eng   chief-engineer  APPROVED     key 1",
		"2026-11-23 04:00:00  b.two   member          CONDITIONAL  key 3",
		"Review: CONDITIONAL at 2026-11-23 04:00:00", "Release: AUTHORISED", "Conditions: CLOSED",
		"key 1 = SHA256:", ", which signed for c.eng\n",
	} {
		if !strings.Contains(squashed(got), squashed(want)) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	narrow(t, got)
}

// squashed is text with single spaces, so that the width of columns is nobody's business.
func squashed(text string) string {
	for strings.Contains(text, "  ") {
		text = strings.ReplaceAll(text, "  ", " ")
	}
	return text
}

// narrow fails for a line that is wider than a report may be.
func narrow(t *testing.T, text string) {
	t.Helper()
	for _, line := range strings.Split(text, "\n") {
		if columns(line) > reportWidth {
			t.Errorf("%d columns: %s", columns(line), line)
		}
	}
}

func TestReportNamesWhatTheServerAsserts(t *testing.T) {
	s := newStory(t)
	for i := range s.votes {
		s.votes[i].level = "DAL-C"
	}
	s.votes[1].key = 0
	s.review.SafetyLevel = "DAL-C"
	s.review.Barred = []string{"c.three"}
	s.build()
	r := s.verify(s.write())
	if !r.OK {
		t.Fatal(failures(r))
	}
	if got := text(t, r, false); !strings.Contains(squashed(got), "a.one member APPROVED server\n") || !strings.Contains(got, "asserted by the server") {
		t.Error(got)
	}
}

// TestReportStaysNarrow: no file makes a line so long that a terminal wraps it, and none
// loses an end.
func TestReportStaysNarrow(t *testing.T) {
	s := newStory(t)
	s.votes[1].key = 99
	s.build()
	s.drop(htmlEntry)
	r := s.verify(s.write())
	long := strings.Repeat("x", 450)
	r.check("x").fail(long, "%s and %s", long, strings.Repeat("é word ", 80))
	r.Decisions = append(r.Decisions, DecisionLine{Subject: long, Person: long, Role: strings.Repeat("role, ", 20), What: "vote:x:" + long, Time: long, Proof: long})
	r.Outcomes = append(r.Outcomes, OutcomeLine{OutcomeOf: long, Subject: long, Outcome: long, Time: long, Policy: long})
	r.PackageID, r.Origin, r.Trust = long, long, long
	for _, colour := range []bool{false, true} {
		got := text(t, r, colour)
		narrow(t, got)
		if !strings.Contains(got, "FAILED") || !strings.Contains(got, "(FAILED)") {
			t.Error(got)
		}
		if n := strings.Count(got, "x"); n < 10*450 {
			t.Errorf("%d x are left", n)
		}
	}
}

// TestRevocationIsTold: a release that was taken back after it was authorised is not a lie,
// but whoever reads the report must see it.
func TestRevocationIsTold(t *testing.T) {
	s := newStory(t)
	revoke := s.approvals[0]
	revoke.record, revoke.late, revoke.unlisted, revoke.role, revoke.d.What = "AUDIT-R-revoke", true, true, "", "revoke:"+testAuth
	s.approvals = append(s.approvals, revoke)
	s.build()
	r := s.verify(s.write())
	if !r.OK {
		t.Fatal(failures(r))
	}
	if got := text(t, r, false); !strings.Contains(got, testAuth+" was revoked by c.eng") || !strings.Contains(got, "REVOKED") {
		t.Error(got)
	}
}

// past is a package that an earlier version made, and what is in it.
type past struct {
	name                         string
	records, decisions, outcomes int
}

func TestPackagesOfThePastVerify(t *testing.T) {
	for _, c := range []past{{"v1", 8, 2, 0}, {"v1-board", 18, 6, 3}} {
		file, err := os.ReadFile("testdata/package/" + c.name + ".caospkg")
		if err != nil {
			t.Fatal(err)
		}
		trust, err := os.ReadFile("testdata/package/" + c.name + ".trust.json")
		if err != nil {
			t.Fatal(err)
		}
		known, err := ParseTrust(trust)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Package(bytes.NewReader(file), int64(len(file)), known, PackageOptions{})
		if err != nil || !r.OK || r.Records != c.records || len(r.Decisions) != c.decisions || len(r.Outcomes) != c.outcomes {
			t.Fatalf("%s: %v %+v", c.name, err, r)
		}
		file[len(file)/2] ^= 1
		if r, err := Package(bytes.NewReader(file), int64(len(file)), known, PackageOptions{}); err != nil || r.OK {
			t.Fatalf("%s: %v %+v", c.name, err, r)
		}
	}
}
