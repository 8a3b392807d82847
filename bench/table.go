package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// row is one line of the table. Values are in Unit; the runs are in the order they were
// made.
type row struct {
	Metric    string    `json:"metric"`
	Unit      string    `json:"unit"`
	CAOS      float64   `json:"caos"`
	Runs      []float64 `json:"runs"`
	Peer      string    `json:"peer,omitempty"`
	PeerValue float64   `json:"peer_value,omitempty"`
	PeerRuns  []float64 `json:"peer_runs,omitempty"`
	Ratio     float64   `json:"ratio,omitempty"`
	Target    string    `json:"target"`
	Verdict   string    `json:"verdict"`
	Load      string    `json:"load_average"`
	Note      string    `json:"note,omitempty"`
}

// The verdicts.
const (
	met      = "met"
	missed   = "MISSED"
	reported = "reported"
	partial  = "scaled" // -short measured less than the target speaks of
)

// report is the whole outcome.
type report struct {
	Facts       facts  `json:"machine"`
	Short       bool   `json:"short"`
	Repetitions int    `json:"repetitions"`
	PostgreSQL  string `json:"postgresql,omitempty"`
	Rows        []row  `json:"rows"`
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Clone(v)
	slices.Sort(s)
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// rated makes the row of a figure that is reported and has no target.
func rated(metric, unit string, runs []float64) row {
	return row{Metric: metric, Unit: unit, CAOS: median(runs), Runs: runs, Target: "–", Verdict: reported, Load: loadAverage()}
}

// against compares with a peer: CAOS has to be at least factor times as fast.
func (r row) against(peer string, runs []float64, factor float64) row {
	r.Peer, r.PeerValue, r.PeerRuns = peer, median(runs), runs
	if r.PeerValue > 0 {
		r.Ratio = r.CAOS / r.PeerValue
	}
	if factor > 0 {
		r.Target = fmt.Sprintf("≥ %g ×", factor)
		r.Verdict = verdict(r.Ratio >= factor)
	}
	return r
}

// atLeast and atMost compare with a limit.
func (r row) atLeast(limit float64) row {
	r.Target, r.Verdict = fmt.Sprintf("≥ %g %s", limit, r.Unit), verdict(r.CAOS >= limit)
	r.Peer, r.PeerValue, r.Ratio = "limit", limit, r.CAOS/limit
	return r
}

func (r row) atMost(limit float64) row {
	r.Target, r.Verdict = fmt.Sprintf("≤ %g %s", limit, r.Unit), verdict(r.CAOS <= limit)
	r.Peer, r.PeerValue, r.Ratio = "limit", limit, r.CAOS/limit
	return r
}

func (r row) with(note string, args ...any) row {
	if r.Note != "" {
		r.Note += "; "
	}
	r.Note += fmt.Sprintf(note, args...)
	return r
}

func verdict(ok bool) string {
	if ok {
		return met
	}
	return missed
}

func (r report) print(w io.Writer) {
	fmt.Fprintln(w, r.Facts)
	if r.PostgreSQL != "" {
		fmt.Fprintln(w, r.PostgreSQL)
	}
	if r.Short {
		fmt.Fprintln(w, "-short: sizes are reduced, so the figures are no measure of the targets")
	}
	fmt.Fprintf(w, "medians of %d\n\n", r.Repetitions)
	tw := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "METRIC\tCAOS\tPEER OR LIMIT\tRATIO\tTARGET\tVERDICT\tLOAD")
	for _, x := range r.Rows {
		peer, ratio := "–", "–"
		if x.Peer != "" {
			peer = strings.TrimPrefix(x.Peer+" "+number(x.PeerValue), "limit ")
		}
		if x.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", x.Ratio)
		}
		fmt.Fprintf(tw, "%s\t%s %s\t%s\t%s\t%s\t%s\t%s\n", x.Metric, number(x.CAOS), x.Unit, peer, ratio, x.Target, x.Verdict, x.Load)
	}
	_ = tw.Flush()
	fmt.Fprintln(w)
	for _, x := range r.Rows {
		if x.Note != "" {
			fmt.Fprintf(w, "%s: %s\n", x.Metric, x.Note)
		}
	}
}

func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// loadAverage is the machine's at this moment, of 1, 5 and 15 minutes.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	f := strings.Fields(string(text))
	return strings.Join(f[:min(3, len(f))], " ")
}

// noMoreThan compares a duration with a peer's: CAOS may take at most factor times as long.
func (r row) noMoreThan(peer string, runs []float64, factor float64) row {
	r = r.against(peer, runs, 0)
	r.Target, r.Verdict = fmt.Sprintf("≤ %g ×", factor), verdict(r.Ratio <= factor)
	return r
}

// fasterThan compares a duration with a peer's: the peer has to take factor times as long.
func (r row) fasterThan(peer string, runs []float64, factor float64) row {
	r = r.against(peer, runs, 0)
	if r.CAOS > 0 {
		r.Ratio = r.PeerValue / r.CAOS
	}
	r.Target, r.Verdict = fmt.Sprintf("≥ %g × faster", factor), verdict(r.Ratio >= factor)
	return r
}
