package anchor

import (
	"bytes"
	"context"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"caos/internal/verify"
)

// cosigned is a checkpoint with cosignatures of configured witnesses.
type cosigned struct {
	point verify.Checkpoint
	note  []byte   // as the log signed it
	lines []string // one of each witness
}

// maxCosigned is how many rows are looked at for the newest cosigned checkpoints.
const maxCosigned = 256

func (s *Service) witnessed() bool { return len(s.opt.Settings.Witnesses) > 0 }

// refresh reads what witnesses have cosigned: this node's and others'.
func (s *Service) refresh(ctx context.Context) error {
	keys := map[string]note.Verifier{}
	for _, p := range s.dest {
		if c, ok := p.destination.(*cosigner); ok {
			keys[p.name()] = c.client.Key
		}
	}
	rows, _, err := s.List(ctx, Filter{Kind: verify.AnchorWitness, State: Confirmed, Limit: maxCosigned}, "")
	if err != nil {
		return err
	}
	var all []cosigned
	for _, a := range rows {
		key := keys[a.Destination]
		if key == nil {
			continue // it is not configured any more
		}
		n, err := note.Open([]byte(a.Checkpoint), note.VerifierList(key))
		if err != nil {
			continue // cosigned by a key that it had before
		}
		point, err := verify.ParseCheckpoint([]byte(n.Text))
		if err != nil {
			continue
		}
		line := "— " + n.Sigs[0].Name + " " + n.Sigs[0].Base64 + "\n"
		i := slices.IndexFunc(all, func(c cosigned) bool {
			return c.point.Origin == point.Origin && c.point.Size == point.Size && c.point.Root == point.Root
		})
		if i < 0 {
			i, all = len(all), append(all, cosigned{point: point, note: bytes.Replace([]byte(a.Checkpoint), []byte(line), nil, 1)})
		}
		all[i].lines = append(all[i].lines, line)
	}
	slices.SortStableFunc(all, func(a, b cosigned) int { return int(min(max(b.point.Size-a.point.Size, -1), 1)) })
	for i := range all {
		slices.Sort(all[i].lines) // the same bytes whoever was first
		all[i].lines = slices.Compact(all[i].lines)
	}
	s.cosigned.Store(&all)
	return nil
}

// quorate is the newest checkpoint of a log that enough witnesses have cosigned, nil if there
// is none.
func (s *Service) quorate(origin string) *cosigned {
	all := s.cosigned.Load()
	if all == nil {
		return nil
	}
	for i := range *all {
		if c := &(*all)[i]; c.point.Origin == origin && len(c.lines) >= max(s.opt.Settings.Quorum, 1) {
			return c
		}
	}
	return nil
}

// Checkpoint returns what /log/checkpoint serves: the log's newest checkpoint, with the
// cosignatures that there are of it; or, where a quorum is configured, the newest that as many
// witnesses have cosigned, because who wants a quorum can use no other. Before there is one,
// the newest is served.
func (s *Service) Checkpoint(ctx context.Context) ([]byte, error) {
	note, err := s.opt.Log.Checkpoint(ctx)
	if err != nil || !s.witnessed() {
		return note, err
	}
	if s.cosigned.Load() == nil {
		if err := s.refresh(ctx); err != nil {
			return nil, err
		}
	}
	point, err := pointOf(note)
	if err != nil {
		return nil, err
	}
	if s.opt.Settings.Quorum > 0 {
		if c := s.quorate(point.Origin); c != nil {
			return c.whole(c.note), nil
		}
	}
	for _, c := range *s.cosigned.Load() {
		if c.point.Origin == point.Origin && c.point.Size == point.Size && c.point.Root == point.Root {
			return c.whole(note), nil
		}
	}
	return note, nil
}

// whole is a signed checkpoint with the cosignatures behind the log's signature.
func (c *cosigned) whole(note []byte) []byte {
	out := bytes.Clone(note)
	for _, l := range c.lines {
		out = append(out, l...)
	}
	return out
}
