package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/dataset"
	"caos/internal/engine"
	"caos/internal/httpapi"
)

// validateInput is the input of CAOS.PROD.DATA.VALIDATE.
type validateInput struct {
	ExecutionID string `json:"execution_id"`
	Rules       string `json:"validation_rules_id"`
	URI         string `json:"dataset_uri"`
}

func newValidate(e *environment) *cobra.Command {
	var rules string
	var dry bool
	c := &cobra.Command{
		Use: "validate DATASET|EXECUTION", Short: "Check published data against its contract", Args: wants("DATASET"),
		Long: "Checks a dataset (DP-DLY-001.train, or a version of it: DP-DLY-001.train@3), or everything that a run of a pipeline published (EXEC-DP-…), against the contract that it was published " +
			"under, or --contract. Shows the verdict, the scores by dimension and the checks that failed. The exit code is 1 if a verdict is FAIL, or if the data could not be checked.",
		Example: "  caos validate DP-DLY-001.train\n  caos validate DP-DLY-001.train@3 --contract 95-00-09-02-004@1.1.0",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			versions, err := publishedAs(c.Context(), cl, args[0])
			if err != nil {
				return err
			}
			v := validating{e: e, cl: cl, rules: rules, dry: dry}
			return v.all(c.Context(), versions)
		},
	}
	f := c.Flags()
	f.StringVar(&rules, "contract", "", "check against this one: CONTRACT or CONTRACT@VERSION")
	f.BoolVar(&dry, "dry-run", false, "explain every gate and change nothing")
	_ = c.RegisterFlagCompletionFunc("contract", e.flagIDs("/v1/contracts", "contract_id", "name"))
	completed(e.ids("/v1/datasets", "dataset_id", "uri"), c)
	return c
}

// publishedAs are the versions of datasets that an argument names: one, or all of a run.
func publishedAs(ctx context.Context, cl *client.Client, arg string) ([]httpapi.DatasetVersion, error) {
	if !strings.HasPrefix(arg, "EXEC-") {
		id, n, err := datasetAt(arg)
		if err != nil {
			return nil, err
		}
		v, err := versionOfDataset(ctx, cl, id, n)
		if err != nil {
			return nil, err
		}
		return []httpapi.DatasetVersion{*v}, nil
	}
	var x engine.Execution
	if err := cl.Get(ctx, executionPath(arg), nil, &x); err != nil {
		return nil, err
	}
	var out pipelineOutput
	if x.HookID != pipelineHook || json.Unmarshal(x.Output, &out) != nil || len(out.Outputs) == 0 {
		return nil, caos.Errorf(caos.Conflict, "%s published no dataset: it is %s of %s", x.ID, x.Status, x.HookID).WithField("execution_id").
			WithHint("name a run of a pipeline that is SUCCESS or PARTIAL, or a dataset")
	}
	var list []httpapi.DatasetVersion
	for _, uri := range out.Outputs {
		_, path, ok := strings.Cut(uri, "/v1/datasets/")
		id, number, of := strings.Cut(path, "/versions/")
		n, err := strconv.ParseInt(number, 10, 64)
		if !ok || !of || err != nil {
			continue
		}
		v, err := versionOfDataset(ctx, cl, id, n)
		if err != nil {
			return nil, err
		}
		list = append(list, *v)
	}
	return list, nil
}

func versionOfDataset(ctx context.Context, cl *client.Client, id string, n int64) (*httpapi.DatasetVersion, error) {
	if n == 0 {
		var d dataset.Dataset
		if err := cl.Get(ctx, datasetPath(id), nil, &d); err != nil {
			return nil, err
		}
		n = d.Latest
	}
	var v httpapi.DatasetVersion
	return &v, cl.Get(ctx, datasetPath(id)+"/versions/"+strconv.FormatInt(n, 10), nil, &v)
}

// validating is a validation of one or several versions under way.
type validating struct {
	e     *environment
	cl    *client.Client
	rules string
	dry   bool
}

func (v *validating) all(ctx context.Context, versions []httpapi.DatasetVersion) error {
	bad := false
	for i := range versions {
		err := v.one(ctx, &versions[i])
		var done *ended
		if errors.As(err, &done) && done.code == exitFailed && ctx.Err() == nil {
			bad = true
			continue
		}
		if err != nil {
			return err
		}
	}
	if bad {
		return failed()
	}
	return nil
}

func (v *validating) one(ctx context.Context, of *httpapi.DatasetVersion) error {
	rules := v.rules
	if rules == "" {
		rules, _, _ = strings.Cut(of.Contract, "@") // its latest version: what the data has to be now
	}
	if rules == "" {
		return usage("%s@%d was published under no contract", of.DatasetID, of.N).WithField("contract").WithHint("name one with --contract; caos contract list shows them")
	}
	body, err := json.Marshal(validateInput{of.ExecutionID, rules, of.Address})
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	a, err := submit(ctx, v.cl, submission{hook: validateHook, body: body, dry: v.dry})
	if err != nil {
		return err
	}
	if v.dry {
		return v.e.explained(a)
	}
	x, err := execution(a.Body)
	if err != nil {
		return err
	}
	verdict := ""
	_, err = v.e.followRun(ctx, v.cl, x, func(x *engine.Execution) { v.ran(ctx, x) })
	if err != nil {
		return err
	}
	if verdict, err = v.verdict(ctx, x.ID); err == nil && verdict == dataset.ValidationFail {
		return failed()
	}
	return err
}

// verdict is that of an execution that has ended.
func (v *validating) verdict(ctx context.Context, id string) (string, error) {
	var x engine.Execution
	if err := v.cl.Get(ctx, executionPath(id), nil, &x); err != nil {
		return "", err
	}
	var out struct {
		Status *string `json:"overall_status"`
	}
	if json.Unmarshal(x.Output, &out) != nil || out.Status == nil {
		return "", nil
	}
	return *out.Status, nil
}

// ran shows the validation that an execution made, or why it made none.
func (v *validating) ran(ctx context.Context, x *engine.Execution) {
	var out struct {
		ID *string `json:"validation_id"`
	}
	if json.Unmarshal(x.Output, &out) == nil && out.ID != nil {
		var of httpapi.ValidationView
		if v.cl.Get(ctx, validationPath(*out.ID), nil, &of) == nil {
			v.e.validation(&of, false)
			return
		}
	}
	v.e.executionTail(x)
}
