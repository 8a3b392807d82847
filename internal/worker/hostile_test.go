package worker_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"caos/internal/sandbox"
	"caos/internal/worker"
)

// TestMain makes this binary a worker that was fooled, when it is run as one.
func TestMain(m *testing.M) {
	sandbox.Main()
	if len(os.Args) > 1 && os.Args[1] == worker.Attached {
		os.Exit(fooled())
	}
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println("a worker that was fooled")
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func stay() {
	for {
		<-time.After(time.Hour)
	}
}

// fooled does what its job's variable says.
func fooled() int {
	in := bufio.NewReader(os.Stdin)
	var job worker.Job
	if err := json.NewDecoder(in).Decode(&job); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 9
	}
	const good = `{"result":{"peak_bytes":0,"seconds":0}}`
	switch job.Variables["act"] {
	case "nothing":
	case "good":
		fmt.Println(good)
	case "words":
		fmt.Fprintln(os.Stderr, "these are \x1b[31mmy last words")
		return 3
	case "garbage":
		fmt.Println("hello, I am \x00 no event")
	case "binary":
		_, _ = os.Stdout.Write(bytes.Repeat([]byte{0xff, 0x00, '\n'}, 1000))
	case "endless line":
		for {
			if _, err := os.Stdout.Write(bytes.Repeat([]byte("x"), 1<<20)); err != nil {
				return 0
			}
		}
	case "endless events":
		for {
			if _, err := fmt.Println(`{"progress":{"phase":"` + strings.Repeat("x", 1<<20) + `"}}`); err != nil {
				return 0
			}
		}
	case "endless words":
		for i := 0; i < 1000; i++ {
			_, _ = os.Stderr.Write(bytes.Repeat([]byte("y"), 1<<20))
		}
		return 3
	case "half a line":
		fmt.Print(good[:20])
	case "two parts":
		fmt.Println(`{"result":{"peak_bytes":0,"seconds":0},"failure":{"kind":"sql","message":"x"}}`)
	case "unknown part":
		fmt.Println(`{"answer":1}`)
	case "deep":
		fmt.Println(strings.Repeat(`[`, 200_000))
	case "another job's":
		fmt.Println(`{"result":{"outputs":[{"name":"../../x","rows":1}],"peak_bytes":0,"seconds":0}}`)
	case "claims files":
		_ = os.MkdirAll("out/t", 0o700)
		_ = os.WriteFile("out/t/data.csv", []byte("x\n"), 0o600)
		fmt.Println(`{"result":{"outputs":[{"name":"t","rows":1,"bytes":99,"files":[{"path":"/etc/passwd","bytes":1,"digest":"SHA256:00"}]}],"peak_bytes":0,"seconds":0}}`)
	case "other files":
		_ = os.WriteFile("out/other", []byte("x"), 0o600)
		fmt.Println(good)
	case "fails and stays":
		fmt.Println(good)
		stay()
	case "stays":
		fmt.Fprintln(os.Stderr, "I stay")
		stay()
	case "odd failure":
		fmt.Println(`{"failure":{"kind":"whatever","name":"` + strings.Repeat("n", 10_000) + `","line":-5,"message":"a\u001b[31mb` + strings.Repeat("m", 100_000) + `"}}`)
	case "segfault":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		stay()
	case "exit after a result":
		fmt.Println(good)
		return 7
	case "disk":
		for i := range 3 {
			f, err := os.Create(fmt.Sprintf("tmp/full%d", i))
			for err == nil {
				_, err = f.Write(make([]byte, 1<<20))
			}
			fmt.Fprintln(os.Stderr, err)
		}
		stay()
	case "many files":
		for i := 0; ; i++ {
			if err := os.WriteFile(fmt.Sprintf("tmp/%d", i), make([]byte, 64<<10), 0o600); err != nil {
				fmt.Fprintln(os.Stderr, err)
				stay()
			}
		}
	case "memory":
		var all [][]byte
		for len(all) < 1<<20 {
			b := make([]byte, 16<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
		}
	}
	return 0
}

func TestAWorkerThatWasFooled(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, level := range []sandbox.Level{sandbox.Namespaces, sandbox.Reduced} {
		r := worker.New(worker.Options{Program: program, Level: level})
		if err := r.Available(t.Context()); err != nil {
			t.Skip(err)
		}
		for _, tt := range []struct {
			act, kind, says string
			outputs         []worker.Output
		}{
			{act: "good"},
			{act: "nothing", kind: worker.KindCrash, says: "exit status 0"},
			{act: "words", kind: worker.KindCrash, says: "exit status 3"},
			{act: "garbage", kind: worker.KindCrash, says: "no event"},
			{act: "binary", kind: worker.KindCrash, says: "no event"},
			{act: "endless line", kind: worker.KindCrash, says: "line of more"},
			{act: "endless events", kind: worker.KindCrash, says: "progress of"},
			{act: "endless words", kind: worker.KindCrash, says: "exit status 3"},
			{act: "half a line", kind: worker.KindCrash, says: "exit status 0"},
			{act: "two parts", kind: worker.KindCrash, says: "2 parts"},
			{act: "unknown part", kind: worker.KindCrash, says: "no event"},
			{act: "deep", kind: worker.KindCrash, says: "no event"},
			{act: "another job's", kind: worker.KindCrash, says: "another job"},
			{act: "claims files", outputs: []worker.Output{{Name: "t", From: "a", Format: "csv"}}},
			{act: "other files", kind: worker.KindCrash, says: "belongs to no output"},
			{act: "odd failure", kind: worker.KindCrash, says: "mmm"},
			{act: "segfault", kind: worker.KindCrash, says: "exit status 2"},
			{act: "exit after a result", kind: worker.KindCrash, says: "exit status 7"},
			{act: "fails and stays", kind: worker.KindTime, says: "longer than"},
			{act: "stays", kind: worker.KindTime, says: "longer than"},
			{act: "disk", kind: worker.KindDisk, says: "limit of"},
			{act: "many files", kind: worker.KindDisk, says: "limit of"},
			{act: "memory", kind: worker.KindMemory, says: "limit"},
		} {
			t.Run(string(level)+"/"+tt.act, func(t *testing.T) {
				folder := files(t, nil)
				lim := worker.Limits{MemoryBytes: 192 << 20, Threads: 1, ScratchBytes: 16 << 20, Timeout: 30 * time.Second}
				if strings.Contains(tt.act, "stays") {
					lim.Timeout = 300 * time.Millisecond
				}
				result, err := r.Run(context.Background(), folder, worker.Job{Variables: map[string]any{"act": tt.act}, Outputs: tt.outputs}, lim, nil)
				var f *worker.Failure
				switch {
				case tt.kind == "" && err != nil:
					t.Fatal(err)
				case tt.kind == "":
					for _, o := range result.Outputs {
						if len(o.Files) != 1 || o.Files[0].Path != "out/t/data.csv" || o.Files[0].Bytes != 2 || o.Bytes != 2 {
							t.Errorf("its claims count: %s", show(o))
						}
					}
					return
				case !errors.As(err, &f):
					t.Fatalf("%v, %v", result, err)
				}
				if f.Kind != tt.kind || !strings.Contains(f.Message, tt.says) {
					t.Errorf("%s: %.300s (%.300s)", f.Kind, f.Message, f.LastWords)
				}
				if len(f.Message)+len(f.LastWords)+len(f.Name) > 20_000 || strings.ContainsRune(f.Message+f.LastWords, 0x1b) || f.Line < 0 {
					t.Errorf("a failure of %d bytes: %.100q", len(f.Message)+len(f.LastWords), f.Message)
				}
				if tt.act == "words" && !strings.Contains(f.LastWords, "my last words") {
					t.Errorf("last words: %q", f.LastWords)
				}
				if used, err := du(folder); err != nil || used > 8*lim.ScratchBytes {
					t.Errorf("%d bytes of %d on the disk, %v", used, lim.ScratchBytes, err)
				}
			})
		}
	}
}

func du(folder string) (n int64, err error) {
	err = filepath.Walk(folder, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return err
	})
	return n, err
}

