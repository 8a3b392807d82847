package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"caos"
	"caos/internal/sandbox"
)

// Defaults of Limits, and what a run is held to besides.
const (
	defaultMemory  = 1 << 30
	defaultScratch = 4 << 30
	defaultTimeout = time.Hour
	openFiles      = 2048
	watchEvery     = 50 * time.Millisecond
	partingTime    = time.Second // from the last word of a worker to its end
	checkTimeout   = 10 * time.Second
)

// Options is what a Runner stands on.
type Options struct {
	Program string        // path of caos-worker; see Find
	Level   sandbox.Level // "" is sandbox.Namespaces
	Logger  *slog.Logger  // nil is silent
}

// Runner runs jobs. It may be used by several goroutines at once.
type Runner struct {
	options Options

	mu        sync.Mutex
	program   os.FileInfo // of what the others were learnt; nil until then
	libraries []string    // what the program needs to be loaded
	version   string      // what the program said last; "" until it ran in the sandbox
}

// renew forgets what was learnt of a program that was replaced or removed since, so that
// another one is loaded with its own libraries and reports name its own engine. mu is held.
func (r *Runner) renew() {
	now, err := os.Stat(r.options.Program)
	if err == nil && r.program != nil && os.SameFile(now, r.program) && now.Size() == r.program.Size() && now.ModTime().Equal(r.program.ModTime()) {
		return
	}
	r.program, r.libraries, r.version = now, nil, ""
	if err != nil {
		r.program = nil
	}
}

