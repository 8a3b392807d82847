package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/anchor"
	"caos/internal/app"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/verify"
)

type verifyFlags struct {
	data, database string
	published      []string
	trust          []string
	ethereum       []string
}

func auditVerify(e *environment) *cobra.Command {
	var o verifyFlags
	c := &cobra.Command{
		Use: "verify --data DIR", Short: "Check the whole audit log, without a server", Args: noArgs,
		Long: "Re-hashes every record, tile and published checkpoint of a log and compares what is stored beside them. It needs no server and changes nothing; the server may run meanwhile. " +
			"Every difference is named, and the exit code is then 1. --database checks a copy of caos.db instead of the data folder's.\n\n" +
			"What was anchored is compared too: cosignatures, time stamps, files, and the objects of a bucket if AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set to keys that may read them. " +
			"With --ethereum a node of the chain is asked for its entries; several nodes of one chain have to agree. What could not be checked is said.",
		Example: "  caos audit verify --data caos-data\n  caos audit verify --data caos-data --ethereum https://rpc.example.org\n  caos audit verify --database copy-of-caos.db --published caos-data-checkpoints.txt --trust trust.json",
		RunE: func(c *cobra.Command, _ []string) error {
			sum, problems, skipped, err := e.verifyLog(c.Context(), o)
			if err != nil {
				return err
			}
			return e.verified(sum, problems, skipped)
		},
	}
	f := c.Flags()
	f.StringVar(&o.data, "data", "", "data folder")
	f.StringVar(&o.database, "database", "", "a SQLite file: caos.db or a copy of it")
	f.StringSliceVar(&o.published, "published", nil, "file with published checkpoints; that of the configuration if left out")
	f.StringSliceVar(&o.trust, "trust", nil, "trust file that you hold")
	f.StringSliceVar(&o.ethereum, "ethereum", nil, "address of a node of the chain, asked for what is anchored there")
	return c
}

// maxProblems bounds what is kept of a log that is wrong everywhere; all are counted.
const maxProblems = 10_000

// verifyLog checks a log and tells how it goes; skipped is what could not be checked.
func (e *environment) verifyLog(ctx context.Context, o verifyFlags) (sum auditlog.Summary, problems []auditlog.Problem, skipped []string, err error) {
	opt, closing, err := e.verifyOptions(ctx, o)
	if err != nil {
		return sum, nil, nil, err
	}
	defer closing()
	others, err := e.inspection(ctx, o, opt.Trust)
	if err != nil {
		return sum, nil, nil, err
	}
	opt.Held = others.Held
	opt.OnProblem = func(p auditlog.Problem) {
		if len(problems) < maxProblems {
			problems = append(problems, p)
		}
	}
	end := e.spin("re-hashing the audit log")
	defer end()
	sum, err = auditlog.Verify(ctx, opt)
	return sum, problems, others.Skipped(), err
}

// inspection is what others hold of the log by its configuration. Whom a trust file names,
// that the auditor holds, counts instead of whom the configuration names.
func (e *environment) inspection(ctx context.Context, o verifyFlags, trust []verify.Trust) (i *anchor.Inspection, err error) {
	i = &anchor.Inspection{}
	if o.data != "" {
		cfg, err := app.Load(o.data, e.getenv)
		if err != nil {
			return nil, err
		}
		if i, err = cfg.Inspection(e.getenv); err != nil {
			return nil, err
		}
	}
	for n, t := range trust {
		held, err := t.Outsiders()
		if err != nil {
			return nil, err
		}
		if n == 0 {
			i.Outsiders, i.Servers = verify.Outsiders{}, nil
		}
		i.Outsiders = i.Outsiders.And(held)
	}
	if len(o.ethereum) > 0 {
		i.Chains, err = verify.OpenChains(ctx, o.ethereum, nil)
	}
	return i, err
}

// spin shows that something goes on until the function that it returns is called.
func (e *environment) spin(what string) (end func()) {
	bar := e.bar(-1, what)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_ = bar.Add(1)
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
		_ = bar.Clear()
	}
}

