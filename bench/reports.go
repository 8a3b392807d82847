package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"caos/internal/app"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/db"
)

const (
	reportClients = 64
	reportHook    = "CAOS.PROD.CERT.AUDIT"
	reporter      = "ci-pipeline"
	idleRecords   = 100_000
)

// measureReports measures CAOS.PROD.CERT.AUDIT through HTTPS on a node of its own process,
// the load generator being another on the same processors; then, on the data it left, how
// fast a node starts and how much memory it needs when idle.
func measureReports(ctx context.Context, b *bench) (out []row, err error) {
	data := filepath.Join(b.dir, "reports", "data")
	in, err := initNode(ctx, data)
	if err != nil {
		return nil, err
	}
	n, err := b.serve(ctx, data)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	var rates, p99s, p50s []float64
	var loads []*loaded
	begun := time.Now()
	answered, before, stolen := int64(0), cpuTime(n.cmd.Process.Pid), busy()
	for i := range b.reps {
		warm := time.Second
		if i > 0 {
			warm = 200 * time.Millisecond
		}
		l, err := generate(ctx, load{URL: n.url, CA: in.CAFile, Token: in.Users[reporter].Token, Clients: reportClients, Seconds: b.duration.Seconds(), Warm: warm.Seconds(), Run: i})
		if err != nil {
			return nil, err
		}
		answered, loads = answered+l.Answered, append(loads, l)
		rates, p99s, p50s = append(rates, l.Rate), append(p99s, l.P99), append(p50s, l.P50)
	}
	elapsed := time.Since(begun).Seconds()
	used, others := cpuTime(n.cmd.Process.Pid)-before, busy()-stolen
	rss, peak := memory(n.cmd.Process.Pid)
	for _, l := range loads {
		others -= l.CPU
	}
	others = max(others-used, 0)
	name := fmt.Sprintf("CERT.AUDIT through HTTPS, %d clients", reportClients)
	out = append(out, rated(name, "/s", rates).atLeast(2500).with("TLS 1.3 with keep-alive, %s, load generator on the same processors; resident memory %.0f MB after, %.0f MB at most", n.program, rss, peak),
		rated(name+", p99", "ms", p99s).atMost(80).with("p50 %.1f ms", median(p50s)))
	if err := n.stop(); err != nil {
		return out, err
	}
	if err := checkReports(ctx, data, answered); err != nil {
		return out, err
	}
	out[0] = out[0].with("the server used %.0f µs of processor a report, the generator %.0f, and meanwhile whatever else ran here %.0f%% of the machine",
		1e6*used/float64(answered), 1e6*loads[len(loads)-1].CPU/float64(loads[len(loads)-1].Answered), 100*others/(float64(runtime.NumCPU())*elapsed))
	out[0] = out[0].with("afterwards the log verified, and its %d records and executions are those that were answered", answered)
	rows, err := measureStart(ctx, b, data)
	return append(out, rows...), err
}

// initNode makes a data folder with an account that may report.
func initNode(ctx context.Context, data string) (*app.InitResult, error) {
	return app.Init(ctx, app.InitOptions{DataDir: data, Listen: "127.0.0.1:0",
		Users: []auth.NewUser{{ID: reporter, Name: "Pipeline", Kind: auth.Service, Roles: []string{"service"}}}})
}

// node is a CAOS server in a process of its own.
type node struct {
	cmd     *exec.Cmd
	url     string
	ready   time.Duration // from the start of the process
	program string
	stopped bool
}

// serve starts the program caos, or this one in its place if it was not built.
func (b *bench) serve(ctx context.Context, data string) (*node, error) {
	n := &node{program: "caos serve"}
	caos := filepath.Join(b.bin, "caos")
	if _, err := os.Stat(caos); err == nil {
		n.cmd = exec.Command(caos, "serve", "--data", data, "--listen", "127.0.0.1:0", "--json")
	} else {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		n.program = "the product's wiring in a process of its own (bin/caos is missing)"
		n.cmd = exec.Command(self, "child", "serve")
		n.cmd.Env = append(os.Environ(), "CAOS_BENCH_DATA="+data)
	}
	var stderr bytes.Buffer
	n.cmd.Stderr = &stderr
	pipe, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(pipe).ReadBytes('\n')
	n.ready = time.Since(start)
	var said struct {
		Ready bool   `json:"ready"`
		URL   string `json:"url"`
	}
	if err == nil {
		err = json.Unmarshal(line, &said)
	}
	if err != nil || !said.Ready {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
		return nil, errors.Join(err, fmt.Errorf("%s did not become ready: %s%s", n.program, line, tail(stderr.Bytes())))
	}
	n.url = said.URL
	return n, nil
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }

func (n *node) stop() error {
	if n.stopped {
		return nil
	}
	n.stopped = true
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	if err := n.cmd.Wait(); err != nil {
		return fmt.Errorf("%s did not stop cleanly: %w", n.program, err)
	}
	return nil
}

// child is what this program does as a process of its own.
func child(what string) error {
	switch what {
	case "load":
		return generateHere()
	case "serve":
		return serveHere(os.Getenv("CAOS_BENCH_DATA"))
	}
	return fmt.Errorf("unknown %q", what)
}