// A worker that is killed from outside is a failed step.
func TestAKilledWorker(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := worker.New(worker.Options{Program: program, Level: sandbox.Reduced})
	if err := r.Available(t.Context()); err != nil {
		t.Skip(err)
	}
	go func() {
		for range 500 {
			for _, pid := range children(program) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				return
			}
			<-time.After(10 * time.Millisecond)
		}
	}()
	_, err = r.Run(t.Context(), files(t, nil), worker.Job{Variables: map[string]any{"act": "stays"}}, limits(), nil)
	var f *worker.Failure
	if !errors.As(err, &f) || f.Kind != worker.KindCrash || !strings.Contains(f.Message, "signal: killed") {
		t.Errorf("%v", err)
	}
}

// children are processes of ours that run a program as attached workers.
func children(program string) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if string(line) == program+"\x00"+worker.Attached+"\x00" {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestCancellation(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := worker.New(worker.Options{Program: program})
	if err := r.Available(t.Context()); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(300*time.Millisecond, func() { cancel(errors.New("by somebody")) })
	begin := time.Now()
	_, err = r.Run(ctx, files(t, nil), worker.Job{Variables: map[string]any{"act": "stays"}}, limits(), nil)
	var f *worker.Failure
	if !errors.As(err, &f) || f.Kind != worker.KindCancelled || !strings.Contains(f.Message, "by somebody") || f.LastWords != "I stay" {
		t.Errorf("%v", err)
	}
	if took := time.Since(begin); took > 1300*time.Millisecond {
		t.Errorf("it took %s", took)
	}
}

// TestNoWorker: what is missing is said with the remedy.
func TestNoWorker(t *testing.T) {
	for _, program := range []string{"", "/nowhere/caos-worker"} {
		r := worker.New(worker.Options{Program: program})
		if err := r.Available(t.Context()); err == nil || !strings.Contains(err.Error(), "no program caos-worker") {
			t.Errorf("%q: %v", program, err)
		}
		_, err := r.Run(t.Context(), files(t, nil), worker.Job{}, limits(), nil)
		var f *worker.Failure
		if !errors.As(err, &f) || f.Kind != worker.KindUnavailable {
			t.Errorf("%q: %v", program, err)
		}
	}
}
