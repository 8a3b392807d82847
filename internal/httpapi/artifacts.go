package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"caos"
	"caos/internal/db"
	"caos/internal/object"
	"caos/internal/registry"
)

// ObjectBody names an uploaded object in one of two ways.
type ObjectBody struct {
	Digest string `json:"digest,omitempty" maxLength:"80" doc:"of an uploaded object: SHA256:HEX" example:"SHA256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	URI    string `json:"uri,omitempty" maxLength:"100" doc:"the same as an address, as the upload answered it: object://SHA256:HEX"`
}

// NewArtifactBody attaches an uploaded object to a version.
type NewArtifactBody struct {
	ObjectBody
	Name        string `json:"name" maxLength:"200" doc:"a relative path with slashes, unique in the version" example:"model/weights.onnx"`
	Role        string `json:"role" enum:"trained,converted,inference,architecture,weights,configuration,training-dataset,validation-dataset,test-results,training-log,traceability-matrix,safety-document,design-document,other"`
	MediaType   string `json:"media_type,omitempty" maxLength:"100"`
	Source      string `json:"source,omitempty" maxLength:"300" doc:"where it came from, in words or as an address without secrets"`
	Description string `json:"description,omitempty" maxLength:"4000"`
}

// NewConversionBody says how one artifact was made from another.
type NewConversionBody struct {
	From        string         `json:"from" maxLength:"200" doc:"name of an artifact of the version"`
	To          string         `json:"to" maxLength:"200" doc:"likewise"`
	FromDigest  string         `json:"from_digest,omitempty" maxLength:"80" doc:"the artifact's if left out; another is refused"`
	ToDigest    string         `json:"to_digest,omitempty" maxLength:"80" doc:"likewise"`
	Tool        string         `json:"tool" minLength:"1" maxLength:"100"`
	ToolVersion string         `json:"tool_version" minLength:"1" maxLength:"100"`
	Parameters  map[string]any `json:"parameters,omitempty"`
	Equivalence string         `json:"equivalence,omitempty" maxLength:"120" doc:"id of the document or evidence that shows that both compute the same"`
}

type artifactPath struct {
	VersionPath
	Name    string `query:"name" maxLength:"200" doc:"of the artifact" required:"true"`
	IfMatch string `header:"If-Match" maxLength:"64" doc:"ETag of the version"`
}

func (a *API) registerArtifacts() {
	const path = "/v1/models/{model_id}/versions/{version}/artifacts"
	read, bring := may("model:read"), may("model:artifact")
	operation(a, get(path, read).as("list-artifacts", "models", "The files of a version, by name, with what a scan found in them"), a.listArtifacts)
	operation(a, post(path, bring).answers(http.StatusCreated).as("attach-artifact", "models", "Attach an uploaded object to a version").
		about("Upload it first with POST /v1/objects. It is scanned and never loaded. The same name with the same bytes again changes nothing; other bytes under a name are a conflict."),
		a.attachArtifact)
	operation(a, del(path, bring).as("detach-artifact", "models", "Take a file out of a version").about("Only before the version is frozen. The bytes stay: they are part of its history."), a.detachArtifact)
	const conversions = "/v1/models/{model_id}/versions/{version}/conversions"
	operation(a, get(conversions, read).as("list-conversions", "models", "How the files of a version were made from each other"), a.listConversions)
	operation(a, post(conversions, bring).answers(http.StatusCreated).as("record-conversion", "models", "Record how one file was made from another"), a.recordConversion)
}

func (a *API) listArtifacts(c *call, p *VersionPath, _ *none) (Page[*registry.Artifact], error) {
	if _, err := a.version(c, p); err != nil {
		return Page[*registry.Artifact]{}, err
	}
	list, err := a.Registry.Artifacts(c.ctx(), p.Model, p.Version)
	return Page[*registry.Artifact]{Items: filled(list)}, err
}

// uploaded returns the digest of an object that the caller may use: one whose bytes they
// sent themselves, or one that they could read anyway. A digest alone, which is written in
// many places, opens nothing.
func (a *API) uploaded(c *call, b ObjectBody) (string, error) {
	digest, field := b.Digest, "digest"
	switch {
	case b.Digest == "" && b.URI == "":
		return "", caos.Errorf(caos.Invalid, "it is missing").WithField("digest").WithHint("upload the bytes with POST /v1/objects and send the digest or uri of the answer")
	case b.URI != "":
		field = "uri"
		rest, ok := strings.CutPrefix(b.URI, "object://")
		if !ok {
			return "", caos.Errorf(caos.Invalid, "it is not the address of an uploaded object").WithField(field).WithHint("object://SHA256:HEX, as POST /v1/objects answers")
		}
		if digest = rest; b.Digest != "" && b.Digest != rest {
			return "", caos.Errorf(caos.Invalid, "it contradicts uri").WithField("digest").WithHint("send one of the two")
		}
	}
	if _, err := object.ParseDigest(digest); err != nil {
		return "", caos.AsError(err).WithField(field)
	}
	usable, err := a.mayUse(c, digest)
	if err != nil {
		return "", err
	}
	if usable {
		_, err := a.Objects.Stat(digest)
		if caos.KindOf(err) != caos.NotFound {
			return digest, err
		}
	}
	return "", caos.Errorf(caos.NotFound, "there is no such object, or it is not for you").WithField(field).WithHint("upload the bytes with POST /v1/objects")
}

func (a *API) mayUse(c *call, digest string) (bool, error) {
	sent, err := a.Objects.SentBy(c.ctx(), digest, c.by.ID)
	if sent || err != nil {
		return sent, err
	}
	refs, err := a.Objects.References(c.ctx(), digest)
	if err != nil {
		return false, err
	}
	if len(refs) == 0 { // nobody's yet: for those who are not confined to projects
		refs = []object.Binding{{}}
	}
	sees, err := a.Auth.Visible(c.by, "object:read", "Object")
	if caos.KindOf(err) == caos.Denied {
		return false, nil
	}
	return err == nil && slices.ContainsFunc(refs, func(b object.Binding) bool { return sees.Sees(b.Owner, b.Project, b.Classification) }), err
}

func (a *API) attachArtifact(c *call, p *VersionPath, body *NewArtifactBody) (*registry.Artifact, error) {
	if _, err := a.version(c, p); err != nil {
		return nil, err
	}
	digest, err := a.uploaded(c, body.ObjectBody)
	if err != nil {
		return nil, err
	}
	// The scan reads the whole file, so it comes before the transaction; that it was of these
	// bytes is sure because an object never changes.
	size, scan, err := a.Registry.Inspect(c.ctx(), digest, body.Name)
	if err != nil {
		return nil, err
	}
	x := registry.Artifact{ModelID: p.Model, Version: p.Version, Name: body.Name, Role: body.Role, Digest: digest, Size: size, MediaType: body.MediaType,
		Format: string(scan.Format), Source: body.Source, Description: body.Description, Scan: scan}
	var made *registry.Artifact
	err = a.changeModel(c, p.Model, map[string]any{"role": body.Role}, func(tx *db.Tx, _ *registry.Model) (err error) {
		made, err = a.Registry.Attach(tx, p.Model, p.Version, x, c.who())
		return err
	})
	return made, err
}

func (a *API) detachArtifact(c *call, p *artifactPath, _ *none) (Done, error) {
	revision, err := seen(p.IfMatch)
	if err != nil {
		return Done{}, err
	}
	if _, err := a.version(c, &p.VersionPath); err != nil {
		return Done{}, err
	}
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		m, err := a.Registry.ModelIn(tx, p.Model)
		if err != nil {
			return err
		}
		list, err := a.Registry.ArtifactsIn(tx, p.Model, p.Version)
		if err != nil {
			return err
		}
		further := map[string]any{}
		for _, x := range list {
			if x.Name == p.Name {
				further["role"] = x.Role
			}
		}
		if err := a.Auth.Authorize(tx, c.by, c.endpoint.Rule.Action, modelResource(m), further); err != nil {
			return err
		}
		v, err := a.Registry.VersionIn(tx, p.Model, p.Version)
		if err != nil {
			return err
		}
		if revision != 0 && revision != v.Revision {
			return caos.Errorf(caos.Conflict, "the version has revision %d", v.Revision).WithField("If-Match").WithHint("read it again and repeat the change")
		}
		return a.Registry.Detach(tx, p.Model, p.Version, p.Name, c.who())
	})
	return Done{err == nil}, stale(err)
}

func (a *API) listConversions(c *call, p *VersionPath, _ *none) (Page[*registry.Conversion], error) {
	if _, err := a.version(c, p); err != nil {
		return Page[*registry.Conversion]{}, err
	}
	list, err := a.Registry.Conversions(c.ctx(), p.Model, p.Version)
	return Page[*registry.Conversion]{Items: filled(list)}, err
}

func (a *API) recordConversion(c *call, p *VersionPath, body *NewConversionBody) (*registry.Conversion, error) {
	if _, err := a.version(c, p); err != nil {
		return nil, err
	}
	x := registry.Conversion{ModelID: p.Model, Version: p.Version, From: body.From, To: body.To, FromDigest: body.FromDigest, ToDigest: body.ToDigest,
		Tool: body.Tool, ToolVersion: body.ToolVersion, Parameters: body.Parameters, Equivalence: body.Equivalence}
	var made *registry.Conversion
	err := a.changeModel(c, p.Model, nil, func(tx *db.Tx, _ *registry.Model) (err error) {
		made, err = a.Registry.RecordConversion(tx, x, c.who())
		return err
	})
	return made, err
}
