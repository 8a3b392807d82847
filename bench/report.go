package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	board "caos/internal/report"
)

// Sizes of the review whose report is measured.
const (
	reportEvidence = 500
	reportRisks    = 200
	reportItems    = 32
)

// measureReport measures the report of a production readiness review in both its forms.
func measureReport(_ context.Context, b *bench) ([]row, error) {
	r := boardReview()
	var rows []row
	for _, form := range []struct {
		name   string
		limit  float64
		marks  string // that the document ends with
		render func(io.Writer, *board.Review) error
	}{{"HTML", 200, "</html>\n", board.HTML}, {"PDF", 2000, "%%EOF\n", board.PDF}} {
		var took []float64
		var first []byte
		for range b.reps {
			var out bytes.Buffer
			begun := time.Now()
			if err := form.render(&out, r); err != nil {
				return nil, err
			}
			took = append(took, float64(time.Since(begun).Microseconds())/1000)
			if first == nil {
				first = bytes.Clone(out.Bytes())
			}
			if !bytes.Equal(first, out.Bytes()) || !bytes.HasSuffix(first, []byte(form.marks)) {
				return nil, fmt.Errorf("the report as %s is not whole, or differs from the one before", form.name)
			}
		}
		rows = append(rows, rated("report of a review, "+form.name, "ms", took).atMost(form.limit).
			with("%d evidence items, %d risks, %d criteria; %d KB", reportEvidence, reportRisks, reportItems, len(first)/1000))
	}
	return rows, nil
}

// boardReview is a review of a large model.
func boardReview() *board.Review {
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	r := &board.Review{PRRID: "PRR-NN-BENCH-001-1.0.0", ReportID: "95-00-09-02-001", ReportVersion: "1.0", CreatedAt: at, ModelID: "NN-BENCH-001", Version: "1.0.0", Best: board.Conditional, Status: "VOTING"}
	for i := range reportEvidence {
		r.Evidence.Items = append(r.Evidence.Items, board.EvidenceItem{EvidenceID: fmt.Sprintf("EVID-BENCH-%04d", i), Type: "TEST_RESULT", Category: "VERIFICATION",
			Title: fmt.Sprintf("results-%d.json", i), Digest: fmt.Sprintf("SHA256:%064x", i), CollectedAt: at, Covers: []string{"DA-01", fmt.Sprintf("REQ-BENCH-%d", i%40)}})
	}
	for i := range reportRisks {
		r.Risks.Risks = append(r.Risks.Risks, board.Risk{RiskID: fmt.Sprintf("RISK-BENCH-%d", i+1), Title: "Operation differs from what was trained on", Description: "Seen on other aircraft, and nobody knows how often it will be seen on this one.",
			Likelihood: i%5 + 1, Impact: i/5%5 + 1, ResidualLikelihood: i%3 + 1, ResidualImpact: i/3%3 + 1, Mitigation: "The monitor watches it, and the old procedure takes over.", Owner: board.Person{ID: "dana"}, Status: "MITIGATING", ReviewOn: "2026-12-20"})
	}
	for i := range reportItems {
		r.Checklist.Items = append(r.Checklist.Items, board.Item{ItemID: fmt.Sprintf("%d.%d", i/4+1, i%4+1), Group: "Safety", Title: "A criterion", Critical: true, Status: "COMPLETE", Evidence: []string{"BL-BENCH-1.0.0"}, CompletedBy: board.Person{ID: "quin"}, CompletedAt: at})
	}
	return r
}
