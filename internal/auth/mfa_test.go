package auth

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// try sends one of the cast with a code.
func (e *env) try(user, code string) (caos.Principal, error) {
	return e.Authenticate(context.Background(), e.cast[user].Token.Value, "totp "+code, []byte{1})
}

func (e *env) codeAt(user string, at time.Time) string {
	e.t.Helper()
	c, err := totp.GenerateCode(e.cast[user].TOTP.Secret, at)
	ok(e.t, err)
	return c
}

func TestCodeCountsOnce(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		code := e.code("root")
		p, err := e.try("root", code)
		if err != nil || p.MFA != "totp" {
			t.Fatal(p, err)
		}
		_, err = e.try("root", code)
		want(t, err, caos.Unauthenticated)
		_, err = sameInstallation(t, e).try("root", code)
		want(t, err, caos.Unauthenticated)
		// The factor belongs to that request: the next one of the same token has none.
		if e.as("root").MFA != "" {
			t.Error("the second factor stuck to the token")
		}
		// An earlier step does not count after a later one.
		_, err = e.try("root", e.codeAt("root", e.clock.now().Add(-30*time.Second)))
		want(t, err, caos.Unauthenticated)
		// Nor does a code after the clock was set back.
		e.clock.move(-time.Hour)
		_, err = e.try("root", e.code("root"))
		want(t, err, caos.Unauthenticated)
		if got := e.log.events(); got[len(got)-1] != "second-factor-refused" {
			t.Errorf("events %v", got)
		}
		e.noNames()
	})
}

func TestCodeWindow(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		for i, shift := range []time.Duration{-60, -30, 0, 30, 60} {
			_, err := e.try("root", e.codeAt("root", e.clock.now().Add(shift*time.Second)))
			if good := i >= 1 && i <= 3; (err == nil) != good {
				t.Errorf("%ds: %v", shift, err)
			}
		}
	})
}

// Of many requests with one code, on two nodes and two connections, one counts.
func TestCodeCountsOnceConcurrently(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		url := dbtest.URL(t, dialect)
		a := start(t, open(t, url))
		b := sameInstallation(t, a)
		if dialect == db.PostgreSQL {
			b.o.DB = open(t, url)
		}
		code := a.code("root")
		var good atomic.Int32
		var wg sync.WaitGroup
		for i := range 32 {
			n := a
			if i%2 == 1 {
				n = b
			}
			wg.Go(func() {
				if _, err := n.try("root", code); err == nil {
					good.Add(1)
				}
			})
		}
		wg.Wait()
		if good.Load() != 1 {
			t.Errorf("the code counted %d times", good.Load())
		}
	})
}

// Guessing in parallel gains nothing: attempts are counted before they are checked.
func TestGuessingIsSlow(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		right := e.code("root")
		wrong := "000000"
		if right == wrong {
			wrong = "000001"
		}
		var limited, refused atomic.Int32
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				switch _, err := e.try("root", wrong); caos.KindOf(err) {
				case caos.Limited:
					limited.Add(1)
				case caos.Unauthenticated:
					refused.Add(1)
				default:
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if refused.Load() != freeAttempts || limited.Load() != 40-freeAttempts {
			t.Errorf("%d were checked, %d were not", refused.Load(), limited.Load())
		}
		// Not even the right code counts while waiting; then it does.
		_, err := e.try("root", right)
		want(t, err, caos.Limited)
		e.clock.move(firstWait - time.Second)
		_, err = e.try("root", e.code("root"))
		want(t, err, caos.Limited)
		e.clock.move(time.Second)
		_, err = e.try("root", wrong)
		want(t, err, caos.Unauthenticated)
		e.clock.move(firstWait) // the wait has doubled
		_, err = e.try("root", e.code("root"))
		want(t, err, caos.Limited)
		// A clock set back does not lock anyone out for longer than the longest wait.
		e.clock.move(-24 * time.Hour)
		_, err = e.try("root", e.code("root"))
		want(t, err, caos.Limited)
		e.clock.move(longestWait)
		_, err = e.try("root", e.code("root"))
		ok(t, err)
		_, err = e.try("root", wrong)
		want(t, err, caos.Unauthenticated) // the count began anew
	})
}

func TestMalformedFactor(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		for _, h := range []string{"123456", "totp", "totp ", "totp 12345", "totp 1234567", "TOTP 123456", "totp  123456", "totp 12345a", "sms 123456", strings.Repeat("1", 1<<16)} {
			_, err := e.Authenticate(context.Background(), e.cast["root"].Token.Value, h, nil)
			want(t, err, caos.Unauthenticated)
		}
		_, err := e.Authenticate(context.Background(), e.cast["robot"].Token.Value, "totp 123456", nil)
		want(t, err, caos.Unauthenticated)
		if _, err := e.try("root", e.code("root")); err != nil {
			t.Errorf("malformed headers used up attempts: %v", err)
		}
	})
}