func (e *environment) verifyOptions(ctx context.Context, o verifyFlags) (opt auditlog.VerifyOptions, closing func(), err error) {
	closing = func() {}
	for _, name := range o.trust {
		text, err := e.readInput(name, verify.MaxTrust)
		if err != nil {
			return opt, closing, err
		}
		t, err := verify.ParseTrust(text)
		if err != nil {
			return opt, closing, fmt.Errorf("%s: %w", name, err)
		}
		opt.Trust = append(opt.Trust, t)
	}
	published := o.published
	switch {
	case o.data == "" && o.database == "":
		return opt, closing, usage("no data folder is named").WithField("data").WithHint("caos audit verify --data caos-data")
	case o.database != "":
		if _, err := os.Stat(o.database); err != nil {
			return opt, closing, unreadable(o.database, err)
		}
		opt.Path = o.database
	default:
		cfg, err := app.Load(o.data, e.getenv)
		if err != nil {
			return opt, closing, err
		}
		if len(published) == 0 {
			published = []string{cfg.Published}
		}
		opt.Origin = cfg.Origin
		if opt.Path = filepath.Join(o.data, "caos.db"); cfg.Database != "" {
			d, err := db.Open(ctx, db.Options{URL: cfg.Database, Now: e.now})
			if err != nil {
				return opt, closing, err
			}
			opt.Path, opt.DB, closing = "", d, func() { _ = d.Close() }
		}
	}
	for _, name := range published {
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			return opt, closing, caos.Errorf(caos.NotFound, "there is no file of published checkpoints %s", name).WithField("published").
				WithHint("name where it was moved to; a log that cannot be compared with what was published may have been cut short")
		}
		opt.Published = append(opt.Published, auditlog.NewFileSink(name))
	}
	return opt, closing, nil
}

// verification is the outcome for programs.
type verification struct {
	OK          bool                 `json:"ok"`
	Origin      string               `json:"origin"`
	Records     int64                `json:"records"`
	Size        int64                `json:"size"`
	Root        string               `json:"root"`
	Generations int64                `json:"generations"`
	Checkpoints int                  `json:"checkpoints"`
	Held        int                  `json:"anchors"`
	NotChecked  []string             `json:"not_checked,omitempty"`
	Problems    int                  `json:"problems"`
	Named       []problem            `json:"named"`
	Lost        []auditlog.LostRange `json:"lost,omitempty"`
	Seconds     float64              `json:"seconds"`
}

type problem struct {
	Kind   string `json:"kind"`
	Record string `json:"record,omitempty"`
	Leaf   int64  `json:"leaf"`
	What   string `json:"what"`
}

// verified tells the outcome in words, and fails if there is a difference.
func (e *environment) verified(sum auditlog.Summary, problems []auditlog.Problem, skipped []string) error {
	v := verification{OK: sum.Problems == 0, Origin: sum.Origin, Records: sum.Records, Size: sum.Size, Root: verify.FormatHash(sum.Root), Generations: sum.Generations,
		Checkpoints: sum.Checkpoints, Held: sum.Held, NotChecked: skipped, Problems: sum.Problems, Named: []problem{}, Lost: sum.Lost, Seconds: sum.Took.Seconds()}
	for _, p := range problems {
		v.Named = append(v.Named, problem{p.Kind, p.ID, p.Index, p.What})
	}
	err := e.giveValue(v, func() { e.verifiedText(v) })
	if err == nil && !v.OK {
		return failed()
	}
	return err
}

func (e *environment) verifiedText(v verification) {
	for _, p := range v.Named {
		e.line("%s %s: %s", e.paint.bad("DIFFERS"), p.name(), clean(p.What))
	}
	if n := v.Problems - len(v.Named); n > 0 {
		e.line("and %d more", n)
	}
	if len(v.Named) > 0 {
		e.line("")
	}
	e.pairs(pair{"log", v.Origin}, pair{"records", fmt.Sprintf("%d, each re-hashed and compared with its leaf and columns", v.Records)},
		pair{"tree", fmt.Sprintf("%s, root %s", plural(int(v.Size), "leaf", "leaves"), v.Root)},
		pair{"published", plural(v.Checkpoints, "checkpoint", "checkpoints") + " compared"},
		pair{"anchored", plural(v.Held, "tree", "trees") + " that others hold compared"}, pair{"took", fmt.Sprintf("%.2f s", v.Seconds)})
	for _, l := range v.Lost {
		e.line("%s leaves %d to %d of generation %d, as record %s says", e.paint.warn("lost before a recovery:"), l.From, l.To, l.Generation, l.Record)
	}
	for _, s := range v.NotChecked {
		e.line("%s %s", e.paint.warn("not checked:"), clean(s))
	}
	if v.OK {
		e.line("%s: the log is what it must be.", e.paint.good("VERIFIED"))
		return
	}
	e.line("%s: %s. Do not rely on this log before they are explained.", e.paint.bad("VERIFICATION FAILED"), plural(v.Problems, "difference", "differences"))
}

func (p problem) name() string {
	switch {
	case p.Record != "" && p.Leaf >= 0:
		return fmt.Sprintf("record %s (leaf %d)", p.Record, p.Leaf)
	case p.Record != "":
		return "record " + p.Record
	case p.Leaf >= 0:
		return fmt.Sprintf("leaf %d", p.Leaf)
	}
	return p.Kind
}
