package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/event"
	"caos/internal/evidence"
	"caos/internal/registry"
)

type packageList struct {
	Paging
	Model   string `query:"model_id" maxLength:"100"`
	Status  string `query:"status" enum:"OPEN,CLOSED"`
	Project string `query:"project" maxLength:"100"`
}

// PackagePath names a certification package.
type PackagePath struct {
	ID string `path:"package_id" maxLength:"100" example:"CERT-PKG-FCS"`
}

type planPath struct {
	PackagePath
	Version int    `query:"version" minimum:"1" doc:"of the plan; the latest if left out"`
	IfMatch string `header:"If-Match" maxLength:"64" doc:"ETag of the plan that the new one replaces"`
}

// NewPackageBody opens a package.
type NewPackageBody struct {
	PackageID      string `json:"package_id,omitempty" doc:"made from the model's id if left out"`
	ModelID        string `json:"model_id"`
	Title          string `json:"title,omitempty" maxLength:"300"`
	Project        string `json:"project,omitempty" doc:"the caller's if left out"`
	Classification string `json:"classification,omitempty" enum:"Public,Internal,Restricted,Confidential,Regulated"`
}

// PlanBody says what a package has to give evidence for.
type PlanBody struct {
	Requirements []string `json:"requirement_ids,omitempty"`
	Objectives   []string `json:"objective_ids,omitempty"`
	Source       string   `json:"source,omitempty" maxLength:"300" doc:"where the ids come from, in words"`
}

// CloseBody closes a package.
type CloseBody struct {
	Statement string `json:"statement,omitempty" maxLength:"4000" doc:"why it is closed in spite of findings; needed if there are any"`
}

// AttachBody puts an audit record into a package.
type AttachBody struct {
	RecordID string          `json:"audit_record_id"`
	Decision json.RawMessage `json:"decision,omitempty" doc:"the file of a personally signed decision that the record is about"`
}

// planLimit is for a plan of many thousand ids.
const planLimit = 4 << 20

func (a *API) registerPackages() {
	read := may("package:read")
	operation(a, get("/v1/packages", read).as("list-packages", "packages", "List certification packages, latest first"), a.listPackages)
	operation(a, post("/v1/packages", may("package:create")).answers(http.StatusCreated).as("create-package", "packages", "Open a certification package"), a.createPackage)
	operation(a, get("/v1/packages/{package_id}", read).as("get-package", "packages", "A certification package"),
		func(c *call, p *PackagePath, _ *none) (*evidence.Package, error) { return a.pkg(c, p.ID) })
	operation(a, get("/v1/packages/{package_id}/plan", read).as("get-plan", "packages", "What a package has to give evidence for"),
		func(c *call, p *planPath, _ *none) (*evidence.Plan, error) {
			if _, err := a.pkg(c, p.ID); err != nil {
				return nil, err
			}
			plan, err := a.Evidence.PlanOf(c.ctx(), p.ID, p.Version)
			if err == nil {
				c.set("ETag", etag(int64(plan.Version)))
			}
			return plan, err
		})
	e := put("/v1/packages/{package_id}/plan", may("package:plan")).as("set-plan", "packages", "Set the plan of a package")
	e.limit = planLimit
	operation(a, e, a.setPlan)
	operation(a, get("/v1/packages/{package_id}/status", read).as("package-status", "packages", "What is covered, and what speaks against closing"),
		func(c *call, p *PackagePath, _ *none) (*evidence.PackageStatus, error) {
			if _, err := a.pkg(c, p.ID); err != nil {
				return nil, err
			}
			return a.Evidence.Status(c.ctx(), p.ID)
		})
	operation(a, post("/v1/packages/{package_id}/records", may("package:plan")).as("attach-record", "packages", "Put an audit record into a package"), a.attach)
	operation(a, post("/v1/packages/{package_id}/close", mayWithMFA("package:close")).as("close-package", "packages", "Close a package"), a.closePackage)
	a.plain(get("/v1/packages/{package_id}/export", may("package:export")).as("export-package", "packages", "The package as one file that proves itself").
		about("Check it offline with caos-verify FILE --trust trust.json. The audience gets whole items or nothing of them."),
		huma.Operation{
			Parameters: []*huma.Param{
				param("package_id", "path", "the package", words()),
				param("for", "query", "the audience; authority if left out", &huma.Schema{Type: "string", Enum: []any{"authority", "supplier", "public"}}),
			},
			Responses: binary("200", "A .caospkg file", "application/vnd.caos.package"),
		}, a.exportPackage)
}

