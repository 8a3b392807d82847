package anchor

import (
	"context"
	"errors"

	"caos"
	"caos/internal/verify"
	"caos/internal/witness"
)

// cosigner is a witness of the log.
type cosigner struct {
	s      *Service
	label  string
	client witness.Client
}

func newWitness(s *Service, w Witness) (*cosigner, error) {
	key, err := verify.ParseWitnessKey(w.Key)
	if err != nil {
		return nil, caos.AsError(err).WithField("key").WithHint("it is what caos witness key prints, as witness.example/w1+0123abcd+BA…")
	}
	if w.URL == "" {
		return nil, invalid("url", "a witness has an address")
	}
	if w.Name == "" {
		w.Name = key.Name()
	}
	return &cosigner{s: s, label: w.Name, client: witness.Client{URL: w.URL, Key: key, HTTP: s.opt.HTTP}}, nil
}

func (c *cosigner) kind() string { return verify.AnchorWitness }
func (c *cosigner) name() string { return c.label }

// rounds is how often a witness is asked in one attempt: it says once from where the proof is
// to begin, and another node may get in between.
const rounds = 3

// give asks for a cosignature, with a proof from the size that the witness cosigned last. It
// knows that better than we do.
func (c *cosigner) give(ctx context.Context, g given) (got, error) {
	old := g.last
	for range rounds {
		req := witness.Request{Old: old, Checkpoint: g.note}
		if old > 0 && old < g.point.Size {
			var err error
			if req.Proof, err = c.s.opt.Log.Consistency(ctx, old, g.point.Size); err != nil {
				return got{}, err
			}
		}
		answer, err := c.client.Add(ctx, req)
		var behind *witness.Behind
		switch {
		case err == nil:
			return got{cosignature: answer.Line, proved: answer.At}, nil
		case caos.AsError(err).Rule == witness.RuleInconsistent && old > 0: // from nothing there is nothing to contradict
			return got{}, diverged("it has cosigned a tree of %d leaves that is not the one the log had: %s", old, caos.AsError(err).Message).holding(verify.Checkpoint{Origin: g.point.Origin, Size: old})
		case !errors.As(err, &behind):
			return got{}, err
		}
		if behind.Size > g.point.Size {
			return c.ahead(ctx, g, behind.Size)
		}
		old = behind.Size
	}
	return got{}, caos.Errorf(caos.Unavailable, "the witness names another size each time it is asked")
}

// ahead judges a witness that has cosigned a larger tree than ours: of this very log, which
// another node has given it and recorded, or of one that it was before it was cut. One that
// only says so, to be left alone, fails.
func (c *cosigner) ahead(ctx context.Context, g given, size int64) (got, error) {
	now, _, err := c.s.opt.Log.Root(ctx)
	if err != nil {
		return got{}, err
	}
	if size > now {
		return got{}, diverged("it has cosigned a tree of %d leaves, and the log has %d", size, now).holding(verify.Checkpoint{Origin: g.point.Origin, Size: size})
	}
	known, _, err := c.s.List(ctx, Filter{Kind: c.kind(), Destination: c.name(), State: Confirmed, Size: size, Limit: 1}, "")
	if err != nil {
		return got{}, err
	}
	if len(known) == 0 || known[0].Origin != g.point.Origin {
		return got{}, caos.Errorf(caos.Unavailable, "the witness says that it has cosigned %d leaves, which nobody here knows of", size).
			WithHint("if that stays so, ask who runs the witness")
	}
	return got{none: true}, nil
}
