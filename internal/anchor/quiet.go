package anchor

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"caos/internal/auditlog"
	"caos/internal/chain"
	"caos/internal/verify"
)

// maxQuiet is the most leaves that are looked at one by one: anchoring itself does not make
// more between two anchors.
const maxQuiet = 256

// quiet reports whether all leaves of a span tell of anchoring itself. If these counted, each
// anchor would be the reason for the next.
func (s *Service) quiet(ctx context.Context, p *place, leaves span) (bool, error) {
	if known := p.quiet.Load(); known != nil && known.origin == leaves.origin && known.from == leaves.from {
		if known.to == leaves.to {
			return true, nil
		}
	}
	if leaves.to-leaves.from > maxQuiet {
		return false, nil
	}
	own, err := s.ownIDs(ctx)
	if err != nil {
		return false, err
	}
	ids, err := s.leafIDs(ctx, leaves)
	if err != nil {
		return false, err
	}
	for _, id := range slices.Backward(ids) {
		stored, err := s.opt.Log.Get(ctx, id)
		if err != nil {
			return false, err
		}
		if !ours(stored.Record, own) {
			return false, nil
		}
	}
	p.quiet.Store(&leaves)
	return true, nil
}

// leafIDs reads the ids of the records of a span from the log's bundles of leaves.
func (s *Service) leafIDs(ctx context.Context, leaves span) ([]string, error) {
	const wide = 256
	var ids []string
	for bundle := leaves.from / wide; bundle*wide < leaves.to; bundle++ {
		width := min(wide, leaves.to-bundle*wide)
		data, err := s.opt.Log.Entries(ctx, bundle, int(width))
		if err != nil {
			return nil, err
		}
		for i := bundle * wide; len(data) > 2; i++ {
			n := int(binary.BigEndian.Uint16(data))
			if len(data) < 2+n {
				return nil, fmt.Errorf("bundle %d of the audit log is damaged", bundle)
			}
			leaf, err := verify.ParseLeaf(data[2 : 2+n])
			if err != nil {
				return nil, err
			}
			if i >= leaves.from {
				ids = append(ids, leaf.ID)
			}
			data = data[2+n:]
		}
	}
	return ids, nil
}

// ownIDs are the executions and transactions of the last checkpoints that were recorded on a
// chain, and their subjects.
func (s *Service) ownIDs(ctx context.Context) (map[string]bool, error) {
	own := map[string]bool{}
	if s.opt.Chain == nil {
		return own, nil
	}
	last, _, err := s.List(ctx, Filter{Kind: verify.AnchorChain, Limit: 20}, "")
	if err != nil || len(last) == 0 {
		return own, err
	}
	var ids []string
	for _, a := range last {
		ids = append(ids, subjectID(a.Origin, a.Size))
	}
	subjects, err := s.opt.Chain.SubjectsOf(ctx, chain.KindCheckpoint, ids)
	if err != nil {
		return nil, err
	}
	for id, sub := range subjects {
		own[id] = true
		for _, v := range []string{sub.ExecutionID, sub.TransactionID} {
			if v != "" {
				own[v] = true
			}
		}
	}
	return own, nil
}

// ours reports whether a record tells of anchoring: of an anchor, of a destination, or of the
// execution and the transaction by which a checkpoint gets onto a chain.
func ours(record []byte, own map[string]bool) bool {
	r, err := auditlog.ParseRecord(record)
	if err != nil {
		return false
	}
	if own[r.Execution] || slices.ContainsFunc(r.Resources, func(id string) bool { return own[id] }) {
		return true
	}
	if r.Type != auditlog.Evidence && r.Type != auditlog.Alert || r.Actor != "caos" {
		return false
	}
	raw, _ := r.Details.(json.RawMessage)
	var d struct {
		Event string `json:"event"`
	}
	return json.Unmarshal(raw, &d) == nil && strings.HasPrefix(d.Event, "anchor")
}
