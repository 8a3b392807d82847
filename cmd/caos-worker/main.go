//go:build cgo

// Command caos-worker is the data engine: it reads one job on standard input, does it in
// one folder, and writes what happens, a JSON object a line, on standard output. CAOS
// starts one for each run, in a sandbox; it holds no keys and knows no database, no network
// and no pipelines. docs/worker.md is its manual.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"caos/internal/sandbox"
	"caos/internal/worker"
)

// version is stamped by the build.
var version = "0.0.0-unversioned" //nolint:gochecknoglobals // -ldflags -X needs a variable

const usage = `caos-worker does one job of CAOS's data layer: it makes tables of files, applies
SELECTs, writes tables to files and answers queries, by the DuckDB inside it.

  caos-worker FOLDER < job.json     does a job by hand, in FOLDER, without a sandbox.
                                    FOLDER holds in/ (the job's files) and gets out/
                                    and tmp/. Events are written a line each: progress,
                                    and at the end one result or one failure.
  caos-worker --version             its version and the engine's

CAOS itself starts it in a sandbox. docs/worker.md describes jobs, limits and levels.
`

func main() {
	sandbox.Main()
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	if len(args) != 1 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	switch args[0] {
	case "--help", "-h":
		fmt.Print(usage)
		return 0
	case "--version":
		fmt.Println("caos-worker", version, "DuckDB", engineVersion())
		return 0
	case worker.Attached:
		return attached()
	}
	if err := os.Chdir(args[0]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, name := range []string{worker.InFolder, worker.OutFolder, worker.TempFolder} {
		if err := os.MkdirAll(name, 0o700); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return serve(bufio.NewReader(os.Stdin), newEvents(os.Stdout))
}

// attached is how CAOS runs it: inside the sandbox, with standard output kept for events,
// and staying until CAOS has looked at it for the last time.
func attached() int {
	signal.Ignore(syscall.SIGXFSZ) // a file beyond its limit is a failed write, not a death
	if err := sandbox.Lock(); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		return 1
	}
	fd, err := syscall.Dup(1)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// Whatever a library prints goes to standard error.
	if err := syscall.Dup3(2, 1, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	in := bufio.NewReader(os.Stdin)
	code := serve(in, newEvents(os.NewFile(uintptr(fd), "events")))
	_, _ = io.Copy(io.Discard, io.LimitReader(in, 1<<20))
	return code
}

// serve does the job that in begins with.
func serve(in *bufio.Reader, out *events) int {
	job, err := worker.ReadJob(in)
	if err == nil {
		var result *worker.Result
		if result, err = do(job, out); err == nil {
			out.send(event{Result: result})
			return 0
		}
	}
	var failure *worker.Failure
	if !errors.As(err, &failure) {
		failure = &worker.Failure{Kind: worker.KindRefused, Phase: worker.PhaseStart, Message: err.Error()}
	}
	out.send(event{Failure: failure})
	return 1
}

// event is one line of output: one of its fields.
type event struct {
	Progress *worker.Progress `json:"progress,omitempty"`
	Result   *worker.Result   `json:"result,omitempty"`
	Failure  *worker.Failure  `json:"failure,omitempty"`
}

// events writes them, for several goroutines.
type events struct {
	mu sync.Mutex
	to *json.Encoder
}

func newEvents(w io.Writer) *events { return &events{to: json.NewEncoder(w)} }

func (e *events) send(v event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.to.Encode(v); err != nil {
		fmt.Fprintln(os.Stderr, "event:", err) // nobody listens any more
	}
}