func packageResource(p *evidence.Package) auth.Resource {
	return auth.Resource{Type: "Package", ID: p.PackageID, Project: p.Project, Classification: p.Classification}
}

// pkg returns a package that the caller may see.
func (a *API) pkg(c *call, id string) (*evidence.Package, error) {
	p, err := a.Evidence.Package(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("package", err)
	}
	return p, a.seeFor(c, "package:read", "package", packageResource(p))
}

func (a *API) listPackages(c *call, p *packageList, _ *none) (Page[evidence.Package], error) {
	page := Page[evidence.Package]{Items: []evidence.Package{}}
	sees, err := a.visibility(c)
	if err != nil {
		return page, err
	}
	f := evidence.PackageFilter{ModelID: p.Model, Status: evidence.Status(p.Status), Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Evidence.Packages(c.ctx(), f, p.Cursor)
	page.NextCursor = next
	for _, one := range list {
		if sees.Sees("", one.Project, one.Classification) {
			page.Items = append(page.Items, *one)
		}
	}
	return page, err
}

func (a *API) actor(c *call) evidence.By { return evidence.By{Actor: c.by.ID, RecordedBy: c.by.ID} }

func (a *API) createPackage(c *call, _ *none, body *NewPackageBody) (*evidence.Package, error) {
	p := evidence.Package{PackageID: body.PackageID, ModelID: body.ModelID, Title: body.Title, Project: body.Project, Classification: body.Classification}
	if p.Project == "" {
		p.Project = c.by.Project
	}
	var made *evidence.Package
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) (err error) {
		if made, err = a.Evidence.Create(tx, p, a.actor(c)); err != nil {
			return err
		}
		return a.authorize(c, tx, packageResource(made))
	})
	if err != nil {
		return nil, err
	}
	c.set("Location", "/v1/packages/"+url.PathEscape(made.PackageID))
	return made, nil
}

// changePackage runs do in a transaction that may act on the package as it is there.
func (a *API) changePackage(c *call, id string, do func(tx *db.Tx, p *evidence.Package) error) error {
	if _, err := a.pkg(c, id); err != nil {
		return err
	}
	return a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		p, err := a.Evidence.PackageIn(tx, id)
		if err != nil {
			return err
		}
		if err := a.authorize(c, tx, packageResource(p)); err != nil {
			return err
		}
		return do(tx, p)
	})
}

func (a *API) setPlan(c *call, p *planPath, body *PlanBody) (*evidence.Plan, error) {
	want, err := revisionOf(p.IfMatch)
	if err != nil {
		return nil, err
	}
	if p.Version != 0 {
		return nil, caos.Errorf(caos.Invalid, "a new plan gets its version by itself").WithField("version").WithHint("use If-Match to name the plan that it replaces")
	}
	var plan *evidence.Plan
	err = a.changePackage(c, p.ID, func(tx *db.Tx, pkg *evidence.Package) (err error) {
		if want >= 0 && want != int64(pkg.PlanVersion) {
			return refuse(http.StatusPreconditionFailed, caos.Errorf(caos.Conflict, "the plan has version %d", pkg.PlanVersion).
				WithField("If-Match").WithHint("read it again and repeat the change"))
		}
		plan, err = a.Evidence.SetPlan(tx, evidence.Plan{PackageID: p.ID, Requirements: body.Requirements, Objectives: body.Objectives, Source: body.Source}, a.actor(c))
		return err
	})
	if err != nil {
		return nil, err
	}
	c.set("ETag", etag(int64(plan.Version)))
	return plan, nil
}

func (a *API) attach(c *call, p *PackagePath, body *AttachBody) (*evidence.Package, error) {
	if body.RecordID == "" {
		return nil, missing("audit_record_id")
	}
	if _, err := a.pkg(c, p.ID); err != nil {
		return nil, err
	}
	// The record goes into an export: the caller must be allowed to read it.
	s, rec, err := a.readRecord(c.ctx(), body.RecordID)
	if err = c.unknown("audit record", err); err == nil {
		err = a.seeFor(c, "audit:read", "audit record", recordResource(s, rec))
	}
	if err != nil {
		return nil, caos.AsError(err).WithField("audit_record_id")
	}
	err = a.changePackage(c, p.ID, func(tx *db.Tx, pkg *evidence.Package) error {
		if err := pkg.MayHold(rec.Project, rec.Classification); err != nil {
			return caos.AsError(err).WithField("audit_record_id")
		}
		return a.Evidence.Attach(tx, p.ID, body.RecordID, body.Decision, a.actor(c))
	})
	if err != nil {
		return nil, err
	}
	return a.pkg(c, p.ID)
}

