package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"caos"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/registry"
)

type lineagePath struct {
	Node      string `query:"node" minLength:"1" maxLength:"2000" required:"true" doc:"KIND:ID as lineage answers have it, or what names one: an id, a URI, a digest; without a version the latest" example:"model-version:NN-DLY-001@1.0.0"`
	Direction string `query:"direction" enum:"up,down,both" default:"both" doc:"up: what it was made from; down: what was made from it"`
	Depth     int    `query:"depth" minimum:"1" maximum:"32" default:"8" doc:"edges from the node"`
	Limit     int    `query:"limit" minimum:"1" maximum:"2000" default:"500" doc:"nodes"`
}

type lineageEventsPath struct {
	Execution string `query:"execution" minLength:"1" maxLength:"200" required:"true" doc:"EXEC-… of a pipeline or a validation"`
}

// LineageLinkBody says that a version of a model was trained or validated on a version of
// data.
type LineageLinkBody struct {
	Data         string `json:"data" minLength:"1" maxLength:"2000" doc:"a version of data that the lineage knows: its id, its URI or its digest" example:"DP-DLY-001.train@3"`
	ModelID      string `json:"model_id" maxLength:"64" example:"NN-DLY-001"`
	ModelVersion string `json:"model_version" maxLength:"64" example:"1.0.0"`
	Role         string `json:"role" enum:"training,validation"`
}

// LineageLink is what was linked.
type LineageLink struct {
	From         string `json:"from" doc:"KIND:ID of the data"`
	To           string `json:"to" doc:"KIND:ID of the version"`
	Kind         string `json:"kind" enum:"TRAINED_ON,VALIDATED_ON"`
	VersionState string `json:"version_state" doc:"where the version stood when this was said; what was said of a frozen one is no part of its baseline"`
}

func (a *API) registerLineage() {
	read := may("dataset:read")
	operation(a, get("/v1/lineage", read).as("lineage", "lineage", "What something was made from, and what was made from it").
		about("Nodes are versions of data, executions, validations, versions of models and baselines; edges lead the way that data flows. "+
			"What is not for the caller is not there: it is neither shown nor counted, and nothing is followed through it. cut says that there is more than depth and limit let through."),
		a.lineage)
	operation(a, get("/v1/lineage/events", read).as("lineage-events", "lineage", "The OpenLineage events of an execution").
		about("event is to version 2-0-2 of the OpenLineage specification; sent_at is null for what was not sent, and refusal says why it will not be."), a.lineageEvents)
	if a.Registry != nil {
		operation(a, post("/v1/lineage/links", may("model:artifact")).answers(http.StatusCreated).as("link-lineage", "lineage", "Say what data a version of a model was trained or validated on").
			about("For those who may attach datasets to the version, at any time: a freeze that does not know the data says so, and changes nothing that is said later. "+
				"What was said after the freeze carries its own time and author, and the baseline stays as it is. What is linked already stays."), a.linkLineage)
	}
}

// lineage answers with what the caller may know of.
func (a *API) lineage(c *call, p *lineagePath, _ *none) (*Lineage, error) {
	sees, err := a.visibility(c)
	if err != nil {
		return nil, err
	}
	l, err := a.Datasets.Lineage(c.ctx(), dataset.LineageQuery{Node: p.Node, Direction: p.Direction, Depth: p.Depth, Limit: p.Limit, Sees: sees})
	if err != nil {
		return nil, err
	}
	hidden, err := a.hiddenModels(c, l)
	if err != nil {
		return nil, err
	}
	if l = l.Without(hidden); l == nil {
		return nil, dataset.NoNode()
	}
	return &Lineage{Lineage: l}, nil
}

// hiddenModels are the nodes of models that the caller may not know of as they are now: the
// lineage keeps what a model was when it was linked.
func (a *API) hiddenModels(c *call, l *dataset.Lineage) (map[string]bool, error) {
	if a.Registry == nil {
		return nil, nil
	}
	hidden, asked := map[string]bool{}, map[string]bool{}
	for _, n := range l.Nodes {
		model, _, _ := strings.Cut(n.ID, "@")
		switch n.Kind {
		case dataset.NodeBaseline:
			var err error
			if model, _, err = registry.ParseBaselineID(n.ID); err != nil {
				continue
			}
		case dataset.NodeModelVersion:
		default:
			continue
		}
		if _, known := asked[model]; !known {
			m, err := a.Registry.Model(c.ctx(), model)
			if err == nil {
				err = a.Auth.Allow(c.by, "model:read", modelResource(m))
			}
			switch caos.KindOf(err) {
			case caos.Denied, caos.NotFound:
				asked[model] = true
			default:
				if err != nil {
					return nil, err
				}
				asked[model] = false
			}
		}
		if asked[model] {
			hidden[n.Key] = true
		}
	}
	return hidden, nil
}

