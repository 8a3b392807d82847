package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/term"

	"caos"
	"caos/internal/auth"
	"caos/internal/client"
	"caos/internal/httpapi"
	"caos/internal/readiness"
	"caos/internal/verify"
)

// What a person decides in their own name is decided in three movements: the server says
// what would be signed, the person sees exactly that, and their key signs it. The program
// trusts the server with none of it: a statement that says anything but what was asked for
// is not shown for signing.

// signing are the flags of what a person decides.
type signing struct {
	key  string
	totp bool
	yes  bool
}

// agentKey is what --key is given for the SSH agent.
const agentKey = "agent"

func (s *signing) bind(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.key, "key", "", "file of the private key that signs, a .pub file whose key the SSH agent has, or \"agent\" (CAOS_KEY); the agent if left out")
	f.BoolVar(&s.totp, "totp", false, "sign nothing: a code of the second factor stands for it, where the policy allows that")
	f.BoolVarP(&s.yes, "yes", "y", false, "do not ask before it is signed and sent")
	c.MarkFlagsMutuallyExclusive("key", "totp")
	_ = c.RegisterFlagCompletionFunc("key", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return []string{agentKey}, cobra.ShellCompDirectiveDefault
	})
}

// act is what a person decides: what was asked for, in the form in which the statement must
// say it.
type act struct {
	title string         // what is about to happen, for people: "Vote CONDITIONAL in PRR-…"
	path  string         // where it is posted
	body  map[string]any // without the proof
	what  []string       // the acts that the statement may name
	says  []string       // what its meaning must contain, word for word
	of    string         // what the digest is of, for people
	about string         // its digest, if that is known from elsewhere; "" to show what the server says
	how   string         // how about was found, such as "compared with report.html"
}

// decided sends what a person decides, and reads what became of it.
func decided[T any](ctx context.Context, e *environment, a act, s signing) (*T, []byte, error) {
	cl, err := e.connect()
	if err != nil {
		return nil, nil, err
	}
	var me httpapi.Me
	if err := cl.Get(ctx, "/v1/me", nil, &me); err != nil {
		return nil, nil, err
	}
	call := posting(a.path, a.body)
	call.Query = query("propose", "true")
	answer, err := cl.Do(ctx, call)
	if err != nil {
		return nil, nil, err
	}
	var p readiness.Proposal
	if err := answer.Decode(&p); err != nil {
		return nil, nil, err
	}
	d, err := checkProposal(p, a, me.Principal.ID, e.now())
	if err != nil {
		return nil, nil, err
	}
	k, err := e.signer(ctx, cl, s)
	if err != nil {
		return nil, nil, err
	}
	k.demanded = p.PersonalKey
	e.proposed(a, d, me, k)
	if err := e.confirm(s.yes, "Is this what you decide?"); err != nil {
		return nil, nil, err
	}
	body := map[string]any{}
	for name, v := range a.body {
		body[name] = v
	}
	if k.sign != nil {
		signature, err := sshSignature(k.public, verify.DecisionNamespace, []byte(p.Statement), k.sign)
		if err != nil {
			return nil, nil, err
		}
		if _, err := verify.VerifySSHSig(signature, []byte(p.Statement), verify.DecisionNamespace); err != nil {
			return nil, nil, caos.Wrap(caos.Unavailable, err, "the key made a signature that does not verify").WithHint("take an ssh-ed25519 or ecdsa key, or a security key of these kinds")
		}
		body["statement"], body["signature"] = p.Statement, string(signature)
	}
	if answer, err = cl.Do(ctx, posting(a.path, body)); err != nil {
		return nil, nil, err
	}
	v := new(T)
	return v, answer.Body, answer.Decode(v)
}

// clockSlack is how far the server's clock may be from ours before a statement is not
// believed to be new.
const clockSlack = 10 * time.Minute

