package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// Exit codes of the command.
const (
	ExitOK     = 0 // everything that was checked holds
	ExitFailed = 1 // the file is not what it claims to be
	ExitUsage  = 2 // wrong arguments, or a file that cannot be read
)

const usage = `usage: caos-verify FILE|DIR --trust trust.json [--json]

Checks against the keys of the trust file, without a network, what FILE or DIR is:

  an evidence package: every byte, signature, audit record, proof and decision,
    and what votes and approvals come to; it prints who decided what, and what
    witnesses and time-stamp servers say of the log
  a baseline, as the tar file that was exported or as the folder with its
    model.sig: the signature, every byte of every file, and nothing else
  a product passport, as it was downloaded: its proof

Get the trust file from the operator of the log by a way other than what it is
to check.

  --trust FILE   trust file of the log (required)
  --status FILE  for a passport: the status list that it names, which says
                 whether it was revoked
  --proof FILE   for a passport: what its address with /proof answers, which
                 shows that the audit log has it
  --ethereum URL also ask a node of a chain that the trust file names whether the
                 registry there has the package's anchors, or the passport; may
                 be given several times, and nodes of one chain have to agree
  --timeout TIME for all questions to nodes together (2m); what was not answered by
                 then is said not to be checked, and is not verified
  --json         print the report as JSON

Exit status: 0 verified, 1 verification failed, 2 wrong usage or unreadable file.
`

// Main is the command caos-verify, and caos verify: it checks the package, baseline or
// passport that args name and returns the exit code. colour allows ANSI sequences in the text that goes to stdout.
func Main(args []string, stdout, stderr io.Writer, colour bool) int {
	o, err := parseArgs(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return ExitOK
	}
	// What is said of arguments and by nodes of a chain goes to the terminal like a report.
	complain := func(err error) { fmt.Fprintf(stderr, "caos-verify: %s\n", shownText(err.Error())) }
	if err != nil {
		complain(err)
		fmt.Fprint(stderr, "\n"+usage)
		return ExitUsage
	}
	report, holds, err := verifyFiles(o)
	if err != nil {
		complain(err)
		return ExitUsage
	}
	if o.json {
		err = report.JSON(stdout)
	} else {
		err = report.Text(stdout, colour)
	}
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "caos-verify: the report could not be written: %v\n", err)
		return ExitUsage
	case !holds:
		return ExitFailed
	}
	return ExitOK
}

type options struct {
	file, trust   string
	status, proof string // what a passport is checked with
	ethereum      []string
	json          bool
	timeout       time.Duration // for all questions to nodes
}

// errTimeout is said of what was not asked in time.
var errTimeout = errors.New("not checked: --timeout was reached")

// parseArgs takes flags before and after the file.
func parseArgs(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("caos-verify", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Func("trust", "", func(name string) error {
		if o.trust != "" { // the last would silently count, and the first look as if it did
			return errors.New("it was given twice, and one decides who counts: name the one of this file's log")
		}
		o.trust = name
		return nil
	})
	f.StringVar(&o.status, "status", "", "")
	f.StringVar(&o.proof, "proof", "", "")
	f.Func("ethereum", "", func(url string) error {
		o.ethereum = append(o.ethereum, url)
		return nil
	})
	f.BoolVar(&o.json, "json", false, "")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "")
	var files []string
	for len(args) > 0 {
		if err := f.Parse(args); err != nil {
			return o, err
		}
		if args = f.Args(); len(args) > 0 {
			files = append(files, args[0])
			args = args[1:]
		}
	}
	if len(files) != 1 {
		return o, fmt.Errorf("name one package, baseline or passport, not %d", len(files))
	}
	if o.trust == "" {
		return o, errors.New("--trust is missing: without the log's keys nothing can be checked")
	}
	if o.timeout <= 0 {
		return o, errors.New("--timeout is a time such as 2m")
	}
	o.file = files[0]
	return o, nil
}

// findings is a report that can be shown.
type findings interface {
	JSON(w io.Writer) error
	Text(w io.Writer, colour bool) error
}

// verifyFiles checks a file or folder by what it is, and reports whether every check held.
func verifyFiles(o options) (report findings, holds bool, err error) {
	file := o.file
	trust, digest, err := readTrust(o.trust)
	if err != nil {
		return nil, false, err
	}
	with, err := readPassportFiles(o.status, o.proof)
	if err != nil {
		return nil, false, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	var chains *Chains
	// A node that is slow with each answer must not keep the verifier for ever. What was not asked
	// in time fails: it was asked for, and is not known to be fine.
	ctx, cancel := context.WithTimeoutCause(context.Background(), o.timeout, errTimeout)
	defer cancel()
	if len(o.ethereum) > 0 {
		if chains, err = OpenChains(ctx, o.ethereum, nil); err != nil {
			return nil, false, err
		}
	}
	switch mode := info.Mode(); {
	case (with.Status != nil || with.Proof != nil) && !isPassport(f):
		return nil, false, fmt.Errorf("%s is no passport: --status and --proof are for one", file)
	case chains != nil && (mode.IsDir() || isModelTar(f, info.Size())):
		return nil, false, fmt.Errorf("%s is a baseline: --ethereum is for packages and passports", file)
	case mode.IsDir():
		r, err := verifyModelFolder(file, trust)
		if err != nil {
			return nil, false, err
		}
		r.Trust = digest
		return r, r.OK, nil
	case !mode.IsRegular():
		return nil, false, fmt.Errorf("%s is neither a regular file nor a folder", file)
	case isModelTar(f, info.Size()):
		r := verifyModelTar(f, info.Size(), trust)
		r.Trust = digest
		return r, r.OK, nil
	case isPassport(f):
		r := verifyPassport(f, info.Size(), trust, with)
		r.onChain(ctx, chains, trust)
		r.Trust = digest
		return r, r.OK, nil
	}
	r, err := Package(f, info.Size(), trust, PackageOptions{Chains: chains, Context: ctx})
	if err != nil {
		return nil, false, err
	}
	r.Trust = digest
	if !beginsAsPackage(f) {
		r.Findings = append(r.Findings, "the file does not begin as a package, a baseline or a passport does: is it the right one?")
	}
	return r, r.OK, nil
}

// beginsAsPackage reports whether the first header of f names what a package begins with.
func beginsAsPackage(f io.ReaderAt) bool {
	var head [len(ManifestName)]byte
	n, _ := f.ReadAt(head[:], 0)
	return string(head[:n]) == ManifestName
}

// readTrust reads a trust file and returns its digest too.
func readTrust(name string) (Trust, string, error) {
	f, err := os.Open(name)
	if err != nil {
		return Trust{}, "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxTrust+1))
	if err != nil {
		return Trust{}, "", err
	}
	t, err := ParseTrust(data)
	if err != nil {
		return t, "", fmt.Errorf("%s: %w", name, err)
	}
	return t, FormatHash(sha256.Sum256(data)), nil
}
