// Command bench measures CAOS beside its peers, in one run on one machine, and prints one
// table. Peers do the same work on the same disk with the same durability, one after the
// other, repetition by repetition.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"syscall"
	"time"

	"k8s.io/klog/v2"

	"caos/internal/sandbox"
)

// bench is what every measurement gets.
type bench struct {
	short    bool
	reps     int
	duration time.Duration // of one repetition of a rate
	dir      string        // scratch, on the disk that is measured
	bin      string        // folder with the programs caos, caos-verify and caos-devchain
	postgres string        // address of a server, "" when there is none
	pgNote   string        // what is known about that server
	say      func(format string, args ...any)
}

// section is a group of measurements.
type section struct {
	name string
	run  func(ctx context.Context, b *bench) ([]row, error)
}

func sections() []section {
	return []section{
		{"append", measureAppend},
		{"steps", measureSteps},
		{"reports", measureReports},
		{"verify", measureVerify},
		{"package", measurePackage},
		{"baseline", measureBaseline},
		{"passport", measurePassport},
		{"chain", measureChain},
		{"report", measureReport},
		{"checks", measureChecks},
		{"etl", measureETL},
		{"pipeline", measurePipeline},
	}
}

func main() {
	sandbox.Main() // the worker's sandbox begins as this program
	if len(os.Args) > 2 && os.Args[1] == "child" {
		if err := child(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "bench child:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	short, asJSON, keep bool
	only, scratch, bin  string
	profile             string
	reps                int
	duration            time.Duration
}

func parse() options {
	var o options
	flag.BoolVar(&o.short, "short", false, "about a minute: smaller sizes, one repetition; the figures are not the official ones")
	flag.BoolVar(&o.asJSON, "json", false, "print one JSON object instead of the table")
	flag.BoolVar(&o.keep, "keep", false, "leave the scratch folder")
	flag.StringVar(&o.only, "only", "", "regular expression: the sections to run (append, steps, reports, verify, package, baseline, passport, chain, report, checks, etl, pipeline)")
	flag.StringVar(&o.scratch, "scratch", "", "folder to work in, on the disk that is to be measured (default: the system's)")
	flag.StringVar(&o.bin, "bin", "../bin", "folder of the programs caos, caos-verify and caos-devchain")
	flag.StringVar(&o.profile, "profile", "", "write a CPU profile of this process to the file")
	flag.IntVar(&o.reps, "reps", 3, "repetitions, whose median counts")
	flag.DurationVar(&o.duration, "duration", 4*time.Second, "length of one repetition")
	flag.Parse()
	if o.short {
		o.reps, o.duration = 1, 1500*time.Millisecond
	}
	return o
}

func run() error {
	o := parse()
	quietPeers()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	wanted, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	dir, err := os.MkdirTemp(o.scratch, "caos-bench-")
	if err != nil {
		return err
	}
	if !o.keep {
		defer os.RemoveAll(dir)
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	b := &bench{short: o.short, reps: o.reps, duration: o.duration, dir: dir, bin: bin,
		say: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	server, err := openPostgres(ctx, dir)
	if err != nil {
		b.say("no PostgreSQL: %v", err)
	} else {
		defer server.stop()
		b.postgres, b.pgNote = server.url, server.note
	}
	rep := report{Facts: machine(dir), Short: o.short, Repetitions: o.reps, PostgreSQL: b.pgNote}
	var errs error
	for _, s := range sections() {
		if !wanted.MatchString(s.name) {
			continue
		}
		b.say("%s …", s.name)
		rows, err := s.run(ctx, b)
		rep.Rows = append(rep.Rows, rows...)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %w", s.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	if o.asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return errors.Join(errs, enc.Encode(rep))
	}
	rep.print(os.Stdout)
	return errs
}

// quietPeers keeps the peers' logging out of the figures and of the output.
func quietPeers() {
	fs := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(fs)
	_ = fs.Set("logtostderr", "false")
	_ = fs.Set("stderrthreshold", "FATAL")
	klog.SetOutput(discard{})
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