// New returns a Runner. It starts nothing: Available says whether it can run.
func New(o Options) *Runner {
	if o.Level == "" {
		o.Level = sandbox.Namespaces
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Runner{options: o}
}

// Find returns the path of caos-worker: the setting, else the program beside the running
// one, else the one on PATH, else "".
func Find(setting string) string {
	if setting != "" {
		return setting
	}
	const name = "caos-worker"
	if own, err := os.Executable(); err == nil {
		if beside := filepath.Join(filepath.Dir(own), name); executable(beside) {
			return beside
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// Available says whether jobs can run on this machine: nil, or an Unavailable error with
// the remedy. It starts the worker in its sandbox once; a success is remembered for as long
// as the program is the same file.
func (r *Runner) Available(ctx context.Context) error {
	_, err := r.Version(ctx)
	return err
}

// Version returns what the worker says of itself and its engine.
func (r *Runner) Version(ctx context.Context) (string, error) {
	r.mu.Lock()
	r.renew()
	known := r.version
	r.mu.Unlock()
	if known != "" {
		return known, nil
	}
	if r.options.Program == "" || !executable(r.options.Program) {
		where := "beside caos or on PATH"
		if r.options.Program != "" {
			where = "at " + r.options.Program
		}
		return "", caos.Errorf(caos.Unavailable, "there is no program caos-worker %s, which runs pipelines and validations", where).
			WithField("worker").WithRule("worker").
			WithHint("build it with `make build` where a C++ compiler is (apt-get install g++), put it beside caos, or name it by the setting `worker` in caos.yaml")
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	spec, err := r.spec(Limits{MemoryBytes: 256 << 20, Threads: 1})
	if err != nil {
		return "", err
	}
	spec.Args = []string{"--version"}
	said, words := &tail{limit: maxWords}, &tail{limit: maxWords}
	p, err := sandbox.Start(ctx, spec, nil, said, words)
	if err != nil {
		return "", err
	}
	if exit := p.Wait(); exit.Code != 0 {
		return "", caos.Errorf(caos.Unavailable, "caos-worker does not run in the sandbox: exit status %d", exit.Code).
			WithRule("worker").WithHint("%s", clean(words.String()+" "+said.String(), 300))
	}
	version := clean(said.String(), 200)
	r.mu.Lock()
	r.version = version
	r.mu.Unlock()
	return version, nil
}

// spec is what every run of the worker has in common.
func (r *Runner) spec(lim Limits) (sandbox.Spec, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.renew()
	if r.libraries == nil {
		libraries, err := sandbox.Libraries(r.options.Program)
		if err != nil {
			return sandbox.Spec{}, caos.Wrap(caos.Unavailable, err, "caos-worker cannot be loaded").WithRule("worker").
				WithHint("build it again with `make build`")
		}
		r.libraries = libraries
	}
	return sandbox.Spec{
		Program: r.options.Program, Init: r.options.Program, ReadOnly: r.libraries,
		// No more arenas and processors than it has threads, and no tale longer than one stack.
		Env:         []string{"GOTRACEBACK=single", "GOMAXPROCS=2", "MALLOC_ARENA_MAX=2", "LC_ALL=C.UTF-8"},
		MemoryBytes: lim.MemoryBytes, Threads: lim.Threads, FileBytes: lim.ScratchBytes,
		Processes: 64 + 4*lim.Threads, OpenFiles: openFiles, Level: r.options.Level,
	}, nil
}

func (l *Limits) fill() {
	if l.MemoryBytes <= 0 {
		l.MemoryBytes = defaultMemory
	}
	if l.Threads <= 0 {
		l.Threads = 1
	}
	l.Threads = min(l.Threads, 4*runtime.NumCPU())
	if l.ScratchBytes <= 0 {
		l.ScratchBytes = defaultScratch
	}
	if l.Timeout <= 0 {
		l.Timeout = defaultTimeout
	}
}

// Run does one job in folder, which has in/ with the job's files and gets out/ and tmp/.
// The error is a *Failure. progress may be nil; it is called by one goroutine, and holds
// the worker up while it runs. What an earlier run left in out/ and tmp/ is removed.
func (r *Runner) Run(ctx context.Context, folder string, job Job, lim Limits, progress func(Progress)) (*Result, error) {
	lim.fill()
	if progress == nil {
		progress = func(Progress) {}
	}
	used, err := prepare(folder)
	if err != nil {
		return nil, err
	}
	if job.MemoryBytes <= 0 {
		job.MemoryBytes = lim.MemoryBytes
	}
	if job.Threads <= 0 {
		job.Threads = lim.Threads
	}
	if left := lim.ScratchBytes - used; left <= 0 {
		return nil, &Failure{Kind: KindDisk, Phase: PhaseStart, Message: fmt.Sprintf("the inputs take %d bytes of the %d bytes of scratch that there are", used, lim.ScratchBytes)}
	} else if job.TempBytes <= 0 || job.TempBytes > left {
		job.TempBytes = left
	}
	// A copy: the check brings names of files to one form.
	job.Inputs = cloneInputs(job.Inputs)
	if err := job.check(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(job)
	if err != nil {
		return nil, refuse("", "the job cannot be written as JSON: %v", err)
	}
	if len(text) > maxJob {
		return nil, refuse("", "the job has more than %d bytes", maxJob)
	}
	spec, err := r.spec(lim)
	if err != nil {
		return nil, unavailable(err)
	}
	spec.Args, spec.Folder, spec.Write = []string{Attached}, folder, []string{OutFolder, TempFolder}
	run := &running{job: &job, limits: lim, folder: folder, progress: progress, begin: time.Now(), logger: r.options.Logger}
	return run.do(ctx, spec, append(text, '\n'))
}

func unavailable(err error) *Failure {
	e := caos.AsError(err)
	message := e.Message
	if e.Hint != "" {
		message += "; " + e.Hint
	}
	return &Failure{Kind: KindUnavailable, Phase: PhaseStart, Message: message}
}

func cloneInputs(inputs []Input) []Input {
	clone := make([]Input, len(inputs))
	for i, in := range inputs {
		in.Files = append([]string(nil), in.Files...)
		if in.CSV != nil {
			dialect := *in.CSV
			in.CSV = &dialect
		}
		clone[i] = in
	}
	return clone
}

// running is one run.
type running struct {
	job      *Job
	limits   Limits
	folder   string
	progress func(Progress)
	begin    time.Time
	logger   *slog.Logger

	mu     sync.Mutex
	reason *Failure // why it was ended from here; the first counts
	at     Progress // where it was last
}

// do starts the worker, gives it the job, listens, and says how it ended.
func (u *running) do(ctx context.Context, spec sandbox.Spec, text []byte) (*Result, error) {
	stdin, feed, err := os.Pipe()
	if err != nil {
		return nil, &Failure{Kind: KindUnavailable, Message: err.Error()}
	}
	listen, stdout, err := os.Pipe()
	if err != nil {
		closeBoth(stdin, feed)
		return nil, &Failure{Kind: KindUnavailable, Message: err.Error()}
	}
	defer listen.Close()
	words := &tail{limit: maxWords}
	p, err := sandbox.Start(context.WithoutCancel(ctx), spec, stdin, stdout, words)
	closeBoth(stdin, stdout)
	if err != nil {
		_ = feed.Close()
		return nil, unavailable(err)
	}
	watched := make(chan struct{})
	go func() { defer close(watched); u.watch(ctx, p) }()
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		_, _ = feed.Write(text) // a worker that is gone says so by its end
	}()
	last, heard := u.listen(listen, p)
	// It waits for its input to end, so that its memory can be looked at when all is done.
	p.Memory()
	_ = feed.Close()
	u.dismiss(p, heard)
	exit := p.Wait()
	<-fed
	<-watched
	result, err := u.verdict(last, heard, exit, words)
	if err != nil {
		err = u.located(err)
	}
	u.logger.Debug("worker ended", "seconds", time.Since(u.begin).Seconds(), "peak_bytes", exit.PeakBytes, "cpu", exit.CPU, "error", err)
	if taken := sandbox.Take(u.folder, OutFolder); err == nil && taken != nil {
		err = &Failure{Kind: KindCrash, Phase: PhaseOutput, Message: "what the worker wrote cannot be taken: " + taken.Error()}
	}
	_ = sandbox.Take(u.folder, TempFolder)
	if err == nil {
		err = result.collect(u.folder)
	}
	if err != nil {
		return nil, err
	}
	result.PeakBytes, result.Seconds = exit.PeakBytes, time.Since(u.begin).Seconds()
	return result, nil
}

// located says where the worker was when it ended, if the failure does not.
func (u *running) located(err error) error {
	var f *Failure
	if errors.As(err, &f) && f.Phase == "" {
		u.mu.Lock()
		f.Phase, f.Name = clean(u.at.Phase, maxName), clean(u.at.Name, maxName)
		u.mu.Unlock()
	}
	return err
}

// dismiss sees a worker off that has said its last. One that says nothing more is given a
// moment to end by itself, because how it ends is what is told of it.
func (u *running) dismiss(p *sandbox.Process, heard error) {
	if heard == nil {
		select {
		case <-p.Ended():
			return
		case <-time.After(partingTime):
		}
	}
	p.Kill()
}

// verdict is what a run came to: a result that it lived to give, else what ended it from
// here, else what the operating system did, else what the worker said.
func (u *running) verdict(last *event, heard error, exit sandbox.Exit, words *tail) (*Result, error) {
	u.mu.Lock()
	reason := u.reason
	u.mu.Unlock()
	said := clean(words.String(), maxTold)
	if last != nil && last.Result != nil && exit.Code == 0 { // it was done before anything ended it
		if err := last.Result.fits(u.job); err != nil {
			return nil, &Failure{Kind: KindCrash, Message: "the worker answered with " + err.Error(), LastWords: said}
		}
		return last.Result, nil
	}
	switch {
	case last != nil && last.Failure != nil && (reason == nil || reason.Kind == last.Failure.Kind):
		return nil, last.Failure
	case reason != nil:
		reason.LastWords = said
		return nil, reason
	case exit.MemoryKilled:
		return nil, &Failure{Kind: KindMemory, Message: fmt.Sprintf("the operating system ended the worker at its limit of %d MiB", u.limits.MemoryBytes>>20), LastWords: said}
	case heard != nil:
		return nil, &Failure{Kind: KindCrash, Message: "the worker said what no worker says: " + clean(heard.Error(), 300), LastWords: said}
	case outOfMemory(said):
		return nil, &Failure{Kind: KindMemory, Message: fmt.Sprintf("the worker got no more memory; its limit is %d MiB", u.limits.MemoryBytes>>20), LastWords: said}
	case exit.Signal != nil:
		return nil, &Failure{Kind: KindCrash, Message: "the worker was ended by a signal: " + exit.Signal.String(), LastWords: said}
	}
	return nil, &Failure{Kind: KindCrash, Message: fmt.Sprintf("the worker ended without an answer, with exit status %d", exit.Code), LastWords: said}
}

// end ends a run from here; the first reason is the one that is told.
func (u *running) end(p *sandbox.Process, reason *Failure) {
	u.mu.Lock()
	if u.reason == nil {
		u.reason = reason
	}
	u.mu.Unlock()
	p.Kill()
}

// watch ends a run that is no longer wanted, or takes more than it may.
func (u *running) watch(ctx context.Context, p *sandbox.Process) {
	timeout := time.NewTimer(u.limits.Timeout - time.Since(u.begin))
	defer timeout.Stop()
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	for {
		select {
		case <-p.Ended():
			return
		case <-ctx.Done():
			reason := &Failure{Kind: KindCancelled, Message: "the run was ended: " + context.Cause(ctx).Error()}
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				reason = &Failure{Kind: KindTime, Message: "the time of the step that the run belongs to is over"}
			}
			u.end(p, reason)
			return
		case <-timeout.C:
			u.end(p, &Failure{Kind: KindTime, Message: fmt.Sprintf("the run took longer than %s", u.limits.Timeout)})
			return
		case <-look.C:
			if peak, _ := p.Memory(); peak > u.limits.MemoryBytes {
				u.end(p, &Failure{Kind: KindMemory, Message: fmt.Sprintf("the worker took more than its limit of %d MiB", u.limits.MemoryBytes>>20)})
				return
			}
			if used := size(u.folder); used > u.limits.ScratchBytes {
				u.end(p, &Failure{Kind: KindDisk, Message: fmt.Sprintf("the run's folder took more than its limit of %d MiB", u.limits.ScratchBytes>>20)})
				return
			}
		}
	}
}

// listen reads events until the last one. A line that is none ends the run.
func (u *running) listen(from io.Reader, p *sandbox.Process) (*event, error) {
	lines := newLines(from)
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		e, err := parseEvent(line)
		if err != nil {
			return nil, err
		}
		if e.Progress == nil {
			p.Memory()
			return e, nil
		}
		u.mu.Lock()
		u.at = *e.Progress
		u.mu.Unlock()
		u.progress(*e.Progress)
	}
}

func closeBoth(a, b *os.File) {
	_ = a.Close()
	_ = b.Close()
}
