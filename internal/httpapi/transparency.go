package httpapi

import (
	"github.com/danielgtaylor/huma/v2"
)

// registerTransparency adds the public part of the audit log, by the paths of C2SP
// tlog-tiles. Nothing in it is confidential: a leaf is a salted commitment.
func (a *API) registerTransparency() {
	public := a.Log.Handler()
	serve := func(c *call) error {
		c.routed = false // what that handler refuses becomes a problem as well
		public.ServeHTTP(c.w, c.r)
		return nil
	}
	a.plain(get("/log/checkpoint", anyone()).as("checkpoint", "log", "The signed checkpoint of the audit log").
		about("A C2SP tlog-checkpoint: origin, size, root hash, an Ed25519 signature by the checkpoint key, and the cosignatures of witnesses (tlog-cosignature) that there are of it. "+
			"Where a quorum of witnesses is configured, it is the newest checkpoint that as many have cosigned."),
		huma.Operation{Responses: binary("200", "A signed note", "text/plain")}, func(c *call) error {
			if a.Anchors != nil {
				return a.checkpoint(c)
			}
			return serve(c)
		})
	a.plain(get("/log/tile/{path...}", anyone()).as("tile", "log", "A tile of the audit log's tree").
		about("C2SP tlog-tiles: L/N, partial ones as L/N.p/W. Complete tiles never change."),
		huma.Operation{
			Parameters: []*huma.Param{param("path", "path", "level and index of the tile", words())},
			Responses:  binary("200", "Hashes of 32 bytes", "application/octet-stream"),
		}, serve)
	a.plain(get("/log/entries/{path...}", anyone()).as("entries", "log", "A bundle of the audit log's leaves").
		about("C2SP tlog-tiles entry bundles: each leaf led by its length in two bytes."),
		huma.Operation{
			Parameters: []*huma.Param{param("path", "path", "index of the bundle", words())},
			Responses:  binary("200", "Leaves", "application/octet-stream"),
		}, serve)
}
