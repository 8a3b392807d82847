package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"caos"
	"caos/examples/programme"
	"caos/internal/app"
	"caos/internal/auth"
	"caos/internal/baseline"
	"caos/internal/client"
	"caos/internal/dataset"
	"caos/internal/sandbox"
	"caos/internal/verify"
)

// stage is where the demo plays: a folder, a server in a process of its own, and people
// who each have their own way in.
type stage struct {
	e      *environment
	screen *screen
	dir    string // of the demo
	data   string // the installation's data folder
	keep   bool
	result demoResult

	init   *app.InitResult
	trust  verify.Trust
	server *process
	people map[string]*client.Client
	host   *halfway

	signers    map[string]ssh.Signer // of the people who have keys of their own
	baseline   string                // id of the frozen model's baseline
	dpp        string                // id of its passport
	modelPkg   string                // id of the package about it
	modelFile  string                // that package
	vvEvidence string                // id of the item of evidence that the V&V report became
	prr        string                // execution of its review
	reviewID   string
	pkg        string // id of the certification package
	junit      string // id of the JUnit report's evidence
	freeze     string // id of the freeze decision's audit record
	exported   []byte // the package file

	ledger  *ledger // the chain, nil where there is none
	noChain error   // why

	flights   string // file of all flights, "" to look for it
	source    flightSource
	sandbox   sandbox.Level // of the worker
	noWorker  error         // why the worker does not run here, nil if it does
	pipeline  *dataset.Pipeline
	dataRun   string // execution of the pipeline
	published string // file of published checkpoints
	planned   []string
}

// adminPerson is the administrator, who keeps the installation and takes no part in the work.
const adminPerson = "admin"

// personas are the people of the demo: each is named by a role that they hold.
func personas() []string {
	return []string{"certification", "vv-lead", "mlops-engineer", "data-engineer", "configuration-manager", "model-owner", "safety-engineer",
		"chief-engineer", "qa-lead", "release-manager", "prr-board", secondMember, registrar, "auditor"}
}

// open makes the installation.
func (st *stage) open(ctx context.Context) (err error) {
	if st.host, err = newHalfway(programme.Readiness); err != nil {
		return err
	}
	var users []auth.NewUser
	for _, role := range personas() {
		roles := []string{strings.TrimSuffix(role, "-2")}
		if role == "model-owner" {
			roles = append(roles, "prr-board") // a role opens no way around what one had a hand in
		}
		users = append(users, auth.NewUser{ID: role, Name: role + " of the demo", Roles: roles})
	}
	users = append(users, auth.NewUser{ID: automation, Name: "Triggers of the demo", Kind: auth.Service, Roles: []string{"service"}})
	st.init, err = app.Init(ctx, app.InitOptions{DataDir: st.data, Listen: "127.0.0.1:0", Roles: []string{}, Users: users, Config: func(c *app.Config) {
		c.FetchAllow = []string{st.host.addr} // the one private address that may be fetched from
		c.PublishEvery, c.Sandbox = "100ms", string(cmp.Or(st.sandbox, sandbox.Namespaces))
		if st.ledger != nil {
			c.Chain, c.Anchors = st.ledger.config()
		}
		c.FileRoots, c.TargetRoots = []string{filepath.Join(st.dir, "sources")}, []string{filepath.Join(st.dir, "published")}
	}})
	if err != nil {
		return err
	}
	text, err := os.ReadFile(st.init.TrustFile)
	if err != nil {
		return err
	}
	if st.trust, err = verify.ParseTrust(text); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(st.dir, "trust.json"), text, 0o644); err != nil {
		return err
	}
	cfg, err := app.Load(st.data, func(string) string { return "" })
	if err != nil {
		return err
	}
	st.published = cfg.Published
	return st.start("127.0.0.1:0")
}