func TestEnrolReplaceReset(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		e.join(e.CreateUser(ctx, e.strong("root"), NewUser{ID: "new", Name: "New Name", Roles: []string{"qa-lead"}, Token: &NewToken{}}))
		p := e.as("new")
		_, err := e.try("new", "123456")
		want(t, err, caos.Unauthenticated)
		want(t, e.ConfirmTOTP(ctx, p, "123456"), caos.Conflict)
		want(t, e.ConfirmTOTP(ctx, p, "12345x"), caos.Invalid)

		secret, err := e.EnrolTOTP(ctx, p)
		ok(t, err)
		if !strings.HasPrefix(secret.URI, "otpauth://totp/") || len(secret.Secret) != 32 {
			t.Errorf("%+v", secret)
		}
		c := e.cast["new"]
		c.TOTP = &secret
		e.cast["new"] = c
		_, err = e.try("new", e.code("new"))
		want(t, err, caos.Unauthenticated) // not confirmed yet
		want(t, e.ConfirmTOTP(ctx, p, "000000"), caos.Unauthenticated)
		ok(t, e.ConfirmTOTP(ctx, p, e.code("new")))
		_, err = e.try("new", e.code("new"))
		want(t, err, caos.Unauthenticated) // the confirmation used it
		strong := e.strong("new")

		// Replacing it needs it; the old one stays until the new one is confirmed.
		_, err = e.EnrolTOTP(ctx, p)
		want(t, err, caos.StepUp)
		next, err := e.EnrolTOTP(ctx, strong)
		ok(t, err)
		e.strong("new")
		e.clock.move(30 * time.Second)
		code, err := totp.GenerateCode(next.Secret, e.clock.now())
		ok(t, err)
		ok(t, e.ConfirmTOTP(ctx, p, code))
		e.clock.move(30 * time.Second)
		_, err = e.try("new", e.code("new"))
		want(t, err, caos.Unauthenticated)
		c.TOTP = &next
		e.cast["new"] = c
		e.strong("new")

		// Reset is for administrators, with their own second factor.
		want(t, e.ResetTOTP(ctx, e.as("root"), "new"), caos.StepUp)
		want(t, e.ResetTOTP(ctx, e.strong("qa"), "new"), caos.Denied)
		ok(t, e.ResetTOTP(ctx, e.strong("root"), "new"))
		want(t, e.ResetTOTP(ctx, e.strong("root"), "new"), caos.NotFound)
		_, err = e.try("new", e.code("new"))
		want(t, err, caos.Unauthenticated)
		_, err = e.EnrolTOTP(ctx, p)
		ok(t, err)
		// A program has none.
		_, err = e.EnrolTOTP(ctx, e.as("robot"))
		want(t, err, caos.Denied)
		e.noNames()
	})
}

func TestSealer(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenFileSealer(dir)
	ok(t, err)
	sealed, err := s.Seal("totp:a", []byte("secret"))
	ok(t, err)
	again, err := OpenFileSealer(dir)
	ok(t, err)
	if got, err := again.Open("totp:a", sealed); err != nil || string(got) != "secret" {
		t.Errorf("%q %v", got, err)
	}
	if _, err := s.Open("totp:b", sealed); err == nil {
		t.Error("a secret opened in another's row")
	}
	for i := range sealed {
		bad := append([]byte{}, sealed...)
		bad[i] ^= 1
		if _, err := s.Open("totp:a", bad); err == nil {
			t.Errorf("opened with byte %d changed", i)
		}
		if _, err := s.Open("totp:a", sealed[:i]); err == nil {
			t.Errorf("opened with %d bytes", i)
		}
	}
	file := filepath.Join(dir, sealFile)
	ok(t, os.Chmod(file, 0o644))
	if _, err := OpenFileSealer(dir); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
	ok(t, os.WriteFile(file, []byte("abc"), 0o600))
	ok(t, os.Chmod(file, 0o600))
	if _, err := OpenFileSealer(dir); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Errorf("half a key: %v", err)
	}
	// Processes that start together agree on one key.
	dir = t.TempDir()
	var wg sync.WaitGroup
	keys := make([]*FileSealer, 8)
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], err = OpenFileSealer(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range keys[1:] {
		if k.id != keys[0].id {
			t.Error("two keys were made")
		}
	}
}

func TestStepOfRFC6238(t *testing.T) {
	// RFC 6238, appendix B, SHA-1, the last six digits; the secret is its 20 ASCII bytes.
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	for unix, code := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if n, good := step(secret, code, time.Unix(unix, 0), 0); !good || n != unix/30 {
			t.Errorf("%d: step %d %v", unix, n, good)
		}
		if _, good := step(secret, code, time.Unix(unix, 0), unix/30); good {
			t.Errorf("%d: counts twice", unix)
		}
	}
}
