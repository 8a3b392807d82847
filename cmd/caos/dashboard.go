package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"caos/internal/client"
	"caos/internal/dataset"
	"caos/internal/evidence"
	"caos/internal/httpapi"
)

func newDashboard(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "dashboard NAME", Short: "Show a dashboard: audit-log, evidence or data-quality", Args: wants("NAME"),
		ValidArgs: []string{"audit-log", "evidence", "data-quality"},
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodGet, Path: "/v1/dashboards/" + escape(args[0])})
			if err != nil {
				return err
			}
			return e.give(a.Body, func() { e.dashboard(args[0], a.Body) })
		},
	}
}

// dashboard draws the ones that are known; any other is shown as it came.
func (e *environment) dashboard(name string, body []byte) {
	var rows [][]string
	switch name {
	case "audit-log":
		var view struct{ Data []httpapi.DayCount }
		if json.Unmarshal(body, &view) != nil {
			break
		}
		for _, d := range slices.Backward(view.Data) {
			rows = append(rows, []string{d.Day, d.Type, strconv.FormatInt(d.Records, 10), d.Project})
		}
		e.table([]string{"day", "type", "records", "project"}, rows)
		return
	case "evidence":
		var view struct{ Data map[string]evidence.Counts }
		if json.Unmarshal(body, &view) != nil {
			break
		}
		n := func(i int64) string { return strconv.FormatInt(i, 10) }
		for id, x := range view.Data {
			rows = append(rows, []string{id, n(x.Planned), n(x.Covered), n(x.Items), n(x.Passed), n(x.Recorded), n(x.Failed), n(x.Outside)})
		}
		sort.Slice(rows, func(i, j int) bool { return rows[i][0] < rows[j][0] })
		e.table([]string{"package", "planned", "covered", "items", "passed", "recorded", "failed", "outside"}, rows)
		return
	case "data-quality":
		var view struct{ Data dataset.Quality }
		if json.Unmarshal(body, &view) != nil {
			break
		}
		for _, s := range view.Data.Standing {
			score, since := "-", "-"
			if s.Score != nil {
				score = strconv.FormatFloat(*s.Score, 'f', 4, 64)
			}
			if s.FailingSince != nil {
				since = s.FailingSince.Format(time.DateTime) + "Z"
			}
			rows = append(rows, []string{s.DatasetID + "@" + strconv.FormatInt(s.N, 10), s.ContractID, s.Status, score, strconv.FormatInt(s.Failed, 10), since,
				fmt.Sprintf("%d of %d", s.Passes, s.Validations), s.ValidationID})
		}
		e.table([]string{"dataset", "contract", "verdict", "score", "checks failed", "failing since", "passed", "validation"}, rows)
		return
	}
	_ = e.writeJSON(body)
}
