package httpapi

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// browser is a headless Chromium that the test steers through pipes, by the protocol of its
// developer tools.
type browser struct {
	t       testing.TB
	in      io.Writer
	answers chan browserAnswer
	last    int
	session string // of the one page
}

type browserAnswer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

// newBrowser starts Chromium with one page. The test is skipped where there is none.
func newBrowser(t testing.TB) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil && program == "" {
			program = path
		}
	}
	if program == "" {
		t.Skip("there is no Chromium here")
	}
	profile, err := os.MkdirTemp("", "caos-browser-")
	if err != nil {
		t.Fatal(err)
	}
	toRead, in := pipe(t)
	out, toWrite := pipe(t)
	cmd := exec.CommandContext(t.Context(), program, "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--remote-debugging-pipe",
		"--no-first-run", "--user-data-dir="+profile, "about:blank")
	cmd.ExtraFiles = []*os.File{toRead, toWrite} // descriptors 3 and 4, as the flag has it
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(os.Environ(), "TMPDIR="+profile)     // it leaves a folder of its own there
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that all of its processes can be ended
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = toRead.Close(), toWrite.Close()
	b := &browser{t: t, in: in, answers: make(chan browserAnswer, 100)}
	go func() {
		defer close(b.answers)
		r := bufio.NewReaderSize(out, 1<<20)
		for {
			text, err := r.ReadBytes(0)
			if err != nil {
				return
			}
			var a browserAnswer
			if json.Unmarshal(text[:len(text)-1], &a) == nil && a.ID != 0 {
				b.answers <- a
			}
		}
	}()
	t.Cleanup(func() {
		_, _ = b.send("", "Browser.close", nil) // if it is gone already, so much the better
		_ = cmd.Wait()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its last processes may still be writing
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range 100 { // until they are gone
			if os.RemoveAll(profile) == nil {
				return
			}
			<-tick.C
		}
	})
	var target struct {
		ID string `json:"targetId"`
	}
	b.ask("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct {
		ID string `json:"sessionId"`
	}
	b.ask("Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &session)
	b.session = session.ID
	return b
}

// widen gives the page a width in CSS pixels; a narrow one is that of a telephone.
func (b *browser) widen(width int) {
	b.t.Helper()
	b.ask("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 844, "deviceScaleFactor": 2, "mobile": width < 600}, nil)
}

func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// send writes a command and returns its number.
func (b *browser) send(session, method string, params any) (int, error) {
	b.last++
	message := map[string]any{"id": b.last, "method": method, "params": params}
	if session != "" {
		message["sessionId"] = session
	}
	if params == nil {
		delete(message, "params")
	}
	text, err := json.Marshal(message)
	if err == nil {
		_, err = b.in.Write(append(text, 0))
	}
	return b.last, err
}

// ask waits for the answer to a command.
func (b *browser) ask(method string, params, into any) {
	b.t.Helper()
	id, err := b.send(b.session, method, params)
	if err != nil {
		b.t.Fatal(err)
	}
	limit := time.After(time.Minute)
	for {
		select {
		case a, open := <-b.answers:
			if !open {
				b.t.Fatalf("%s: the browser is gone", method)
			}
			if a.ID != id {
				continue
			}
			if a.Error != nil {
				b.t.Fatalf("%s: %s", method, a.Error)
			}
			if into != nil {
				if err := json.Unmarshal(a.Result, into); err != nil {
					b.t.Fatalf("%s: %s: %v", method, a.Result, err)
				}
			}
			return
		case <-limit:
			b.t.Fatalf("%s: no answer within a minute", method)
		}
	}
}

// run evaluates JavaScript, awaits what it promises, and decodes its value.
func (b *browser) run(script string, into any) {
	b.t.Helper()
	var a struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception json.RawMessage `json:"exceptionDetails"`
	}
	b.ask("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &a)
	if a.Exception != nil {
		b.t.Fatalf("%s: %s", script, a.Exception)
	}
	if into != nil {
		if err := json.Unmarshal(a.Result.Value, into); err != nil {
			b.t.Fatalf("%s: %s: %v", script, a.Result.Value, err)
		}
	}
}

// open goes to an address and waits until the page is there.
func (b *browser) open(url string) {
	b.t.Helper()
	b.ask("Page.navigate", map[string]any{"url": url}, nil)
	b.run(`new Promise(done => { const look = () => location.href !== "about:blank" && document.readyState === "complete" ? done() : setTimeout(look, 20); look() })`, nil)
}

// paper writes the page as it is printed, as picture does.
func (b *browser) paper(name string) {
	b.t.Helper()
	b.save(name+".pdf", "Page.printToPDF", map[string]any{"preferCSSPageSize": true})
}

// picture writes the whole page as an image, for people to look at, into the folder that
// CAOS_TEST_PICTURES names; nothing without it.
func (b *browser) picture(name string) {
	b.t.Helper()
	b.save(name+".png", "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true})
}

func (b *browser) save(name, method string, params map[string]any) {
	b.t.Helper()
	dir := os.Getenv("CAOS_TEST_PICTURES")
	if dir == "" {
		return
	}
	var a struct {
		Data []byte `json:"data"`
	}
	b.ask(method, params, &a)
	if err := os.WriteFile(filepath.Join(dir, name), a.Data, 0o600); err != nil {
		b.t.Fatal(err)
	}
}
