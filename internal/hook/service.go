package hook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/engine"
)

// Authorizer is the choke point of authorisation, asked inside the deciding transaction.
type Authorizer interface {
	// AuthorizeHook decides whether p may do action to a hook in a project.
	AuthorizeHook(tx *db.Tx, p caos.Principal, action, hookID, project string) error

	// Authorize decides whether p may do action to res.
	Authorize(tx *db.Tx, p caos.Principal, action string, res auth.Resource, further map[string]any) error
}

// Recorder is what the service needs of the audit log.
type Recorder interface {
	Append(tx *db.Tx, r auditlog.Record) (auditlog.Receipt, error)
}

// Service is through which hooks are submitted, explained and registered.
type Service struct {
	db      *db.DB
	engine  *engine.Engine
	auth    Authorizer
	log     Recorder
	logger  *slog.Logger
	now     func() time.Time
	hooks   map[string]*Hook
	ordered []*Hook
	schemas schemas
}

// ServiceOptions are what a Service is made of; all are required but Now and Logger.
type ServiceOptions struct {
	DB     *db.DB
	Engine *engine.Engine
	Auth   Authorizer
	Log    Recorder
	Hooks  []*Hook
	Now    func() time.Time
	Logger *slog.Logger
}

// NewService compiles the hooks' schemas and applies what the registry says of them.
func NewService(ctx context.Context, o ServiceOptions) (*Service, error) {
	s := &Service{db: o.DB, engine: o.Engine, auth: o.Auth, log: o.Log, logger: o.Logger, now: o.Now, ordered: o.Hooks, hooks: map[string]*Hook{}}
	if s.now == nil {
		s.now = time.Now
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	for _, h := range o.Hooks {
		s.hooks[h.ID] = h
	}
	var err error
	if s.schemas, err = compileSchemas(o.Hooks); err != nil {
		return nil, err
	}
	return s, s.Refresh(ctx)
}

// OutputCheck returns the check of outputs against the committed schemas, for the engine,
// which is made before the Service is.
func OutputCheck(hooks []*Hook) (func(hook string, output []byte) error, error) {
	compiled, err := compileSchemas(hooks)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, h := range hooks {
		names[h.ID] = SchemaName(h.ID, h.Version, "output")
	}
	return func(hook string, output []byte) error {
		body, err := jsonschema.UnmarshalJSON(bytes.NewReader(output))
		if err != nil {
			return fmt.Errorf("read output: %w", err)
		}
		return compiled.validate(names[hook], body)
	}, nil
}

// Request is a submission as it came in: the body is the specification's input.
type Request struct {
	Hook        string
	Version     string // wanted by the caller; "" for whatever there is
	Body        []byte
	ContentType string // application/json or application/yaml
	IdemKey     string // of the client, "" for none
	By          caos.Principal

	// Within is part of the commit that makes the execution, nil for nothing. It is CAOS's own:
	// no request of a caller has one.
	Within func(tx *db.Tx, executionID string) error
}

// prepared is a request that has been read and found well formed.
type prepared struct {
	hook  *Hook
	input json.RawMessage
	named Named
}

// Submit reads, validates, authorises and runs a request. A refusal leaves no execution,
// only an audit record.
func (s *Service) Submit(ctx context.Context, req Request) (*engine.Execution, error) {
	p, err := s.prepare(ctx, req)
	if err != nil {
		return nil, s.refused(ctx, req, Named{}, err)
	}
	q := s.question(p, req.By)
	prefix := p.named.ExecutionPrefix
	if prefix == "" {
		prefix = "EXEC-"
	}
	var authorised atomic.Bool
	id := s.engine.NewID(prefix)
	sub := engine.Submission{ID: id, Hook: p.hook.ID, Input: p.input, By: req.By, RequestedBy: p.named.Actor,
		ModelID: p.named.Model, Project: cmp.Or(p.named.Project, req.By.Project), Classification: p.named.highest(), Check: func(tx *db.Tx) error {
			if err := s.authorise(tx, q); err != nil {
				return err
			}
			authorised.Store(true)
			for _, g := range p.hook.Gates {
				if _, err := g.Test(tx, q); err != nil {
					return byGate(g, err)
				}
			}
			if req.Within == nil {
				return nil
			}
			return req.Within(tx, id)
		}}
	if p.named.Reports {
		sub.RequestedBy = req.By.ID
	}
	if req.IdemKey != "" {
		sub.IdemKey = req.By.ID + "/" + p.hook.ID + "/" + req.IdemKey
		sum := sha256.Sum256(p.input)
		sub.BodyHash = hex.EncodeToString(sum[:])
	}
	x, err := s.engine.Submit(ctx, sub)
	if err == nil {
		return x, nil
	}
	if req.IdemKey != "" && authorised.Load() {
		// What a gate refuses now it may have let pass the first time, and that answer may
		// have been lost.
		if old, _ := s.engine.Repeated(ctx, sub); old != nil {
			return old, nil
		}
	}
	return nil, unknown(p, s.refused(ctx, req, p.named, err))
}

// byGate names the gate as the rule of a refusal that names none.
func byGate(g Gate, err error) error {
	var e *caos.Error
	if !errors.As(err, &e) || e.Rule != "" {
		return err
	}
	switch e.Kind {
	case caos.Invalid, caos.Conflict, caos.Denied, caos.NotFound, caos.TooLarge:
		return e.WithRule(g.Name)
	}
	return err
}

func (s *Service) question(p prepared, by caos.Principal) Question {
	return Question{Hook: p.hook, By: by, Named: p.named, Input: p.input, May: func(tx *db.Tx, action string, res auth.Resource) error {
		return s.auth.Authorize(tx, by, action, res, nil)
	}}
}

// unknown is the one answer for what is not there and for what is not the caller's to know
// of: an id that can be guessed must not tell the two apart. What the record of the refusal
// says is another matter.
func unknown(p prepared, err error) error {
	if err == nil {
		return nil
	}
	e, field := caos.AsError(err), absentField(p.input)
	absent := e.Kind == caos.NotFound && e.Field == field
	if !absent && (e.Kind != caos.Denied || !strings.HasPrefix(e.Rule, "need-to-know-")) {
		return err
	}
	return caos.Errorf(caos.NotFound, "there is no such %s, or it is not for you", strings.TrimSuffix(strings.TrimPrefix(field, "certification_"), "_id")).
		WithField(field).WithHint("GET /v1/models, /v1/packages, /v1/pipelines and /v1/chain/contracts list what there is for you")
}

// absentField is the field of an input that says what it is about.
func absentField(input json.RawMessage) string {
	if bytes.Contains(input, []byte(`"certification_package_id":`)) {
		return "certification_package_id"
	}
	if bytes.Contains(input, []byte(`"contract_address":`)) {
		return "contract_address"
	}
	if bytes.Contains(input, []byte(`"validation_rules_id":`)) {
		return "execution_id"
	}
	if bytes.Contains(input, []byte(`"pipeline_id":`)) {
		return "pipeline_id"
	}
	return "model_id"
}

// authorise decides whether the caller may submit the hook, and name whom the input names.
func (s *Service) authorise(tx *db.Tx, q Question) error {
	about := auth.Resource{Type: "Hook", ID: q.Hook.ID, Project: cmp.Or(q.Named.Project, q.By.Project), Classification: q.Named.Classification, Owner: q.Named.Owner}
	if err := s.auth.Authorize(tx, q.By, "hook:submit", about, nil); err != nil {
		return err
	}
	if about.Classification = q.Named.InputClassification; about.Classification != "" {
		err := s.auth.Authorize(tx, q.By, "hook:submit", about, nil)
		if caos.KindOf(err) == caos.Denied { // the thing itself may be known: that is no secret
			return caos.AsError(err).WithRule("classified-input").WithHint("somebody who is cleared for what the input names submits it")
		}
		if err != nil {
			return err
		}
	}
	if q.Named.Actor == "" || q.Named.Actor == q.By.ID || q.Named.Reports {
		return nil
	}
	return s.auth.AuthorizeHook(tx, q.By, "on-behalf", q.Hook.ID, q.Named.Project)
}

// maxIdemKey bounds the client's key, which is stored and shown in conflicts.
const maxIdemKey = 128

// prepare reads a request without looking at the state of anything.
func (s *Service) prepare(ctx context.Context, req Request) (prepared, error) {
	h := s.hooks[req.Hook]
	if h == nil {
		return prepared{}, caos.Errorf(caos.NotFound, "no hook %q", clip(req.Hook)).WithField("hook_id").
			WithHint("GET /v1/hooks lists the hooks of this installation")
	}
	if err := checkVersion(h, req.Version); err != nil {
		return prepared{}, err
	}
	if len(req.IdemKey) > maxIdemKey || !printable(req.IdemKey) {
		return prepared{}, caos.Errorf(caos.Invalid, "an idempotency key has at most %d printable ASCII characters", maxIdemKey).WithField("Idempotency-Key")
	}
	lim := codec.DefaultLimits()
	body, err := codec.Value(req.Body, req.ContentType, lim)
	if err != nil {
		return prepared{}, err
	}
	if err := s.schemas.validate(SchemaName(h.ID, h.Version, "input"), body); err != nil {
		return prepared{}, err
	}
	if err := exactIntegers("", body); err != nil {
		return prepared{}, err
	}
	input, err := json.Marshal(body)
	if err != nil {
		return prepared{}, fmt.Errorf("encode input: %w", err)
	}
	named, err := h.Read(ctx, input)
	return prepared{h, input, named}, err
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// DryRun tells what Submit would do, with every gate's answer, and changes nothing.
func (s *Service) DryRun(ctx context.Context, req Request) (*Explanation, error) {
	p, err := s.prepare(ctx, req)
	if err != nil {
		return nil, s.refused(ctx, req, Named{}, err)
	}
	x, err := s.explain(ctx, s.question(p, req.By), false)
	if err != nil {
		return nil, unknown(p, s.refused(ctx, req, p.named, err))
	}
	return x, nil
}

// errDryRun rolls back what a dry run looked at.
var errDryRun = errors.New("dry run")

func verdict(g Gate, facts map[string]any, err error) Verdict {
	v := Verdict{Gate: g.Name, Action: g.Action, Pass: err == nil, Facts: facts}
	if err != nil {
		e := caos.AsError(err)
		rule := e.Rule
		if rule == "" {
			rule = g.Name
		}
		v.Finding = &caos.Finding{Rule: rule, Message: e.Message, Subject: e.Field, Remedy: e.Hint}
	}
	return v
}

// refused records that a request of an authenticated caller was refused, and returns the
// refusal. Failures of CAOS itself are not refusals. The record names what the request was
// about, as far as that was read.
func (s *Service) refused(ctx context.Context, req Request, about Named, cause error) error {
	e := caos.AsError(cause)
	switch e.Kind {
	case caos.Internal, caos.Unavailable, caos.Full, caos.Limited:
		return cause
	}
	details := map[string]any{"refused": string(e.Kind), "message": e.Message}
	for k, v := range map[string]string{"field": e.Field, "rule": e.Rule} {
		if v != "" {
			details[k] = v
		}
	}
	hookID := req.Hook
	if s.hooks[hookID] == nil {
		hookID = "" // what a stranger typed stays out of the record's columns
	}
	var resources []string
	if caos.CheckID("resource", "resource", about.Model) == nil {
		resources = []string{about.Model}
	}
	// A caller that hangs up does not stay unrecorded for it.
	err := s.db.Update(context.WithoutCancel(ctx), func(tx *db.Tx) error {
		_, err := s.log.Append(tx, auditlog.Record{Type: auditlog.Access, Actor: req.By.ID, RecordedBy: req.By.ID, Hook: hookID, Details: details,
			Resources: resources, Project: about.Project, Classification: about.highest(),
			Decision: &auditlog.Decision{Effect: "deny", Policies: nonEmpty(e.Rule), Reasons: []string{e.Message}}})
		return err
	})
	if err != nil {
		s.logger.Error("a refusal could not be recorded", "hook_id", hookID, "principal", req.By.ID, "error", err)
	}
	return cause
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