// start runs caos serve as a child process and waits until it serves.
func (st *stage) start(listen string) (err error) {
	if st.server, err = startServer(st.data, listen, filepath.Join(st.dir, "server.log")); err != nil {
		return err
	}
	if st.people != nil {
		return nil
	}
	st.people = map[string]*client.Client{}
	users := maps.Clone(st.init.Users)
	users[adminPerson] = app.Credentials{Token: st.init.Token, TOTPSecret: st.init.TOTPSecret}
	for name, c := range users {
		codes := &client.Secret{Base32: c.TOTPSecret, Now: time.Now, Waiting: func(d time.Duration) {
			st.screen.note("waiting %.0f s for the next code of %s", d.Seconds(), name)
		}}
		st.people[name], err = client.New(client.Config{URL: st.server.url, Token: c.Token, CAFile: st.init.CAFile, Agent: "caos-demo/" + version, Codes: codes})
		if err != nil {
			return err
		}
	}
	return nil
}

// address is the server's host and port.
func (st *stage) address() string { return strings.TrimPrefix(st.server.url, "https://") }

// clear ends what the demo began. What it made stays if it failed or was asked to.
func (st *stage) clear(failure error) error {
	if st.host != nil {
		st.host.close()
	}
	for _, c := range st.people {
		c.Close()
	}
	keep := st.keep && failure == nil
	if st.server != nil && !keep {
		st.server.kill()
	}
	if st.ledger != nil && !keep {
		st.ledger.stop()
	}
	if failure != nil {
		st.screen.note("what there is to look at lies in %s", st.dir)
		return nil
	}
	if keep {
		return nil
	}
	// The keys of a demo are nobody's business.
	return errors.Join(baseline.RemoveAll(st.data), os.RemoveAll(filepath.Join(st.dir, "copy")), os.RemoveAll(filepath.Join(st.dir, "chain")), remove(st.published), remove(filepath.Join(st.dir, "server.log")))
}

func remove(name string) error {
	if err := os.Remove(name); name != "" && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// process is a running caos serve.
type process struct {
	cmd *exec.Cmd
	url string
	out io.Closer
}

// patience is how long a server may take to begin or to end.
const patience = 30 * time.Second

func startServer(data, listen, logFile string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(self, "serve", "--data", data, "--listen", listen, "--json", "--log-format", "json")
	cmd.Stderr = log
	// Whoever runs the demo may have a server of their own configured; it stays out of this.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CAOS_") })
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	p := &process{cmd: cmd, out: out}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready struct {
		Ready bool   `json:"ready"`
		URL   string `json:"url"`
	}
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil || !ready.Ready {
		p.kill()
		return nil, caos.Wrap(caos.Unavailable, err, "the server did not start").WithHint("its log is %s", logFile)
	}
	p.url = ready.URL
	return p, nil
}

// kill ends a process as a power cut would, and waits until it is gone.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // that it was killed is what was wanted
	}
}

// stop asks a process to end.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the server did not stop cleanly: %w", err)
	}
	return nil
}

// halfway is a host that serves one file, and the first time only half of it: it makes a
// middle for the server to be killed in.
type halfway struct {
	addr, name string
	srv        *http.Server
	half       chan struct{} // closed when half of it was sent
	end        chan struct{}
}

func newHalfway(name string) (*halfway, error) {
	body, err := programme.Files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve a file: %w", err)
	}
	h := &halfway{addr: l.Addr().String(), name: name, half: make(chan struct{}), end: make(chan struct{})}
	first := make(chan struct{}, 1)
	first <- struct{}{}
	h.srv = &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/csv")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		select {
		case <-first:
		default:
			_, _ = w.Write(body)
			return
		}
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		close(h.half)
		select { // for ever, as far as this connection lives
		case <-r.Context().Done():
		case <-h.end:
		}
	})}
	go func() { _ = h.srv.Serve(l) }()
	return h, nil
}

func (h *halfway) url() string { return "http://" + h.addr + "/" + h.name }

func (h *halfway) close() {
	close(h.end)
	_ = h.srv.Close()
}
