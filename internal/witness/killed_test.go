package witness

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"caos/internal/verify"
)

// The environment of a witness in a process of its own: its folder, and its log's key.
const (
	childFolder = "CAOS_TEST_WITNESS"
	childKey    = "CAOS_TEST_WITNESS_LOG"
)

// serveChild is such a witness. It prints its address, and serves until it is killed.
func serveChild(dir, vkey string) error {
	f, err := Open(dir)
	if err != nil {
		return err
	}
	s, err := NewServer(f, []Log{{Origin: origin, Keys: []string{vkey}}}, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	return http.Serve(ln, s) //nolint:gosec // of a test
}

// handedOut is every cosigned tree that somebody got to see.
type handedOut struct {
	mu    sync.Mutex
	roots map[int64]tlog.Hash
	most  int64
	split string // two roots of one size
}

func (h *handedOut) add(c verify.Checkpoint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if was, there := h.roots[c.Size]; there && was != c.Root {
		h.split = fmt.Sprintf("%d leaves: %s and %s", c.Size, was, c.Root)
	}
	h.roots[c.Size] = c.Root
	h.most = max(h.most, c.Size)
}

// A witness that is killed a hundred times while it answers, beside a log that shows two
// histories to everybody at once, has in the end cosigned one of them only, and never begins
// behind what it handed out.
func TestKilledWhileItAnswers(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	dir := t.TempDir()
	key, err := Create(dir, "witness.example/w1")
	if err != nil {
		t.Fatal(err)
	}
	honest := newTree(t, origin)
	forged := &tree{t: t, signer: honest.signer, vkey: honest.vkey}
	honest.grow("a", 4000)
	forged.grow("a", 20)
	forged.grow("b", 4000)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := &handedOut{roots: map[int64]tlog.Hash{}}
	for round := range rounds {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childFolder+"="+dir, childKey+"="+honest.vkey)
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			_ = cmd.Process.Kill()
			t.Fatalf("round %d: it does not start again: %v", round, err)
		}
		url := "http://" + strings.TrimSpace(line)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		before := out.most
		code, body := ask(client, url, honest.request(0, 1))
		if size, err := strconv.ParseInt(strings.TrimSpace(body), 10, 64); code == http.StatusConflict && (err != nil || size < before) || code == http.StatusOK && before > 1 {
			t.Errorf("round %d: %d leaves were cosigned, and it begins at %q (%d)", round, before, body, code)
		}
		timer := time.AfterFunc(time.Duration(1+rand.IntN(40))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		var all sync.WaitGroup
		for i := range 4 {
			l := []*tree{honest, forged}[i%2]
			all.Go(func() { insist(client, url, l, key.String(), out) })
		}
		all.Wait()
		timer.Stop()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if out.split != "" {
		t.Fatalf("two histories were cosigned: %s", out.split)
	}
	ours, theirs := 0, 0
	for size, root := range out.roots {
		switch {
		case size <= 20:
		case root == honest.root(size):
			ours++
		case root == forged.root(size):
			theirs++
		default:
			t.Errorf("a tree of %d leaves that nobody had", size)
		}
	}
	if ours > 0 && theirs > 0 || ours+theirs == 0 {
		t.Errorf("%d trees of one history and %d of the other", ours, theirs)
	}
	t.Logf("%d trees up to %d leaves were handed out in %d lives", len(out.roots), out.most, rounds)
}

// insist asks for a cosignature of a growing tree until nobody answers.
func insist(client *http.Client, url string, l *tree, key string, out *handedOut) {
	var old int64
	v, err := verify.ParseWitnessKey(key)
	if err != nil {
		panic(err)
	}
	for {
		size := min(old+1+rand.Int64N(3), 4000)
		if old < 20 {
			size = min(size, 21)
		}
		request := l.request(old, size)
		code, body := ask(client, url, request)
		switch code {
		case 0:
			return
		case http.StatusOK:
			signed := append(l.checkpoint(size), body...)
			if n, err := note.Open(signed, note.VerifierList(v)); err == nil {
				c, err := verify.ParseCheckpoint([]byte(n.Text))
				if err != nil {
					panic(err)
				}
				out.add(c)
			}
			old = size
		case http.StatusConflict:
			if old, err = strconv.ParseInt(strings.TrimSpace(body), 10, 64); err != nil {
				return // cut off
			}
		case http.StatusUnprocessableEntity: // the other history was faster: still it insists
		default:
			return
		}
	}
}

// ask posts a request; code is 0 when nothing complete came.
func ask(client *http.Client, url string, body []byte) (code int, answer string) {
	resp, err := client.Post(url+"/add-checkpoint", "text/plain", bytes.NewReader(body))
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(text)
}
