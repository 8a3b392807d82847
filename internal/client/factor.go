package client

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"caos"
)

// Codes gives codes of the second factor, each of which counts once.
type Codes interface {
	// Next returns a code. attempt is 1 at first and grows each time the server did not
	// take the code before. An error ends the attempts.
	Next(ctx context.Context, attempt int) (string, error)
}

// maxAttempts is how many codes are tried for one request. The server counts wrong ones and
// makes whoever sends more of them wait.
const maxAttempts = 4 // all that can count now, and one that was waited for

// withFactor sends a request, and again with a code if the server asks for one.
func (c *Client) withFactor(ctx context.Context, send func(mfa string) (*Answer, error)) (*Answer, error) {
	a, err := send("")
	if caos.KindOf(err) != caos.StepUp || c.codes == nil {
		return a, err
	}
	for attempt := 1; ; attempt++ {
		code, failed := c.codes.Next(ctx, attempt)
		if failed != nil {
			return nil, errors.Join(failed, err)
		}
		if a, err = send(code); err == nil || attempt == maxAttempts || !codeRefused(err) {
			return a, err
		}
	}
}

// codeRefused reports whether it was the code that was not taken, and not the request.
func codeRefused(err error) bool {
	e := caos.AsError(err)
	return e.Kind == caos.Unauthenticated && e.Field == "CAOS-MFA"
}

// once is a code that somebody gave.
type once struct{ code string }

// Once returns the one code that was given, and no other.
func Once(code string) Codes { return once{code} }

func (o once) Next(_ context.Context, attempt int) (string, error) {
	if attempt > 1 {
		return "", caos.Errorf(caos.StepUp, "the code was not taken").WithHint("wait for the next code and repeat the command with it; each counts once")
	}
	return o.code, nil
}

const period = 30 // seconds of a code, RFC 6238

// Memory remembers, between programs of one person, which codes were given out. It may
// forget: a code that was used is refused, and the next one is tried.
type Memory interface {
	Last() int64       // the last period whose code was given out, counted since 1970; 0 if none is known
	Remember(at int64) // that the code of a period is given out now
}

// Secret computes codes from a TOTP secret in base32 (RFC 6238 with its defaults). Each
// code counts once, so every call gives that of a later period: the server takes those of
// the period before, this one and the next, and any later one is waited for.
type Secret struct {
	Base32  string
	Now     func() time.Time
	Memory  Memory              // may be nil
	Waiting func(time.Duration) // told before a wait; may be nil

	mu   sync.Mutex
	last int64 // the last period whose code was given out
}

// Check returns an Invalid error for a secret that is none.
func (s *Secret) Check() error {
	if _, err := s.code(1); err != nil {
		return caos.Errorf(caos.Invalid, "the secret of the second factor is not base32").WithField("CAOS_MFA_SECRET").
			WithHint("it is the totp_secret that caos init or caos user totp printed")
	}
	return nil
}

func (s *Secret) code(at int64) (string, error) {
	key := strings.ToUpper(strings.TrimSpace(s.Base32))
	return hotp.GenerateCodeCustom(key, uint64(at), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
}

// Next returns the code of the first period that may count and was not used yet.
func (s *Secret) Next(ctx context.Context, _ int) (string, error) {
	s.mu.Lock()
	if s.Memory != nil {
		s.last = max(s.last, s.Memory.Last())
	}
	at := max(s.Now().Unix()/period-1, s.last+1)
	s.last = at
	if s.Memory != nil {
		s.Memory.Remember(at)
	}
	s.mu.Unlock()
	if early := time.Unix((at-1)*period, 0).Sub(s.Now()); early > 0 {
		if s.Waiting != nil {
			s.Waiting(early)
		}
		if err := pause(ctx, early); err != nil {
			return "", err
		}
	}
	return s.code(at)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
