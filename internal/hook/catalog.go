package hook

import (
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/baseline"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/dpp"
	"caos/internal/engine"
	"caos/internal/event"
	"caos/internal/evidence"
	"caos/internal/location"
	"caos/internal/notify"
	"caos/internal/object"
	"caos/internal/policy"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/sign"
)

// Collaborators are what the hooks are made of.
type Collaborators struct {
	Directory Directory
	Policies  *policy.Set
	Evidence  *evidence.Repository
	Objects   *object.Store
	Notifier  *notify.Notifier
	Chain     ChainPolicy // what is recorded on a chain, and by which
	People    People
	Allowed   func(tx *db.Tx, p caos.Principal, action string, res auth.Resource, further map[string]any) error // asked again by work that outlives its request; (*auth.Auth).Authorize
	Registry  *registry.Registry
	Baselines *baseline.Store
	Readiness *readiness.Readiness
	Passports *dpp.Passports
	Keys      *sign.Keys
	DB        *db.DB           // for facts that one step reads at one moment outside of a commit
	Log       *auditlog.Log    // whose size and root reports name
	Now       func() time.Time // nil for time.Now
	BaseURL   string           // under which the API is reached; output URIs begin with it

	// What the hooks of data need besides.
	Datasets  *dataset.Datasets
	Locations *location.Locations
	Worker    Worker                   // a *worker.Runner
	Events    *event.Outbox            // of completed pipelines
	Alerts    *alert.Store             // of data that do not meet their rules
	Listens   Listener                 // which triggers an event starts; nil if that cannot be told
	Compute   func() *engine.Allocator // of this node; the engine comes after the hooks
	Scratch   string                   // folder with one folder for each execution that handles files
}

// Catalog lists the hooks of this binary in the order of the specification.
func Catalog(c Collaborators) []*Hook {
	return []*Hook{
		ModelFreeze(c),
		ModelPRR(c),
		DataPipeline(c),
		DataValidate(c),
		CertEvidence(c),
		CertAudit(c.Directory, c.Policies, c.Chain, c.BaseURL),
		DPPCreate(DPPCollaborators{Registry: c.Registry, Passports: c.Passports, Objects: c.Objects, Baselines: c.Baselines, Chain: c.Chain, BaseURL: c.BaseURL}),
		BlockchainContract(c),
	}
}

// Flows returns the plans of the hooks, for the engine.
func Flows(hooks []*Hook) []*engine.Flow {
	out := make([]*engine.Flow, len(hooks))
	for i, h := range hooks {
		out[i] = h.Flow
	}
	return out
}