func (a *API) lineageEvents(c *call, p *lineageEventsPath, _ *none) (Page[dataset.KeptRunEvent], error) {
	page := Page[dataset.KeptRunEvent]{Items: []dataset.KeptRunEvent{}}
	sees, err := a.visibility(c)
	if err != nil {
		return page, err
	}
	kept, err := a.Datasets.RunEvents(c.ctx(), p.Execution)
	for _, e := range kept {
		if sees.Owner == "" && sees.Sees("", e.Project, e.Classification) {
			page.Items = append(page.Items, e)
		}
	}
	return page, err
}

func (a *API) linkLineage(c *call, _ *none, body *LineageLinkBody) (*LineageLink, error) {
	if _, err := a.aboutModel(c, body.ModelID); err != nil {
		return nil, err
	}
	data, err := a.linkedData(c, body.Data)
	if err != nil {
		return nil, err
	}
	kind := dataset.EdgeTrainedOn
	if body.Role == "validation" {
		kind = dataset.EdgeValidatedOn
	}
	out := &LineageLink{From: data.Key(), Kind: kind}
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		m, err := a.Registry.ModelIn(tx, body.ModelID)
		if err != nil {
			return err
		}
		if err := a.Auth.Authorize(tx, c.by, c.endpoint.Rule.Action, modelResource(m), map[string]any{"role": body.Role + "-dataset"}); err != nil {
			return err
		}
		v, err := a.Registry.VersionIn(tx, body.ModelID, body.ModelVersion)
		if caos.KindOf(err) == caos.NotFound {
			return caos.Errorf(caos.NotFound, "the model has no such version").WithField("model_version")
		}
		if err != nil {
			return caos.AsError(err).WithField("model_version")
		}
		to := dataset.ModelVersionNode(v.ModelID, v.Version).In(m.Project, m.Classification)
		edges := []dataset.Edge{{From: *data, To: to, Kind: kind}}
		if v.BaselineID != "" { // frozen before anybody spoke of its lineage, perhaps
			edges = append(edges, dataset.Edge{From: to, To: dataset.BaselineNode(v.BaselineID, "", time.Time{}).In(m.Project, m.Classification), Kind: dataset.EdgeFrozenAs})
		}
		out.To, out.VersionState = to.Key(), string(v.State)
		return a.Datasets.Link(tx, edges, c.data())
	})
	if err != nil {
		return nil, err
	}
	c.set("Location", "/v1/lineage?node="+url.QueryEscape(out.To))
	return out, nil
}

// linkedData finds the version of data that a caller means, among those that they may know
// of.
func (a *API) linkedData(c *call, name string) (*dataset.Node, error) {
	sees, err := a.Auth.Visible(c.by, "dataset:read", "Dataset")
	if err != nil {
		return nil, err
	}
	l, err := a.Datasets.Lineage(c.ctx(), dataset.LineageQuery{Node: name, Direction: dataset.LineageUp, Depth: 1, Limit: 1, Sees: sees})
	if caos.KindOf(err) == caos.NotFound {
		return nil, caos.Errorf(caos.NotFound, "the lineage knows no such data, or it is not for you").WithField("data").
			WithHint("data is known once a pipeline has read or published it: see caos dataset list")
	}
	if err != nil {
		if e := caos.AsError(err); e.Field == "node" {
			return nil, e.WithField("data")
		}
		return nil, err
	}
	n := l.Nodes[0].Node
	if n.Kind != dataset.NodeDatasetVersion && n.Kind != dataset.NodeExternalVersion {
		return nil, caos.Errorf(caos.Invalid, "%s is no version of data", n.ID).WithField("data").WithHint("such as DP-DLY-001.train@3")
	}
	return &n, nil
}
