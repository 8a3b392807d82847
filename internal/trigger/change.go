package trigger

import (
	"context"
	"fmt"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/event"
)

// Change is who changes a trigger, and which revision they have seen (-1: any).
type Change struct {
	By         caos.Principal
	IfRevision int64
}

// Create makes a trigger. The secret is that of a webhook, "" for other kinds: it is shown
// this once. Whoever creates an enabled trigger has enabled it.
//
// Errors: Invalid, naming the field; Denied and StepUp; Conflict if the name is taken.
func (s *Service) Create(ctx context.Context, by caos.Principal, d Definition) (t *Trigger, secret string, err error) {
	d = d.normalise()
	if err := s.check(d); err != nil {
		return nil, "", err
	}
	var sealed []byte
	if d.Kind == KindWebhook {
		if secret, sealed, err = s.newSecret(d.Name); err != nil {
			return nil, "", err
		}
	}
	err = s.o.DB.Update(ctx, func(tx *db.Tx) error {
		now := s.now().Truncate(time.Microsecond)
		t = &Trigger{Definition: d, Revision: 1, CreatedAt: now, CreatedBy: by.ID, UpdatedAt: now, UpdatedBy: by.ID, sealed: sealed}
		if err := s.authorize(tx, by, t); err != nil {
			return err
		}
		if err := s.ready(tx, by, t, now); err != nil {
			return err
		}
		if err := t.insert(tx); err != nil {
			return err
		}
		return s.record(tx, by.ID, "trigger-created", t)
	})
	if err != nil {
		return nil, "", s.refused(ctx, err)
	}
	return t, secret, nil
}

// Update replaces the definition of a trigger, but for its name and kind. Whoever changes
// an enabled trigger answers for it from then on.
func (s *Service) Update(ctx context.Context, c Change, d Definition) (*Trigger, error) {
	d = d.normalise()
	if err := s.check(d); err != nil {
		return nil, err
	}
	return s.change(ctx, c, d.Name, "trigger-changed", func(t *Trigger) error {
		if d.Kind != t.Kind {
			return invalid("kind", "the kind of a trigger is %s and cannot be changed", t.Kind).WithHint("delete it and create another")
		}
		t.Definition = d
		return nil
	})
}

// Enable switches a trigger on, in the name of whoever does so.
func (s *Service) Enable(ctx context.Context, c Change, name string) (*Trigger, error) {
	return s.change(ctx, c, name, "trigger-enabled", func(t *Trigger) error {
		t.Enabled = true
		return s.check(t.Definition)
	})
}

// Disable switches a trigger off. What fired before and is not submitted yet is dropped.
func (s *Service) Disable(ctx context.Context, c Change, name string) (*Trigger, error) {
	return s.change(ctx, c, name, "trigger-disabled", func(t *Trigger) error {
		t.Enabled = false
		return nil
	})
}

