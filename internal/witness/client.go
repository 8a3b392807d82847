package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"caos"
	"caos/internal/verify"
)

// noteKey is a checkpoint key of a trust file as verifier key of signed notes.
func noteKey(origin string, k *verify.TrustKey) (string, error) {
	pub, err := k.Public()
	if err != nil {
		return "", err
	}
	ed, ok := pub.(ed25519.PublicKey)
	if !ok {
		return "", caos.Errorf(caos.Invalid, "%s is not an Ed25519 key", k.ID).WithField("trust")
	}
	vkey, err := note.NewEd25519VerifierKey(origin, ed)
	if err != nil {
		return "", caos.Wrap(caos.Invalid, err, "the origin cannot be a key's name").WithField("trust")
	}
	return vkey, nil
}

// Client asks one witness.
type Client struct {
	URL  string // submission prefix
	Key  *verify.WitnessKey
	HTTP *http.Client
}

// Cosigned is what a witness answered.
type Cosigned struct {
	Line []byte    // the signature line, with its newline
	At   time.Time // when it was cosigned, by the clock of the witness
}

// Behind is the error of a request whose old size is not that of the last checkpoint that the
// witness cosigned.
type Behind struct{ Size int64 }

// Error says so.
func (b *Behind) Error() string {
	return fmt.Sprintf("the witness has cosigned a checkpoint of %d leaves", b.Size)
}

// Rules of refusals by a witness.
const (
	RuleInconsistent = "witness-inconsistent" // it holds another tree than the proof begins at
	RuleUnknownLog   = "witness-unknown-log"
	RuleUntrusted    = "witness-untrusted-key"
	RuleAnswer       = "witness-answer" // its answer is not one that it may give
)

// Add asks for a cosignature of a checkpoint. What comes back was checked against the key of
// the witness.
//
// Errors: *Behind; Conflict with RuleInconsistent; Invalid with one of the other rules;
// Unavailable.
func (c *Client) Add(ctx context.Context, r Request) (*Cosigned, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+"/add-checkpoint", bytes.NewReader(r.Format()))
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "the address of the witness cannot be asked").WithField("url")
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := c.HTTP.Do(req)
	if err != nil {
		var e *caos.Error
		if errors.As(err, &e) {
			return nil, e
		}
		return nil, caos.Wrap(caos.Unavailable, err, "the witness cannot be reached")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the answer of the witness broke off")
	}
	if len(body) > maxAnswer {
		return nil, answered("has more than %d bytes", maxAnswer)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return c.cosigned(r.Checkpoint, body)
	case http.StatusConflict:
		text, ok := strings.CutSuffix(string(body), "\n")
		size, valid := decimal(text)
		if !ok || !valid || size == r.Old {
			return nil, answered("names no other size than the one that was sent")
		}
		return nil, &Behind{Size: size}
	}
	return nil, refusedBy(resp.StatusCode, firstLine(body))
}

func answered(format string, args ...any) error {
	return caos.Errorf(caos.Invalid, "the answer of the witness %s", fmt.Sprintf(format, args...)).WithRule(RuleAnswer).
		WithHint("ask who runs it whether it speaks c2sp.org/tlog-witness")
}

// refusedBy puts an answer other than 200 and 409 into words.
func refusedBy(status int, said string) error {
	switch status {
	case http.StatusNotFound:
		return caos.Errorf(caos.Invalid, "the witness does not know the log, or the address is not its submission prefix").WithRule(RuleUnknownLog).
			WithHint("give its operator the origin and the key of the log: caos audit trust has both")
	case http.StatusForbidden:
		return caos.Errorf(caos.Invalid, "the witness knows the log, but not the key that signed the checkpoint").WithRule(RuleUntrusted).
			WithHint("give its operator the present trust file: caos audit trust")
	case http.StatusUnprocessableEntity:
		return caos.Errorf(caos.Conflict, "the witness has cosigned another history of the log: %s", said).WithRule(RuleInconsistent)
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return caos.Errorf(caos.Unavailable, "the witness is busy")
	}
	if status >= 500 {
		return caos.Errorf(caos.Unavailable, "the witness answers %d", status)
	}
	return answered("is %d: %s", status, said)
}

func firstLine(body []byte) string {
	line, _, _ := strings.Cut(string(body), "\n")
	if len(line) > 200 {
		line = line[:200]
	}
	return strings.ToValidUTF8(strings.ReplaceAll(line, "\x00", ""), "�")
}

// cosigned finds the cosignature of our witness in an answer; others that it may have are
// ignored.
func (c *Client) cosigned(checkpoint, lines []byte) (*Cosigned, error) {
	split := bytes.LastIndex(checkpoint, []byte("\n\n"))
	if split < 0 {
		return nil, caos.Errorf(caos.Invalid, "the checkpoint is not a signed note")
	}
	if len(lines) == 0 || bytes.Contains(lines, []byte("\n\n")) || lines[0] == '\n' {
		return nil, answered("is not a list of signatures")
	}
	n, err := note.Open(append(bytes.Clone(checkpoint[:split+2]), lines...), note.VerifierList(c.Key))
	if err != nil {
		return nil, answered("has no cosignature by %s of this checkpoint: %v", c.Key.Name(), err)
	}
	sig := n.Sigs[0]
	at, err := timeOf(sig)
	if err != nil {
		return nil, answered("has a cosignature in a spelling of its own")
	}
	return &Cosigned{Line: []byte("— " + sig.Name + " " + sig.Base64 + "\n"), At: at}, nil
}
