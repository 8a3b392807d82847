// Command caos is the server and the command line of CAOS, the production control plane
// for certified AI models. One file holds one subcommand; the sessions in testdata are its
// tests and its manual.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"caos/internal/sandbox"
)

// version is stamped by the build.
var version = "0.0.0-unversioned" //nolint:gochecknoglobals // -ldflags -X needs a variable

func main() {
	sandbox.Main()                     // returns, unless this process is the inner half of a sandbox
	cobra.EnableCommandSorting = false // the order of newRoot is meant
	os.Exit(run(os.Args[1:]))
}

// run is the program as a function of its arguments.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	e := newEnvironment(os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	root := newRoot(e)
	root.SetArgs(args)
	called, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil && !errors.As(err, new(*ended)) {
		err = errStopped
	}
	if isCobraUsage(err) {
		err = usageOf(called, err)
	}
	e.report(err)
	return exitCode(err)
}

// newRoot builds the tree of commands: one visible list.
func newRoot(e *environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "caos",
		Short: "The production control plane for certified AI models",
		Long: "CAOS takes a model that has passed V&V to production, and keeps a record of it that an auditor can check offline.\n\n" +
			"Every command that talks to a server takes CAOS_URL, CAOS_TOKEN and CAOS_CA from the environment, or --url, --token and --ca.\n\n" + exitHelp,
		Example: "  # a new installation, and its server\n  caos init --data caos-data\n  caos serve --data caos-data\n\n" +
			"  # the main job on real input, in a temporary folder\n  caos demo",
		SilenceUsage: true, SilenceErrors: true, Version: version,
		Args: noArgs, RunE: showHelp,
	}
	root.SetIn(e.in)
	root.SetOut(e.out)
	root.SetErr(e.err)
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { e.help(c) })
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usageOf(c, err) })
	root.Flags().BoolP("version", "v", false, "the same as caos version")
	e.bind(root)
	for _, group := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"start", "Begin", []*cobra.Command{newInit(e), newServe(e), newDemo(e), newTry(e), newDoctor(e)}},
		{"work", "Work", []*cobra.Command{newHook(e), newExecution(e), newWhy(e), newEvidence(e), newPackage(e), newObject(e)}},
		{"model", "Models", []*cobra.Command{newModel(e), newDocument(e), newChange(e), newProblem(e), newLink(e), newIndustrialisation(e), newBaseline(e), newPassport(e), newImport(e), newStatement(e)}},
		{"data", "Data", []*cobra.Command{newPipeline(e), newContract(e), newDataset(e), newValidate(e), newValidation(e), newLineage(e)}},
		{"chain", "Chain", []*cobra.Command{newChain(e), newTransaction(e)}},
		{"ready", "Review and release", []*cobra.Command{newChecklist(e), newRisk(e), newPlan(e), newCatalogue(e), newPRR(e), newReview(e), newVote(e), newCondition(e), newRelease(e), newDecision(e)}},
		{"prove", "Prove", []*cobra.Command{newAudit(e), newVerify(e), newWitness(e), newRecover(e)}},
		{"people", "People", []*cobra.Command{newUser(e), newToken(e), newKey(e), newSecret(e)}},
		{"look", "Look after", []*cobra.Command{newAlert(e), newNotice(e), newDashboard(e), newTrigger(e)}},
	} {
		root.AddGroup(&cobra.Group{ID: group.id, Title: group.title})
		for _, c := range group.commands {
			c.GroupID = group.id
			root.AddCommand(c)
		}
	}
	root.AddCommand(newVersion(e))
	return root
}
