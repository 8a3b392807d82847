package hook

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/engine"
)

// Registration is what the registry holds of a hook version: the eight fields of §11.1.
type Registration struct {
	HookID         string             `json:"hook_id"`
	HookVersion    string             `json:"hook_version"`
	HookStatus     string             `json:"hook_status"` // ACTIVE or DEPRECATED
	HookOwner      string             `json:"hook_owner"`
	InputSchema    string             `json:"input_schema_uri"`
	OutputSchema   string             `json:"output_schema_uri"`
	Retry          engine.RetryPolicy `json:"retry_policy"`
	TimeoutSeconds int                `json:"timeout_seconds"` // of running time

	Revision int64 `json:"-"` // counts changes, for ETags; 0 for what the code says
}

// The hook statuses of §11.1. A DEPRECATED hook still runs: what production calls today
// must not stop because somebody wants it gone tomorrow. Answers carry a warning.
const (
	Active     = "ACTIVE"
	Deprecated = "DEPRECATED"
)

// builtin is the registration that the code itself gives.
func builtin(h *Hook) Registration {
	return Registration{HookID: h.ID, HookVersion: h.Version, HookStatus: Active, HookOwner: h.Owner,
		InputSchema: SchemaURI(h.ID, h.Version, "input"), OutputSchema: SchemaURI(h.ID, h.Version, "output"),
		Retry: h.Retry, TimeoutSeconds: int(h.Timeout / time.Second)}
}

// registration returns what holds for a hook now.
func (s *Service) registration(ctx context.Context, h *Hook) (Registration, error) {
	r := builtin(h)
	var retry string
	err := s.db.QueryRow(ctx, `SELECT hook_status, hook_owner, retry_policy, timeout_seconds, revision FROM hook_registrations
 WHERE hook_id=$1 AND hook_version=$2`, h.ID, h.Version).Scan(&r.HookStatus, &r.HookOwner, &retry, &r.TimeoutSeconds, &r.Revision)
	if errors.Is(err, sql.ErrNoRows) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("registration of %s: %w", h.ID, err)
	}
	return r, json.Unmarshal([]byte(retry), &r.Retry)
}

