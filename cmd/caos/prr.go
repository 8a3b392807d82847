package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// prrHook is the hook of a readiness review.
const prrHook = "CAOS.PROD.MODEL.PRR"

// prrInput is the input of the hook, in the words of the specification.
type prrInput struct {
	ModelID     string   `json:"model_id"`
	BaselineID  string   `json:"baseline_id"`
	ChecklistID string   `json:"criteria_checklist_id"`
	Board       []string `json:"prr_board_members"`
	Date        string   `json:"prr_date"`
}

func newPRR(e *environment) *cobra.Command {
	var in prrInput
	var o runFlags
	c := &cobra.Command{
		Use: "prr MODEL@VERSION --board USER,USER --date DAY", Short: "Start the readiness review of a frozen version (MODEL.PRR)", Args: wants("MODEL@VERSION"),
		Long: "Runs CAOS.PROD.MODEL.PRR: it looks at checklist, risks and evidence, writes the report, and waits for the votes of the board until the end of the day that is given. " +
			"Then it waits for the conditions, if there are any. It holds nothing while it waits; with --wait this command follows it, and may be left with Ctrl-C. " +
			"caos why MODEL@VERSION prr says beforehand what the best decision possible is. The exit code is 1 if the review came to no decision.",
		Example: "  caos prr NN-DLY-001@1.0.0 --board nora,omar,petra --date 2026-12-01\n  caos prr NN-DLY-001@1.0.0 --board nora,omar,petra --date 2026-12-01 --dry-run",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			if err := completePRR(c.Context(), cl, &in, args[0]); err != nil {
				return err
			}
			body, err := json.Marshal(in)
			if err != nil {
				return err
			}
			if err := e.runHook(c, cl, prrHook, body, o); err != nil || o.dry || e.machine() {
				return err
			}
			e.line("")
			e.line("%s", e.paint.dim("What is missing, and the report: caos review show "+clean(args[0])))
			return nil
		},
	}
	f := c.Flags()
	f.StringSliceVar(&in.Board, "board", nil, "accounts that vote; each holds prr-board")
	f.StringVar(&in.Date, "date", "", "day at whose end (UTC) the vote closes, such as 2026-12-01")
	f.StringVar(&in.ChecklistID, "checklist", readiness.ShippedTemplate, "id of the checklist's template")
	f.StringVar(&in.BaselineID, "baseline", "", "the version's if left out")
	f.StringVar(&o.key, "idempotency-key", "", "gives the same execution when it is sent again")
	f.BoolVar(&o.dry, "dry-run", false, "only explain every gate")
	f.BoolVarP(&o.wait, "wait", "w", false, "follow it to its end, which may be days away")
	c.MarkFlagsMutuallyExclusive("dry-run", "wait")
	_ = c.MarkFlagRequired("board")
	_ = c.MarkFlagRequired("date")
	_ = c.RegisterFlagCompletionFunc("board", e.flagIDs("/v1/users", "id", "name"))
	_ = c.RegisterFlagCompletionFunc("checklist", e.flagIDs("/v1/checklist-templates", "template_id", "title"))
	c.ValidArgsFunction = e.versions
	return c
}

// completePRR checks what was given and looks the baseline up.
func completePRR(ctx context.Context, cl *client.Client, in *prrInput, arg string) error {
	model, version, err := modelVersion(arg)
	if err != nil {
		return err
	}
	in.ModelID = model
	for i, m := range in.Board {
		in.Board[i] = strings.TrimSpace(m)
	}
	if err := checkDay("date", in.Date); err != nil {
		return err
	}
	if in.BaselineID != "" {
		return checkBaselines([]string{in.BaselineID})
	}
	var v registry.Version
	if err := cl.Get(ctx, versionPath(model, version), nil, &v); err != nil {
		return err
	}
	if v.BaselineID == "" {
		return caos.Errorf(caos.Conflict, "%s is %s: only what is frozen is reviewed", arg, v.State).WithField("baseline").WithRule("baseline-known").
			WithHint("caos why %s freeze says what stands between it and its freeze", arg)
	}
	in.BaselineID = v.BaselineID
	return nil
}