// checkProposal reads the statement that a server would have signed, and refuses one that
// says anything but what was asked for. It is pure.
func checkProposal(p readiness.Proposal, a act, person string, now time.Time) (verify.Decision, error) {
	differs := func(format string, args ...any) *caos.Error {
		return caos.Errorf(caos.Denied, "the server asks you to sign something else: "+format, args...).WithField("statement").WithRule("statement-differs").
			WithHint("nothing was signed; show this to whoever runs the server, and see whether this program is as new as the server")
	}
	if p.Namespace != verify.DecisionNamespace {
		return verify.Decision{}, differs("a signature in the namespace %q, not %q", clean(p.Namespace), verify.DecisionNamespace)
	}
	d, err := verify.ParseDecision([]byte(p.Statement))
	if err != nil {
		return d, differs("%v", err)
	}
	at, err := time.Parse(caos.TimeLayout, d.Time)
	switch {
	case err != nil:
		return d, differs("its time is %q", clean(d.Time))
	case d.Person != person:
		return d, differs("a decision of %q, and you are %q", clean(d.Person), person)
	case !slices.Contains(a.what, d.What):
		return d, differs("the act %q, not %q", clean(d.What), strings.Join(a.what, "\" or \""))
	case d.Meaning != p.Meaning || d.Digest != p.Digest:
		return d, differs("it is not what the server says that it means")
	case a.about != "" && d.Digest != a.about:
		return d, differs("%s has the digest %s, and the statement is about %s", a.of, a.about, d.Digest)
	case at.Before(now.Add(-clockSlack)) || at.After(now.Add(clockSlack)):
		return d, differs("its time is %s, and here it is %s", moment(at), moment(now)).WithHint("set the clock of this machine or of the server")
	}
	for _, words := range a.says {
		if !strings.Contains(d.Meaning, words) {
			return d, differs("its meaning does not say %q: %s", words, clean(d.Meaning))
		}
	}
	return d, nil
}

// hand is what signs: nothing where a second factor stands for it.
type hand struct {
	public ssh.PublicKey
	sign   func([]byte) (*ssh.Signature, error)
	via    string            // "the SSH agent", or the file
	known  *auth.PersonalKey // as the server has it, nil if it is not the caller's

	demanded bool // by the policy, at the model's safety level
}

// signer finds what signs.
func (e *environment) signer(ctx context.Context, cl *client.Client, s signing) (hand, error) {
	if s.totp {
		return hand{}, nil
	}
	own, _, err := unpaged[auth.PersonalKey](ctx, cl, "/v1/keys", nil)
	if err != nil {
		return hand{}, err
	}
	name := e.or(s.key, "CAOS_KEY")
	var k hand
	switch {
	case name == "" || name == agentKey:
		return e.agentHand(own)
	case strings.HasSuffix(name, ".pub"):
		line, err := e.readInput(name, 16<<10)
		if err != nil {
			return k, err
		}
		if k.public, _, _, _, err = ssh.ParseAuthorizedKey(line); err != nil {
			return k, caos.Wrap(caos.Invalid, err, "%s is not an SSH public key", name).WithField("key")
		}
		k.via, k.sign = "the SSH agent", func(data []byte) (*ssh.Signature, error) { return e.agentSign(k.public, data) }
	default:
		signer, err := e.privateSigner(name)
		if err != nil {
			return k, err
		}
		k.public, k.via, k.sign = signer.PublicKey(), name, func(data []byte) (*ssh.Signature, error) { return signer.Sign(rand.Reader, data) }
	}
	k.known = knownKey(own, k.public)
	return k, nil
}

// knownKey finds a key among those of the caller, the one that counts first.
func knownKey(own []auth.PersonalKey, key ssh.PublicKey) *auth.PersonalKey {
	var found *auth.PersonalKey
	for i, k := range own {
		if k.Fingerprint == ssh.FingerprintSHA256(key) && (found == nil || k.Status == auth.KeyActive) {
			found = &own[i]
		}
	}
	return found
}

// agentHand takes the first key of the SSH agent that counts as the caller's.
func (e *environment) agentHand(own []auth.PersonalKey) (hand, error) {
	var active []string
	for _, k := range own {
		if k.Status == auth.KeyActive {
			active = append(active, k.Fingerprint)
		}
	}
	if len(active) == 0 {
		return hand{}, usage("no key of yours counts here").WithField("key").
			WithHint("enrol one with caos key enrol FILE.pub and have somebody countersign it; or decide with --totp, which counts as asserted by the server")
	}
	keys, err := e.agentKeys()
	if err != nil {
		var x *caos.Error
		if errors.As(err, &x) {
			err = x.WithField("key").WithHint("name the file of the private key with --key or CAOS_KEY, or add the key to an agent: eval $(ssh-agent); ssh-add FILE")
		}
		return hand{}, err
	}
	for _, key := range keys {
		if slices.Contains(active, ssh.FingerprintSHA256(key)) {
			return hand{public: key, via: "the SSH agent", known: knownKey(own, key),
				sign: func(data []byte) (*ssh.Signature, error) { return e.agentSign(key, data) }}, nil
		}
	}
	return hand{}, usage("the SSH agent has none of your keys that count: %s", strings.Join(active, ", ")).WithField("key").
		WithHint("ssh-add it, or name its file with --key")
}

