package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/hook"
	"caos/internal/httpapi"
	"caos/internal/registry"
)

func modelFreeze(e *environment) *cobra.Command {
	var in hook.FreezeInput
	var o runFlags
	var noWait bool
	c := &cobra.Command{
		Use: "freeze MODEL@VERSION --rationale TEXT", Short: "Freeze a version into an immutable baseline (MODEL.FREEZE)", Args: wants("MODEL@VERSION"),
		Long: "Runs CAOS.PROD.MODEL.FREEZE: the version becomes a signed, write-once baseline with a passport, if every gate holds. " +
			"caos why MODEL@VERSION freeze says beforehand which do not, and who could clear them. It needs a second factor. The exit code is 1 if the freeze failed.",
		Example: "  caos model freeze NN-DLY-001@1.0.0 --rationale 'Release 1.0'\n  caos model freeze NN-DLY-001@1.0.0 --vv-report 95-00-07-01-001 --rationale 'Release 1.0' --dry-run",
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if in.ModelID, in.ModelVersion, err = modelVersion(args[0]); err != nil {
				return err
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			if err := completeFreeze(c.Context(), cl, &in); err != nil {
				return err
			}
			body, err := json.Marshal(in)
			if err != nil {
				return err
			}
			o.wait = !noWait
			return e.runHook(c, cl, "CAOS.PROD.MODEL.FREEZE", body, o)
		},
	}
	f := c.Flags()
	f.StringVar(&in.FreezeRationale, "rationale", "", "why it is frozen now")
	f.StringVar(&in.VVReportID, "vv-report", "", "id of the V&V report; the one that is registered for the version if left out")
	f.StringVar(&in.FreezeRequester, "requester", "", "account that asks for it, if not yours")
	f.StringVar(&o.key, "idempotency-key", "", "gives the same execution when it is sent again")
	f.BoolVar(&o.dry, "dry-run", false, "only explain every gate")
	f.BoolVar(&noWait, "no-wait", false, "do not wait for the end")
	_ = c.MarkFlagRequired("rationale")
	return c
}

// completeFreeze fills in what can be looked up: who asks, the V&V report of the version,
// and what that says. The hook compares all of it with what is recorded.
func completeFreeze(ctx context.Context, cl *client.Client, in *hook.FreezeInput) error {
	if in.FreezeRequester == "" {
		var me httpapi.Me
		if err := cl.Get(ctx, "/v1/me", nil, &me); err != nil {
			return err
		}
		in.FreezeRequester = me.Principal.ID
	}
	var report registry.Document
	if in.VVReportID != "" {
		if err := caos.CheckID("document", "vv-report", in.VVReportID); err != nil {
			return err
		}
		if err := cl.Get(ctx, documentPath(in.VVReportID), nil, &report); err != nil {
			return renamed(err, "vv-report")
		}
		in.VVStatus = report.Stated
	} else {
		found, _, err := list[registry.Document](ctx, cl, "/v1/documents",
			query("kind", registry.KindVVReport, "model_id", in.ModelID, "model_version", in.ModelVersion, "latest", "true"), paging{all: true})
		switch {
		case err != nil:
			return err
		case len(found) == 0:
			return caos.Errorf(caos.NotFound, "no V&V report of %s@%s is registered", in.ModelID, in.ModelVersion).WithField("vv-report").
				WithHint("a vv-lead who does not own the model registers it: caos document register FILE --kind vv-report --model %s --model-version %s --id DOCUMENT", in.ModelID, in.ModelVersion)
		case len(found) > 1:
			var ids []string
			for _, d := range found {
				ids = append(ids, d.DocumentID)
			}
			return usage("there is more than one V&V report of it").WithField("vv-report").WithHint("name one of %s", strings.Join(ids, ", "))
		}
		in.VVReportID, in.VVStatus = found[0].DocumentID, found[0].Stated
	}
	if in.VVStatus == "" {
		return usage("%s is no V&V report", in.VVReportID).WithField("vv-report").WithHint("register it with --kind vv-report")
	}
	return nil
}

// renamed gives an error the name of the flag that it is about.
func renamed(err error, field string) error {
	var e *caos.Error
	if !errors.As(err, &e) {
		return err
	}
	return e.WithField(field)
}
