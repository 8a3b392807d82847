package main

import (
	"fmt"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"

	"caos"
	"caos/internal/readiness"
)

func riskMatrix(e *environment) *cobra.Command {
	var initial bool
	c := &cobra.Command{
		Use: "matrix [MODEL]", Short: "Draw the risks by likelihood and impact",
		Long:    "Draws the open risks of a model, of one version of it (MODEL@VERSION), or of all models, five by five: as they stand, or with --initial as they were found.",
		Example: "  caos risk matrix NN-DLY-001\n  caos risk matrix NN-DLY-001@1.0.0 --initial",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return wants("MODEL")(c, args)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			model, version, title := "", "", "every model"
			if len(args) == 1 {
				title, model = args[0], args[0]
				if strings.Contains(model, "@") {
					var err error
					if model, version, err = modelVersion(args[0]); err != nil {
						return err
					}
				} else if err := caos.CheckID("model", "model_id", model); err != nil {
					return err
				}
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			all, _, err := list[*readiness.Risk](c.Context(), cl, "/v1/risks", query("model_id", model), paging{all: true})
			if err != nil {
				return err
			}
			risks := slices.DeleteFunc(all, func(k *readiness.Risk) bool {
				return k.Status == readiness.RiskClosed || version != "" && k.Version != "" && k.Version != version
			})
			m := matrixOf(risks, initial)
			return e.giveValue(m, func() { e.matrix(m, title) })
		},
	}
	c.Flags().BoolVar(&initial, "initial", false, "as they were found, not as they stand")
	return c
}

// riskGrid are risks by likelihood and impact.
type riskGrid struct {
	Initial bool       `json:"initial"`
	Risks   int        `json:"risks"`
	Levels  []level    `json:"levels"` // how many stand at each, the heaviest first
	Cells   []gridCell `json:"cells"`  // those that are not empty, the heaviest first
}

type level struct {
	Level readiness.Level `json:"level"`
	Risks int             `json:"risks"`
}

type gridCell struct {
	Likelihood int             `json:"likelihood"`
	Impact     int             `json:"impact"`
	Score      int             `json:"score"`
	Level      readiness.Level `json:"level"`
	Risks      []string        `json:"risks"` // ids
}

// matrixOf sorts risks into the cells of the matrix. A risk whose residual nobody assessed
// stands where it was found.
func matrixOf(risks []*readiness.Risk, initial bool) riskGrid {
	scale := readiness.ShippedScale()
	g := riskGrid{Initial: initial, Cells: []gridCell{}}
	for _, l := range slices.Backward(scale.Levels()) {
		g.Levels = append(g.Levels, level{Level: l})
	}
	for _, k := range risks {
		l, i := k.Likelihood, k.Impact
		if !initial && k.ResidualScore > 0 {
			l, i = k.ResidualLikelihood, k.ResidualImpact
		}
		if l < 1 || l > 5 || i < 1 || i > 5 {
			continue
		}
		g.Risks++
		at := slices.IndexFunc(g.Cells, func(c gridCell) bool { return c.Likelihood == l && c.Impact == i })
		if at < 0 {
			at = len(g.Cells)
			g.Cells = append(g.Cells, gridCell{Likelihood: l, Impact: i, Score: l * i, Level: scale.Level(l * i)})
		}
		g.Cells[at].Risks = append(g.Cells[at].Risks, k.RiskID)
		for n := range g.Levels {
			if g.Levels[n].Level == scale.Level(l*i) {
				g.Levels[n].Risks++
			}
		}
	}
	slices.SortFunc(g.Cells, func(a, b gridCell) int {
		if a.Score != b.Score {
			return b.Score - a.Score
		}
		return b.Impact - a.Impact
	})
	for _, c := range g.Cells {
		slices.Sort(c.Risks)
	}
	return g
}

const (
	matrixMargin = 4  // columns before the grid
	cellNarrow   = 11 // columns of a cell at least
	cellWide     = 18 // at most
	cellMost     = 4  // ids in a cell at most
)

// matrix draws the grid: likelihood upwards, impact to the right. The name of each level
// stands in its cells, so that it reads without colours too.
func (e *environment) matrix(g riskGrid, title string) {
	what := "as they stand"
	if g.Initial {
		what = "as they were found"
	}
	e.line("%s  %s", e.paint.bold("Risks of "+clean(title)+" "+what), e.paint.dim(plural(g.Risks, "risk", "risks")))
	e.line("")
	width := 14
	if e.width > 0 {
		width = min(cellWide, max(cellNarrow, (e.width-matrixMargin-6)/5))
	}
	scale := readiness.ShippedScale()
	at := map[[2]int][]string{}
	for _, c := range g.Cells {
		at[[2]int{c.Likelihood, c.Impact}] = c.Risks
	}
	rule := func(left, mid, right string) {
		e.line("%s%s", strings.Repeat(" ", matrixMargin), e.paint.dim(left+strings.Join(slices.Repeat([]string{strings.Repeat("─", width)}, 5), mid)+right))
	}
	e.line("%s", e.paint.dim("likelihood"))
	rule("┌", "┬", "┐")
	for likelihood := 5; likelihood >= 1; likelihood-- {
		lines := 1
		for impact := 1; impact <= 5; impact++ {
			lines = max(lines, 1+min(cellMost, len(at[[2]int{likelihood, impact}])))
		}
		for n := range lines {
			margin := strings.Repeat(" ", matrixMargin)
			if n == 0 {
				margin = fmt.Sprintf("%3d ", likelihood)
			}
			var b strings.Builder
			for impact := 1; impact <= 5; impact++ {
				b.WriteString(e.paint.dim("│"))
				b.WriteString(e.cell(scale, likelihood*impact, at[[2]int{likelihood, impact}], n, width))
			}
			e.line("%s%s%s", margin, b.String(), e.paint.dim("│"))
		}
		if likelihood > 1 {
			rule("├", "┼", "┤")
		}
	}
	rule("└", "┴", "┘")
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", matrixMargin))
	for impact := 1; impact <= 5; impact++ {
		b.WriteString(padded(strings.Repeat(" ", 1+width/2)+number(impact), width+1))
	}
	e.line("%s %s", strings.TrimRight(b.String(), " "), e.paint.dim("impact"))
	e.line("")
	var parts []string
	for _, l := range g.Levels {
		parts = append(parts, e.weight(l.Level)(fmt.Sprintf("%s %d", l.Level, l.Risks)))
	}
	e.line("%s", strings.Join(parts, e.paint.dim("  ·  ")))
}

// cell is one line of a cell: first what it means, then who is in it.
func (e *environment) cell(scale readiness.Scale, score int, risks []string, line, width int) string {
	l := scale.Level(score)
	if line == 0 {
		text := padded(" "+string(l), width-3) + fmt.Sprintf("%2d ", score)
		if len(risks) == 0 {
			return e.paint.dim(text)
		}
		return e.weight(l)(text)
	}
	text := ""
	switch {
	case line == cellMost && len(risks) > cellMost:
		text = fmt.Sprintf("+%d more", len(risks)-cellMost+1)
	case line <= len(risks):
		text = strings.TrimPrefix(clean(risks[line-1]), "RISK-")
	}
	text = " " + cut(text, width-2)
	return e.paint.bold(text) + strings.Repeat(" ", max(0, width-lipgloss.Width(text)))
}