// EventPackageClosed is the type of the event that a closed package is told with.
const EventPackageClosed = "caos.package.closed"

func (a *API) closePackage(c *call, p *PackagePath, body *CloseBody) (*evidence.PackageStatus, error) {
	seen, err := a.pkg(c, p.ID)
	if err != nil {
		return nil, err
	}
	frozen, err := a.latestBaseline(c, seen.ModelID)
	if err != nil {
		return nil, err
	}
	err = a.changePackage(c, p.ID, func(tx *db.Tx, pkg *evidence.Package) error {
		full, err := a.Evidence.Close(tx, p.ID, body.Statement, a.actor(c))
		if err != nil || a.Events == nil {
			return err
		}
		data := map[string]any{"package_id": p.ID, "model_id": pkg.ModelID, "full_coverage": full, "closed_by": c.by.ID}
		if frozen != nil {
			data["model_version"], data["baseline_id"] = frozen.Version, frozen.BaselineID
		}
		return a.Events.Emit(tx, event.Event{Type: EventPackageClosed, Subject: p.ID, Time: a.now(), Project: pkg.Project, Classification: pkg.Classification, Data: data})
	})
	if err != nil {
		return nil, err
	}
	return a.Evidence.Status(c.ctx(), p.ID)
}

// latestBaseline is the version of a model that was frozen last, nil if none was: a package
// is about a model, and what is certified of it is that.
func (a *API) latestBaseline(c *call, modelID string) (*registry.Baseline, error) {
	if a.Registry == nil {
		return nil, nil
	}
	list, _, err := a.Registry.Baselines(c.ctx(), registry.BaselineFilter{ModelID: modelID, Limit: 1}, "")
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

// exportPackage streams a package. That it was given away is in the log before the first
// byte is out. The record does not name the package as a resource: it would become a part
// of the next export.
func (a *API) exportPackage(c *call) error {
	q := c.r.URL.Query()
	for name := range q {
		if name != "for" {
			return caos.Errorf(caos.Invalid, "unknown query parameter").WithField(clip(name, 80)).WithHint("this route has for")
		}
	}
	audience := evidence.Audience(q.Get("for"))
	switch audience {
	case "":
		audience = evidence.Authority
	case evidence.Authority, evidence.Supplier, evidence.Public:
	default:
		return caos.Errorf(caos.Invalid, "%q is not an audience", clip(string(audience), 40)).WithField("for").WithHint("one of authority, supplier, public")
	}
	id := c.path("package_id")
	p, err := a.pkg(c, id)
	if err != nil {
		return err
	}
	if c.r.Method == http.MethodHead {
		return nil // nothing is given away
	}
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		if err := a.authorize(c, tx, packageResource(p)); err != nil {
			return err
		}
		_, err := a.Log.Append(tx, auditlog.Record{Type: auditlog.Access, Time: a.now(), Actor: c.by.ID, RecordedBy: c.by.ID,
			Details: map[string]any{"event": "package exported", "package_id": id, "audience": audience}, Project: p.Project, Classification: p.Classification})
		return err
	})
	if err != nil {
		return err
	}
	out := &begun{c: c, begin: func() {
		c.set("Content-Type", "application/vnd.caos.package")
		c.set("Content-Disposition", attachment(id+".caospkg"))
	}}
	if err := a.Evidence.Export(c.ctx(), id, audience, a.mayExport(c, p), out); err != nil {
		if c.w.status == 0 {
			return err
		}
		c.fault = err
		panic(http.ErrAbortHandler) // half a package must not look like a whole one
	}
	return nil
}

// mayExport refuses what the caller has no clearance for: a package holds what is classified
// higher than itself, such as what a board decided about its model. It names nothing of it.
func (a *API) mayExport(c *call, p *evidence.Package) func(classification string) error {
	return func(classification string) error {
		res := packageResource(p)
		res.Classification = classification
		err := a.DB.Update(c.ctx(), func(tx *db.Tx) error { return a.authorize(c, tx, res) })
		if caos.KindOf(err) == caos.Denied {
			return caos.Errorf(caos.Denied, "the package %s holds what is classified higher than you may know of", p.PackageID).WithRule(caos.AsError(err).Rule).
				WithHint("somebody with the clearance exports it; or export it for another audience: public or supplier")
		}
		return err
	}
}

// begun sets the headers of a stream with its first byte, so that a failure before it can
// still be told.
type begun struct {
	c     *call
	begin func()
	out   *outflow
}

func (b *begun) Write(p []byte) (int, error) {
	if b.out == nil {
		b.begin()
		out := b.c.outflow()
		b.out = &out
	}
	return b.out.Write(p)
}