// List returns the registration of every hook, in the order of the specification.
func (s *Service) List(ctx context.Context) ([]Registration, error) {
	out := []Registration{}
	for _, h := range s.ordered {
		r, err := s.registration(ctx, h)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Get returns one hook's registration.
func (s *Service) Get(ctx context.Context, id string) (Registration, error) {
	h := s.hooks[id]
	if h == nil {
		return Registration{}, caos.Errorf(caos.NotFound, "no hook %q", clip(id)).WithField("hook_id").WithHint("GET /v1/hooks lists them")
	}
	return s.registration(ctx, h)
}

// Lookup returns a hook by id, nil when there is none.
func (s *Service) Lookup(id string) *Hook { return s.hooks[id] }

// Hooks returns all hooks in the order of the specification.
func (s *Service) Hooks() []*Hook { return s.ordered }

// Put changes status, owner, retry policy and timeout of a hook version. The schemas and
// the id are the code's and cannot be changed. ifRevision, when not negative, is the
// revision that the caller has seen; the change is refused when it is another by now.
func (s *Service) Put(ctx context.Context, by caos.Principal, r Registration, ifRevision int64) (Registration, error) {
	h := s.hooks[r.HookID]
	if h == nil {
		return r, caos.Errorf(caos.NotFound, "no hook %q", clip(r.HookID)).WithField("hook_id")
	}
	if v, err := fullVersion(r.HookVersion); err != nil || v != h.Version {
		return r, caos.Errorf(caos.NotFound, "%s has no version %q", h.ID, clip(r.HookVersion)).WithField("hook_version").
			WithHint("this binary has version %s", h.Version)
	}
	b := builtin(h)
	if (r.InputSchema != "" && r.InputSchema != b.InputSchema) || (r.OutputSchema != "" && r.OutputSchema != b.OutputSchema) {
		return r, caos.Errorf(caos.Invalid, "a version's schemas cannot be changed").WithField("input_schema_uri").
			WithHint("they come with the code: %s and %s", b.InputSchema, b.OutputSchema)
	}
	if err := r.check(); err != nil {
		return r, err
	}
	r.HookVersion, r.InputSchema, r.OutputSchema = h.Version, b.InputSchema, b.OutputSchema
	retry, err := json.Marshal(r.Retry)
	if err != nil {
		return r, err
	}
	err = s.db.Update(ctx, func(tx *db.Tx) error {
		if err := s.auth.AuthorizeHook(tx, by, "hook:register", h.ID, ""); err != nil {
			return err
		}
		now := s.now().UTC().UnixMicro()
		r.Revision = 0
		err := tx.QueryRow(`SELECT revision FROM hook_registrations WHERE hook_id=$1 AND hook_version=$2`, h.ID, h.Version).Scan(&r.Revision)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if ifRevision >= 0 && ifRevision != r.Revision {
			return caos.Errorf(caos.Conflict, "the registration was changed by somebody else").WithField("If-Match").WithHint("read it again and repeat the change")
		}
		r.Revision++
		tx.Exec(`INSERT INTO hook_registrations (hook_id, hook_version, hook_status, hook_owner, retry_policy, timeout_seconds, revision, updated_at, updated_by)
 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9) ON CONFLICT (hook_id, hook_version) DO UPDATE SET hook_status=excluded.hook_status,
 hook_owner=excluded.hook_owner, retry_policy=excluded.retry_policy, timeout_seconds=excluded.timeout_seconds,
 revision=excluded.revision, updated_at=excluded.updated_at, updated_by=excluded.updated_by`,
			h.ID, h.Version, r.HookStatus, r.HookOwner, string(retry), r.TimeoutSeconds, r.Revision, now, by.ID)
		made := r
		tx.AfterCommit(func() { s.apply(made) }) // in the order of the commits
		_, err = s.log.Append(tx, auditlog.Record{Type: auditlog.ConfigChange, Actor: by.ID, RecordedBy: by.ID, Hook: h.ID,
			Resources: []string{h.ID}, Details: map[string]any{"registration": r}})
		return err
	})
	return r, err
}

// Refresh applies what the registry says of all hooks: another node may have changed it.
func (s *Service) Refresh(ctx context.Context) error {
	for _, h := range s.ordered {
		r, err := s.registration(ctx, h)
		if err != nil {
			return err
		}
		s.apply(r)
	}
	return nil
}

func (s *Service) apply(r Registration) {
	s.engine.SetPolicy(r.HookID, r.Retry, time.Duration(r.TimeoutSeconds)*time.Second)
}

// check refuses registrations that would stop a hook or let it run for ever.
func (r Registration) check() error {
	bad := func(field, format string, args ...any) error {
		return caos.Errorf(caos.Invalid, format, args...).WithField(field)
	}
	p := r.Retry
	switch {
	case r.HookStatus != Active && r.HookStatus != Deprecated:
		return bad("hook_status", "must be ACTIVE or DEPRECATED")
	case len(r.HookOwner) == 0 || len(r.HookOwner) > 200:
		return bad("hook_owner", "needs 1 to 200 characters")
	case r.TimeoutSeconds < 1 || r.TimeoutSeconds > 7*24*3600:
		return bad("timeout_seconds", "must be between 1 and %d", 7*24*3600)
	case p.MaxAttempts < 1 || p.MaxAttempts > 1000:
		return bad("retry_policy.max_attempts", "must be between 1 and 1000")
	case p.InitialIntervalMS < 1 || p.InitialIntervalMS > p.MaxIntervalMS:
		return bad("retry_policy.initial_interval_ms", "must be at least 1 and at most max_interval_ms")
	case p.MaxIntervalMS > 24*3600*1000:
		return bad("retry_policy.max_interval_ms", "must be at most a day")
	case p.Factor < 1 || p.Factor > 100:
		return bad("retry_policy.factor", "must be between 1 and 100")
	case p.Jitter < 0 || p.Jitter > 1:
		return bad("retry_policy.jitter", "must be between 0 and 1")
	}
	return nil
}

// Schema returns the committed JSON Schema of a hook version; which is "input" or "output".
func (s *Service) Schema(id, version, which string) ([]byte, error) {
	h := s.hooks[id]
	v, err := fullVersion(version)
	if h == nil || err != nil || v != h.Version || (which != "input" && which != "output") {
		return nil, caos.Errorf(caos.NotFound, "no schema for %s %s %s", clip(id), clip(version), clip(which)).WithHint("GET /v1/hooks names the schemas")
	}
	return schemaFiles.ReadFile("schema/" + SchemaName(id, v, which))
}

// Stats returns the figures of §11.2 for a hook.
func (s *Service) Stats(ctx context.Context, id string) (engine.Stats, error) {
	if s.hooks[id] == nil {
		return engine.Stats{}, caos.Errorf(caos.NotFound, "no hook %q", clip(id)).WithField("hook_id")
	}
	return s.engine.Stats(ctx, id)
}

// fullVersion reads "1", "1.0" and "1.0.0" as 1.0.0.
func fullVersion(v string) (string, error) {
	parts := strings.Split(v, ".")
	if len(parts) > 3 {
		return "", fmt.Errorf("version %q", clip(v))
	}
	for _, p := range parts {
		if n, err := strconv.Atoi(p); err != nil || n < 0 || strconv.Itoa(n) != p {
			return "", fmt.Errorf("version %q", clip(v))
		}
	}
	for len(parts) < 3 {
		parts = append(parts, "0")
	}
	return strings.Join(parts, "."), nil
}

// checkVersion refuses a caller that wants an interface which this binary does not have:
// another major version, or a minor one that is newer (§11.3).
func checkVersion(h *Hook, wanted string) error {
	if wanted == "" {
		return nil
	}
	v, err := fullVersion(wanted)
	if err != nil {
		return caos.Errorf(caos.Invalid, "%q is not a version", clip(wanted)).WithField("CAOS-Hook-Version").WithHint("write X, X.Y or X.Y.Z")
	}
	w, have := strings.Split(v, "."), strings.Split(h.Version, ".")
	wantMinor, _ := strconv.Atoi(w[1])
	haveMinor, _ := strconv.Atoi(have[1])
	if w[0] != have[0] || wantMinor > haveMinor {
		return caos.Errorf(caos.NotFound, "%s has no version %s here", h.ID, clip(wanted)).WithField("CAOS-Hook-Version").
			WithHint("this binary has version %s", h.Version)
	}
	return nil
}
