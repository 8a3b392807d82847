// Package faults kills, stops and misleads real processes under load and then asks whether
// everything that was acknowledged happened, and happened once.
package faults

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"caos/internal/sign"
)

// cluster is a set of nodes on one database.
type cluster struct {
	program string
	dir     string
	url     string // database
	doubt   float64
	freeze  bool   // the nodes have the hooks of freezes
	review  bool   // and those of reviews
	worker  string // program, if the nodes have the hooks of data
	share   bool   // they share one scratch folder
	chain   bool   // the nodes have the hook of the chain
	nodes   []*process
	logf    func(string, ...any)
}

// process is the place of one node, with whatever process has it now.
type process struct {
	c      *cluster
	number int
	addr   string

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	stderr *bytes.Buffer
	offset time.Duration // of its clock
	kills  int
	starts int
	pids   []int // of all its lives
	ended  int   // by itself: because its place was given away
}

// newCluster makes keys and addresses; nothing runs yet.
func newCluster(program, dir, url string, nodes int) (*cluster, error) {
	c := &cluster{program: program, dir: dir, url: url, logf: func(string, ...any) {}}
	keys, err := sign.OpenKeys(filepath.Join(dir, "keys"))
	if err != nil {
		return nil, err
	}
	_, err = keys.Create(context.Background(), sign.Checkpoint, time.Now())
	if err := errors.Join(err, keys.Close()); err != nil {
		return nil, err
	}
	for i := range nodes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, &process{c: c, number: i, addr: l.Addr().String()})
		l.Close()
	}
	return c, nil
}

// start starts a node and waits until it serves. A node that ends before, because a place
// in the database is not free yet, is started again until ctx ends.
func (p *process) start(ctx context.Context) error {
	for {
		ready, err := p.launch()
		if err != nil {
			return err
		}
		select {
		case ok := <-ready:
			if ok {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("node %d does not come to serve: %s", p.number, p.stacks())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("node %d does not start: %s", p.number, p.output())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// launch starts a process; ready says whether it came to serve or ended before.
func (p *process) launch() (ready <-chan bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := exec.Command(p.c.program, "-url", p.c.url, "-dir", p.c.dir, "-listen", p.addr,
		"-outside", filepath.Join(p.c.dir, fmt.Sprintf("outside-%d", p.number)),
		"-doubt", strconv.FormatFloat(p.c.doubt, 'g', -1, 64), "-offset", p.offset.String(),
		"-freeze="+strconv.FormatBool(p.c.freeze), "-review="+strconv.FormatBool(p.c.review),
		"-pipe="+strconv.FormatBool(p.c.worker != ""), "-worker", p.c.worker, "-share="+strconv.FormatBool(p.c.share),
		"-chain="+strconv.FormatBool(p.c.chain))
	p.stderr = &bytes.Buffer{}
	cmd.Stderr = p.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.starts++
	p.pids = append(p.pids, cmd.Process.Pid)
	exited := make(chan struct{})
	p.cmd, p.exited = cmd, exited
	said := make(chan bool, 1)
	go func() {
		line, err := bufio.NewReader(out).ReadString('\n')
		said <- err == nil && strings.TrimSpace(line) == "ready"
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		close(exited)
	}()
	return said, nil
}

// signal sends a signal to the process of the node.
func (p *process) signal(s os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return errors.New("the node does not run")
	}
	return p.cmd.Process.Signal(s)
}

// kill ends the node at once and waits until it is gone. It reports whether there was a
// process to kill.
func (p *process) kill() bool {
	if p.signal(syscall.SIGKILL) != nil {
		return false
	}
	<-p.exited
	p.mu.Lock()
	p.kills++
	p.mu.Unlock()
	return true
}

// nap stops the node for longer than the others wait for it, looks around, and wakes it up.
func (p *process) nap(ctx context.Context, look func() error) error {
	err := p.signal(syscall.SIGSTOP)
	if err == nil {
		err = look()
	}
	if err != nil {
		return err
	}
	pause(ctx, 9*time.Second)
	if err := p.signal(syscall.SIGCONT); err != nil {
		return err
	}
	pause(ctx, 3*time.Second)
	if p.alive() {
		return nil
	}
	p.ended++ // it heard that its place was given away
	return p.start(ctx)
}

// alive reports whether the process runs.
func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// stacks ends a node that stands still and returns what it said and where its goroutines
// were.
func (p *process) stacks() string {
	if p.signal(syscall.SIGQUIT) != nil {
		return p.output()
	}
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		_ = p.signal(syscall.SIGKILL)
		<-p.exited
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.stderr.Bytes()
	return string(b[max(0, len(b)-1500):])
}

// stop ends all nodes in the ordinary way. A node that does not is killed, and named.
func (c *cluster) stop() error {
	var errs error
	for _, p := range c.nodes {
		if p.cmd == nil || !p.alive() {
			continue
		}
		_ = p.signal(syscall.SIGCONT)
		_ = p.signal(syscall.SIGTERM)
		select {
		case <-p.exited:
			if !p.cmd.ProcessState.Success() {
				errs = errors.Join(errs, fmt.Errorf("node %d did not stop cleanly: %s", p.number, p.output()))
			}
		case <-time.After(30 * time.Second):
			errs = errors.Join(errs, fmt.Errorf("node %d did not stop: %s", p.number, p.stacks()))
		}
	}
	return errs
}

// destroy ends whatever still runs.
func (c *cluster) destroy() {
	for _, p := range c.nodes {
		if p.cmd != nil && p.alive() {
			_ = p.signal(syscall.SIGKILL)
			<-p.exited
		}
	}
}

func (c *cluster) startAll(ctx context.Context) error {
	for _, p := range c.nodes {
		if err := p.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// reply is what a node answered.
type reply struct {
	status int
	body   []byte
}

// client talks to the nodes.
type client struct {
	c    *cluster
	http *http.Client
}

func (c *cluster) client() *client {
	return &client{c: c, http: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4, DisableCompression: true}}}
}

// ask sends one request to one of the nodes; an error means that nobody knows what became
// of it.
func (k *client) ask(method, path, key string) (reply, error) {
	return k.askNode(rand.IntN(len(k.c.nodes)), method, path, key)
}

func (k *client) askNode(n int, method, path, key string) (reply, error) {
	return k.send(n, method, path, message{key: key})
}

// message is what goes with a request besides its path.
type message struct {
	key  string // of idempotency, "" for none
	body []byte
}

func (k *client) send(n int, method, path string, m message) (reply, error) {
	req, err := http.NewRequest(method, "http://"+k.c.nodes[n].addr+path, bytes.NewReader(m.body))
	if err != nil {
		return reply{}, err
	}
	if m.key != "" {
		req.Header.Set("Idempotency-Key", m.key)
	}
	resp, err := k.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, body}, err
}

// buildNode builds the node, with source files replaced by overlay if that is not nil.
func buildNode(dir string, overlay string) (string, error) {
	program := filepath.Join(dir, "node")
	args := []string{"build", "-o", program}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	// Its words go to a file: a pipe would be waited for as long as any process that the
	// compiler started has it open.
	said, err := os.Create(filepath.Join(dir, "build.txt"))
	if err != nil {
		return "", err
	}
	defer said.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append(args, "caos/bench/faults/node")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Run(); err != nil {
		out, _ := os.ReadFile(said.Name())
		return "", fmt.Errorf("build the node: %w: %s", err, out)
	}
	return program, nil
}
