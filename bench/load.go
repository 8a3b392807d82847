package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// load says what the load generator does: clients that send a report, wait for its answer
// and send the next, over one TLS connection each.
type load struct {
	URL, CA, Token string
	Clients        int
	Seconds, Warm  float64
	Run            int
}

// loaded is what it found. Latencies are in milliseconds, of the requests after the
// warm-up; Answered counts those of the warm-up too.
type loaded struct {
	Answered           int64
	Rate               float64
	P50, P90, P99, Max float64
	CPU                float64 // seconds of processor time that the generator used
}

// generate runs the generator as a process of its own.
func generate(ctx context.Context, l load) (*loaded, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	in, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "child", "load")
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("load generator: %w: %s", err, tail(stderr.Bytes()))
	}
	out := new(loaded)
	err = json.Unmarshal(text, out)
	out.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return out, err
}

func generateHere() error {
	var l load
	if err := json.NewDecoder(os.Stdin).Decode(&l); err != nil {
		return err
	}
	pem, err := os.ReadFile(l.CA)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return errors.New("no certificate in " + l.CA)
	}
	u, err := url.Parse(l.URL)
	if err != nil {
		return err
	}
	var clients []*sender
	for i := range l.Clients {
		conn, err := tls.Dial("tcp", u.Host, &tls.Config{RootCAs: pool, ServerName: u.Hostname(), MinVersion: tls.VersionTLS13})
		if err != nil {
			return err
		}
		defer conn.Close()
		clients = append(clients, &sender{conn: conn, in: bufio.NewReader(conn), host: u.Host, token: l.Token, name: fmt.Sprintf("%d-%d-%d", os.Getpid(), l.Run, i)})
	}
	start := time.Now()
	begin := start.Add(time.Duration(l.Warm * float64(time.Second)))
	end := begin.Add(time.Duration(l.Seconds * float64(time.Second)))
	errs := make([]error, len(clients))
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() { errs[i] = c.run(begin, end) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var out loaded
	var all []time.Duration
	for _, c := range clients {
		out.Answered += c.answered
		all = append(all, c.took...)
	}
	if len(all) == 0 {
		return errors.New("nothing was answered")
	}
	slices.Sort(all)
	at := func(q float64) float64 { return all[int(q*float64(len(all)-1))].Seconds() * 1e3 }
	out.Rate = float64(len(all)) / time.Since(begin).Seconds()
	out.P50, out.P90, out.P99, out.Max = at(.5), at(.9), at(.99), at(1)
	return json.NewEncoder(os.Stdout).Encode(out)
}

// sender is one connection. It writes its requests by itself, because a generator that
// costs as much as the server would measure itself.
type sender struct {
	conn     *tls.Conn
	in       *bufio.Reader
	host     string
	token    string
	name     string
	answered int64
	took     []time.Duration
	buf      bytes.Buffer
}

func (c *sender) run(begin, end time.Time) error {
	for {
		now := time.Now()
		if now.After(end) {
			return nil
		}
		if err := c.report(now); err != nil {
			return err
		}
		c.answered++
		if now.After(begin) {
			c.took = append(c.took, time.Since(now))
		}
	}
}

func (c *sender) report(now time.Time) error {
	body := fmt.Sprintf(`{"action_type":"CONFIG_CHANGE","actor_id":%q,"timestamp":%q,"affected_resources":[%q],"action_details":{"parameter":"alert_threshold","from":0.92,"to":0.94,"client":%q,"number":%d,"reason":"weekly review of the thresholds of the monitoring windows"}}`,
		reporter, now.UTC().Format(time.RFC3339Nano), reporter, c.name, c.answered)
	c.buf.Reset()
	fmt.Fprintf(&c.buf, "POST /v1/hooks/%s/executions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nIdempotency-Key: %s-%d\r\nContent-Length: %d\r\n\r\n%s",
		reportHook, c.host, c.token, c.name, c.answered, len(body), body)
	if _, err := c.conn.Write(c.buf.Bytes()); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	c.buf.Reset()
	if _, err := io.Copy(&c.buf, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !bytes.Contains(c.buf.Bytes(), []byte(`"status":"SUCCEEDED"`)) {
		return fmt.Errorf("%s: %s", resp.Status, tail(c.buf.Bytes()))
	}
	return nil
}