// aside is where the program talks with the person: standard error, so that what a program
// reads stays clean.
func (e *environment) aside() *environment {
	d := *e
	d.out, d.paint, d.terminal = e.err, e.errPaint, e.errTerminal
	if !e.errTerminal {
		d.width = 0
	}
	return &d
}

// proposed shows what is about to be signed.
func (e *environment) proposed(a act, d verify.Decision, me httpapi.Me, k hand) {
	s := e.aside()
	at := d.Time
	if t, err := time.Parse(caos.TimeLayout, d.Time); err == nil {
		at = moment(t)
	}
	of := a.of
	if a.how != "" {
		of += ", " + a.how
	}
	const under = "         " // a digest just fits beside it at 80 columns
	s.line("%s", s.paint.bold(clean(a.title)))
	s.line("")
	field := func(name, text string) {
		s.flow(" "+s.paint.dim(fmt.Sprintf("%-7s", name))+" ", under, clean(text), asIs)
	}
	field("you say", d.Meaning)
	field("act", d.What)
	field("about", d.Digest)
	if of != "" {
		field("", of)
	}
	field("as", strings.TrimSpace(d.Person+rolesOf(me.Principal.Roles)))
	field("at", at)
	field("proof", k.String())
	if doubt := k.doubt(); doubt != "" {
		s.flow(under+s.paint.warn("!")+" ", under+"  ", doubt, s.paint.warn)
	}
	if k.sign != nil {
		field("checked", "namespace, person, act, words and time are what you asked for")
	}
	s.line("")
}

func rolesOf(roles []string) string {
	if len(roles) == 0 {
		return ""
	}
	return " (" + strings.Join(roles, ", ") + ")"
}

// String says how a decision is proven, as reports print it.
func (k hand) String() string {
	if k.sign == nil {
		return "asserted by server: a code of your second factor, no signature"
	}
	name := "personal key " + ssh.FingerprintSHA256(k.public) + ", by " + filepath.Base(k.via)
	if k.via == "the SSH agent" {
		name = "personal key " + ssh.FingerprintSHA256(k.public) + ", by " + k.via
	}
	return name
}

// doubt says why the proof will hardly count, "" if it may.
func (k hand) doubt() string {
	switch {
	case k.sign == nil && k.demanded:
		return "the policy wants the signature of a key of your own at this safety level"
	case k.sign == nil:
		return ""
	case k.known == nil:
		return "the server does not know this key as yours: caos key enrol FILE.pub"
	case k.known.Status == auth.KeyActive:
		return ""
	case k.known.Status == auth.KeyEnrolled:
		return "nobody has countersigned this key yet: caos key countersign " + k.known.ID
	}
	return "this key is " + k.known.Status
}

// confirm asks the person before something is decided. Where nobody can be asked, they have
// to have said it beforehand.
func (e *environment) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	in, ok := e.in.(*os.File)
	if !ok || !e.errTerminal || !term.IsTerminal(int(in.Fd())) {
		return usage("nobody is here to confirm it, and nothing was sent").WithField("yes").WithHint("where there is no terminal, give --yes")
	}
	fmt.Fprintf(e.err, "%s %s ", e.errPaint.bold(question), e.errPaint.dim("[y/N]"))
	answer, _ := bufio.NewReader(in).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		fmt.Fprintln(e.err)
		return nil
	}
	return caos.Errorf(caos.Conflict, "not confirmed; nothing was signed or sent")
}

// bodyOf makes a body that a proof can be added to.
func bodyOf(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	out := map[string]any{}
	return out, json.Unmarshal(text, &out)
}