// RotateSecret gives a webhook a new secret, shown this once; the old one counts no more.
func (s *Service) RotateSecret(ctx context.Context, c Change, name string) (t *Trigger, secret string, err error) {
	secret, sealed, err := s.newSecret(name)
	if err != nil {
		return nil, "", err
	}
	t, err = s.change(ctx, c, name, "trigger-secret-rotated", func(t *Trigger) error {
		if t.Kind != KindWebhook {
			return caos.Errorf(caos.Conflict, "a trigger of kind %s has no secret", t.Kind)
		}
		t.sealed = sealed
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return t, secret, nil
}

// Delete removes a trigger and its history. What it started goes on.
func (s *Service) Delete(ctx context.Context, c Change, name string) error {
	err := s.o.DB.Update(ctx, func(tx *db.Tx) error {
		t, err := s.own(tx, c, name)
		if err != nil {
			return err
		}
		tx.Exec(`DELETE FROM trigger_firings WHERE trigger_name=$1`, name)
		tx.Exec(`DELETE FROM triggers WHERE name=$1`, name)
		return s.record(tx, c.By.ID, "trigger-deleted", t)
	})
	return s.refused(ctx, err)
}

// change applies edit to a row: authorised as it is and as it will be, audited, and counted
// by the revision.
func (s *Service) change(ctx context.Context, c Change, name, what string, edit func(*Trigger) error) (*Trigger, error) {
	var t *Trigger
	err := s.o.DB.Update(ctx, func(tx *db.Tx) (err error) {
		if t, err = s.own(tx, c, name); err != nil {
			return err
		}
		from := t.Revision
		if err := edit(t); err != nil {
			return err
		}
		if err := s.authorize(tx, c.By, t); err != nil {
			return err
		}
		now := s.now().Truncate(time.Microsecond)
		if err := s.ready(tx, c.By, t, now); err != nil {
			return err
		}
		t.Revision, t.UpdatedAt, t.UpdatedBy = from+1, now, c.By.ID
		if err := t.update(tx, from); err != nil {
			return err
		}
		return s.record(tx, c.By.ID, what, t)
	})
	if err != nil {
		return nil, s.refused(ctx, err)
	}
	return t, nil
}

// own loads a row that the caller may write.
func (s *Service) own(tx *db.Tx, c Change, name string) (*Trigger, error) {
	t, err := load(tx, clip(name, 100))
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, notFound()
	}
	if err := s.authorize(tx, c.By, t); err != nil {
		return nil, err
	}
	if c.IfRevision >= 0 && c.IfRevision != t.Revision {
		return nil, changedMeanwhile()
	}
	return t, nil
}

// Resource is a trigger as the policies see it.
func (t *Trigger) Resource() auth.Resource {
	return auth.Resource{Type: "Trigger", ID: t.Name, Project: t.Project, Classification: t.Classification}
}

func (s *Service) authorize(tx *db.Tx, by caos.Principal, t *Trigger) error {
	return s.o.Auth.Authorize(tx, by, "trigger:write", t.Resource(), nil)
}

// check refuses a definition that cannot work.
func (s *Service) check(d Definition) error {
	if _, err := d.compile(); err != nil {
		return err
	}
	if !s.o.Hooks.Known(d.Hook) {
		return invalid("hook_id", "there is no hook %q", clip(d.Hook, 80)).WithHint("GET /v1/hooks lists the hooks of this installation")
	}
	return nil
}

// ready puts the fields in order that depend on whether the trigger is enabled, and by
// whom. An enabled trigger's account must be able to do its work today.
func (s *Service) ready(tx *db.Tx, by caos.Principal, t *Trigger, now time.Time) error {
	if !t.Enabled {
		t.EnabledBy, t.EnabledAt, t.NextAt = "", nil, nil
		return nil
	}
	t.EnabledBy, t.EnabledAt, t.Stopped = by.ID, &now, ""
	p, err := s.principal(tx, t.RunsAs, t.EnabledBy, t.Project)
	if err != nil {
		e := caos.AsError(err)
		if e.Kind == caos.Invalid {
			return e.WithField("runs_as").WithHint("name an account of kind service; an administrator makes one")
		}
		return err
	}
	if err := s.o.Auth.AuthorizeHook(tx, p, "hook:submit", t.Hook, t.Project); err != nil {
		if caos.KindOf(err) != caos.Denied {
			return err
		}
		return invalid("runs_as", "%s may not submit %s: %s", t.RunsAs, t.Hook, caos.AsError(err).Message).WithRule(caos.AsError(err).Rule).
			WithHint("choose a service account that may, or another project")
	}
	if t.Kind == KindCron {
		next, err := event.NextTick(t.Cron, t.Zone, now)
		if err != nil {
			return err
		}
		t.NextAt = &next
	}
	return nil
}

// principal is the service account that a trigger's hook is submitted as.
func (s *Service) principal(tx *db.Tx, runsAs, enabledBy, project string) (caos.Principal, error) {
	p, err := s.o.Auth.PrincipalOf(tx, runsAs, enabledBy)
	if err == nil && project != "" {
		p.Project = project
	}
	return p, err
}

// record writes what was done to a trigger, with its definition as it is now, into the log.
func (s *Service) record(tx *db.Tx, by, what string, t *Trigger) error {
	details := map[string]any{"event": what, "revision": t.Revision, "definition": t.Definition}
	if t.Enabled {
		details["enabled_by"] = t.EnabledBy
	}
	if t.Stopped != "" {
		details["stopped"] = t.Stopped
	}
	_, err := s.o.Log.Append(tx, auditlog.Record{Type: auditlog.ConfigChange, Time: s.now(), Actor: by, RecordedBy: by, Hook: t.Hook,
		Resources: []string{"trigger:" + t.Name}, Details: details, Project: t.Project, Classification: t.Classification})
	return err
}

// refused records that somebody was denied a change.
func (s *Service) refused(ctx context.Context, err error) error {
	if failed := s.o.Auth.RecordRefusal(context.WithoutCancel(ctx), err); failed != nil {
		s.o.Logger.Error("a refusal could not be recorded", "error", failed)
	}
	return err
}

func secretContext(name string) string { return fmt.Sprintf("trigger/%s/webhook", name) }
