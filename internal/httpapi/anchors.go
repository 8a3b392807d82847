package httpapi

import (
	"strconv"

	"caos/internal/anchor"
	"caos/internal/auth"
)

type anchorList struct {
	Paging
	Kind        string `query:"kind" enum:"witness,timestamp,chain,object,file"`
	Destination string `query:"destination" maxLength:"500"`
	State       string `query:"state" enum:"PENDING,CONFIRMED,FAILED"`
	Size        int64  `query:"size" minimum:"1" doc:"of a checkpoint of exactly so many leaves"`
}

// AnchorPath names an anchor.
type AnchorPath struct {
	ID string `path:"anchor_id" maxLength:"100" example:"ANCHOR-20261122T101500.123456Z"`
}

// AnchorBody says where to anchor now.
type AnchorBody struct {
	Kinds []string `json:"kinds,omitempty" maxItems:"5" enum:"witness,timestamp,chain,object,file" doc:"destinations of these kinds; all if empty"`
}

// AnchorsAsked is how it stands with the destinations that were asked.
type AnchorsAsked struct {
	Destinations []anchor.Destination `json:"destinations"`
}

func (a *API) registerAnchors() {
	read := may("anchor:read")
	operation(a, get("/v1/anchors", read).as("list-anchors", "log", "Anchors of the audit log, latest first").
		about("An anchor is a checkpoint that somebody outside was given: a witness, a time-stamp server, a contract on a chain, a locked object, a file. A single anchor has its proof."),
		a.listAnchors)
	operation(a, get("/v1/anchors/status", read).as("anchor-status", "log", "How it stands with every destination of anchors"),
		func(c *call, _ *none, _ *none) (*anchor.Status, error) { return a.Anchors.Status(c.ctx()) })
	operation(a, get("/v1/anchors/{anchor_id}", read).as("get-anchor", "log", "An anchor with its checkpoint and its proof"),
		func(c *call, p *AnchorPath, _ *none) (*anchor.Anchor, error) {
			x, err := a.Anchors.Get(c.ctx(), p.ID)
			if err != nil {
				return nil, c.unknown("anchor", err)
			}
			return x, a.seeFor(c, "anchor:read", "anchor", anchorResource(x))
		})
	operation(a, post("/v1/anchors", may("anchor:write")).as("anchor-now", "log", "Anchor the newest checkpoint at once").
		about("It answers when every destination that was asked has answered, a minute at most; on a chain the anchor is PENDING until its transaction is final. "+
			"That a destination fails is no error of this request: its state says so. A destination that has the newest checkpoint is not asked again."),
		func(c *call, _ *none, body *AnchorBody) (*AnchorsAsked, error) {
			if err := a.Auth.Allow(c.by, "anchor:write", auth.Resource{Type: "Anchor", ID: "log", Classification: "Public"}); err != nil {
				return nil, err
			}
			list, err := a.Anchors.Now(c.ctx(), c.by, body.Kinds...)
			return &AnchorsAsked{Destinations: list}, err
		})
}

func anchorResource(x *anchor.Anchor) auth.Resource {
	return auth.Resource{Type: "Anchor", ID: x.AnchorID, Project: x.Project, Classification: x.Classification}
}

func (a *API) listAnchors(c *call, p *anchorList, _ *none) (Page[*anchor.Anchor], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*anchor.Anchor]{}, err
	}
	f := anchor.Filter{Kind: p.Kind, Destination: p.Destination, State: anchor.State(p.State), Size: p.Size, Limit: p.Limit}
	list, next, err := a.Anchors.List(c.ctx(), f, p.Cursor)
	for _, x := range list {
		x.Proof = nil // kilobytes each; a single anchor has it
	}
	return visible(sees, list, next, anchorResource), err
}

// checkpoint serves the checkpoint of the log with the cosignatures that there are of it.
func (a *API) checkpoint(c *call) error {
	note, err := a.Anchors.Checkpoint(c.ctx())
	if err != nil {
		return err
	}
	c.set("Content-Type", "text/plain; charset=utf-8")
	c.set("Cache-Control", "no-cache")
	c.set("Content-Length", strconv.Itoa(len(note)))
	_, _ = c.w.Write(note) // nobody is left to tell
	return nil
}