func serveHere(data string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if name := os.Getenv("CAOS_BENCH_PROFILE"); name != "" { // where the server's time goes
		f, err := os.Create(fmt.Sprintf("%s.%d", name, os.Getpid()))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	cfg, err := app.Load(data, func(string) string { return "" })
	if err != nil {
		return err
	}
	a := app.New(cfg, slog.New(slog.DiscardHandler), "bench")
	if err := a.Start(ctx); err != nil {
		return err
	}
	fmt.Printf("{\"ready\":true,\"url\":%q}\n", a.URL())
	select {
	case <-ctx.Done():
	case err = <-a.Wait():
	}
	return errors.Join(err, a.Stop(context.Background()))
}

// checkReports verifies the log that the reports left and compares its numbers with what
// clients were told.
func checkReports(ctx context.Context, data string, answered int64) error {
	var first string
	sum, err := auditlog.Verify(ctx, auditlog.VerifyOptions{DataDir: data, Published: []auditlog.Sink{auditlog.NewFileSink(data + "-checkpoints.txt")},
		OnProblem: func(p auditlog.Problem) {
			if first == "" {
				first = p.String()
			}
		}})
	if err != nil {
		return err
	}
	if sum.Problems > 0 {
		return fmt.Errorf("the log does not verify: %d problems, first %s", sum.Problems, first)
	}
	d, err := sql.Open("sqlite", "file:"+filepath.Join(data, "caos.db")+"?mode=ro")
	if err != nil {
		return err
	}
	defer d.Close()
	var executions, records int64
	if err := d.QueryRowContext(ctx, `SELECT count(*) FROM executions WHERE hook_id=$1 AND status='SUCCEEDED'`, reportHook).Scan(&executions); err != nil {
		return err
	}
	if err := d.QueryRowContext(ctx, `SELECT count(*) FROM audit_records WHERE type='CONFIG_CHANGE'`).Scan(&records); err != nil {
		return err
	}
	if executions != answered || records < answered {
		return fmt.Errorf("%d reports were answered; there are %d executions and %d records", answered, executions, records)
	}
	return nil
}

// measureStart fills the log up to 100,000 records and starts a node on it.
func measureStart(ctx context.Context, b *bench, data string) ([]row, error) {
	want := int64(idleRecords)
	if b.short {
		want = 20_000
	}
	size, err := fill(ctx, data, want)
	if err != nil {
		return nil, err
	}
	var ready, rss []float64
	for range b.reps {
		n, err := b.serve(ctx, data)
		if err != nil {
			return nil, err
		}
		idle := 5 * time.Second
		if b.short {
			idle = time.Second
		}
		time.Sleep(idle)
		now, _ := memory(n.cmd.Process.Pid)
		if err := n.stop(); err != nil {
			return nil, err
		}
		ready, rss = append(ready, n.ready.Seconds()), append(rss, now)
	}
	a := rated(fmt.Sprintf("start to ready, %d records", size), "s", ready).atMost(1)
	m := rated("idle memory (RSS) with that", "MB", rss).atMost(100)
	return []row{a, m}, nil
}

// fill adds records to the log of a data folder until it has n.
func fill(ctx context.Context, data string, n int64) (size int64, err error) {
	cfg, err := app.Load(data, func(string) string { return "" })
	if err != nil {
		return 0, err
	}
	s, err := openStack(ctx, stackOptions{url: "sqlite:" + filepath.Join(data, "caos.db"), dir: data, origin: cfg.Origin})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close(), os.Remove(filepath.Join(data, "checkpoints.txt"))) }()
	if size, _, err = s.log.Root(ctx); err != nil {
		return 0, err
	}
	return max(size, n), s.append(ctx, n-size)
}

// append adds records of about 1 KB, a thousand at a time.
func (s *stack) append(ctx context.Context, n int64) error {
	const batch = 500
	for i := int64(0); i < n; i += batch {
		err := s.db.Update(ctx, func(tx *db.Tx) error {
			for j := range min(batch, n-i) {
				r := kilobyte()
				r.Actor = "user-" + strconv.FormatInt(j%17, 10)
				if _, err := s.log.Append(tx, r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// memory is the resident memory of a process now and at its highest, in MB.
func memory(pid int) (now, peak float64) {
	file := fmt.Sprintf("/proc/%d/status", pid)
	kb := func(name string) float64 {
		v, _ := strconv.ParseFloat(strings.Fields(field(file, name) + " 0")[0], 64)
		return v / 1024
	}
	return kb("VmRSS"), kb("VmHWM")
}

// cpuTime is the processor time that a process has used, in seconds.
func cpuTime(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}

// busy is the processor time that everything on this machine has used, in seconds.
func busy() float64 {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	total := 0.0
	for i, s := range strings.Fields(line) {
		if v, err := strconv.ParseFloat(s, 64); err == nil && (i <= 3 || i == 6 || i == 7) { // not idle, not waiting for the disk
			total += v
		}
	}
	return total / 100
}
