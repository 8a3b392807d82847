package anchor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/chain"
	"caos/internal/verify"
)

// Registry tells what a contract has of a log; *chain.Chain is one.
type Registry interface {
	LastAnchor(ctx context.Context, origin string) (chain.LogAnchor, error)
	AnchorAt(ctx context.Context, origin string, size uint64) (chain.LogAnchor, error)
	AnchorsSince(ctx context.Context, origin string, from, back uint64) (lists [][]chain.LogAnchor, next uint64, err error)
}

const (
	// lookBack is how many blocks are searched for checkpoints when a process starts: almost
	// three days with a block every 12 s. caos audit verify searches all.
	lookBack = 20_000
	// maxDoubts is how many checkpoints that the log did not have are asked for, one by one: an
	// endpoint may list what it likes. It counts for each by itself.
	maxDoubts = 8
	// maxCompared is how many of each list are compared with the log, the newest.
	maxCompared = 1000
)

// watch looks what the registry has, when nothing is to be anchored there: at the start, and
// once in Every. held reports that the log must not be anchored there. p.busy is held.
func (s *Service) watch(ctx context.Context, p *place) (held bool, err error) {
	c, ok := p.destination.(*onChain)
	if !ok || s.opt.Registry == nil {
		return false, nil
	}
	now := s.opt.Now()
	if now.Before(c.lookAt) {
		return false, nil
	}
	if on, _ := s.opt.Log.Recovery(); on {
		return false, nil // the log says itself that it is not what it was
	}
	g, err := s.newest(ctx)
	if err != nil {
		return false, err
	}
	asked, cancel := context.WithTimeout(ctx, s.opt.Patience)
	defer cancel()
	c.lookAt = now.Add(min(s.opt.Settings.Every, s.pause(4))) // soon again if it does not answer
	last, err := c.look(asked, g.point.Origin)
	var d *divergence
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.As(err, &d):
		c.lookAt = now.Add(s.opt.Settings.Every)
		claimed, err := s.claim(ctx, p)
		if err != nil || !claimed {
			return true, err // another node is at it, and sees the same
		}
		row, err := s.row(ctx, p)
		if err != nil {
			return true, err
		}
		return true, s.failed(ctx, p, row, d)
	case err != nil:
		s.opt.Logger.Warn("the registry cannot be asked what it has of the log", slog.String("destination", p.name()), slog.Any("error", err))
	case last.Sole:
		s.opt.Logger.Warn("only one endpoint says what the registry has of the log: it is looked at again soon", slog.String("destination", p.name()))
	default:
		c.lookAt = now.Add(s.opt.Settings.Every)
	}
	return false, nil
}

// look compares what the registry has with the log. last is its largest checkpoint, final or
// not. The error is a divergence if the log cannot have led to one that is final; one that is
// not yet final is no evidence, but nothing is put on top of it.
func (c *onChain) look(ctx context.Context, origin string) (last chain.LogAnchor, err error) {
	if c.s.opt.Registry == nil {
		return last, nil
	}
	c.mu.Lock() // an attempt that nobody waits for any more may still be at it
	defer c.mu.Unlock()
	if last, err = c.s.opt.Registry.LastAnchor(ctx, origin); err != nil {
		return last, err
	}
	if last.Size > 0 {
		if err := c.judge(ctx, origin, last); err != nil {
			return last, err
		}
	}
	c.largest.Store(last.Size)
	row, err := c.s.row(ctx, &place{destination: c})
	if err != nil {
		return last, err
	}
	// What was said of the log that a recovery closed stands in nobody's way.
	accused := row.state == Diverged && (row.origin == "" || row.origin == origin)
	if last.Sole && accused {
		return last, sole("that the registry has no more what it had")
	}
	return last, c.lookBelow(ctx, origin, last, accused)
}

// sole is the error that nobody confirms what one endpoint says.
func sole(what string) error {
	return caos.Errorf(caos.Unavailable, "one endpoint alone says %s", what).WithRule("chain-agree").
		WithHint("see to the other endpoints of chain.endpoints: what only one says accuses nobody, and clears nobody")
}

// judge compares one checkpoint that the contract has.
func (c *onChain) judge(ctx context.Context, origin string, a chain.LogAnchor) error {
	err := c.compare(ctx, origin, a)
	var d *divergence
	if errors.As(err, &d) && a.Sole {
		return sole("what the log did not lead to: " + d.what)
	}
	if errors.As(err, &d) && !a.Final {
		return caos.Errorf(caos.Unavailable, "the registry has, in block %d that is not final yet, what the log did not lead to: %s", a.Block, d.what).
			WithHint("it is looked at again; if the block stays, an alert follows")
	}
	return err
}

func (c *onChain) compare(ctx context.Context, origin string, a chain.LogAnchor) error {
	if a.Size > math.MaxInt64 {
		return diverged("it has a checkpoint of %d leaves, which no log has", a.Size)
	}
	return c.s.descends(ctx, verify.Checkpoint{Origin: origin, Size: int64(a.Size), Root: tlog.Hash(a.Root)})
}

// lookBelow looks for smaller checkpoints that the log did not lead to: a registry takes a
// larger one whatever stood below it. Endpoints need not list them, so that they do not is no
// failure, unless one was found before: then it has to be shown that it is gone.
func (c *onChain) lookBelow(ctx context.Context, origin string, last chain.LogAnchor, diverged bool) error {
	from, back := c.next, uint64(lookBack)
	if c.nextOf != origin {
		from = 0
	}
	if diverged {
		from, back = 0, math.MaxUint64
	}
	lists, next, err := c.s.opt.Registry.AnchorsSince(ctx, origin, from, back)
	var unlisted error
	if err != nil && diverged { // too long for the endpoints, perhaps: the newest may still show it
		unlisted = err
		lists, next, err = c.s.opt.Registry.AnchorsSince(ctx, origin, 0, lookBack)
	}
	if err != nil { // what there is of the newest counts nevertheless
		c.s.opt.Logger.Debug("the registry's entries cannot be listed", slog.Any("error", err))
		next = from
	}
	for _, list := range lists {
		if err := c.compareListed(ctx, origin, list, last); err != nil {
			return err
		}
	}
	if unlisted != nil {
		return unlisted // that nothing is left of it is not shown
	}
	c.next, c.nextOf = next, origin
	return nil
}

// compareListed compares what endpoints list, but for last. Only what the contract itself says
// counts.
func (c *onChain) compareListed(ctx context.Context, origin string, list []chain.LogAnchor, last chain.LogAnchor) error {
	doubts := 0
	for _, a := range list[max(0, len(list)-maxCompared):] {
		var d *divergence
		if a.Size == last.Size || doubts == maxDoubts {
			continue
		}
		if err := c.compare(ctx, origin, a); err == nil {
			continue
		} else if !errors.As(err, &d) {
			return err
		}
		doubts++
		stated, err := c.s.opt.Registry.AnchorAt(ctx, origin, a.Size)
		if err != nil {
			return err
		}
		if stated.Size == 0 && stated.Sole {
			return sole(fmt.Sprintf("that the registry has no checkpoint of %d leaves, which is listed", a.Size))
		}
		if stated.Size == 0 {
			continue // the contract knows nothing of it
		}
		if err := c.judge(ctx, origin, stated); err != nil {
			return err
		}
	}
	return nil
}

// repeated is the checkpoint that is given to a chain instead of the newest: one that was not
// recorded is tried again as it is, because each further one is a transaction of its own.
func (s *Service) repeated(ctx context.Context, p *place, g given) (given, error) {
	c, ok := p.destination.(*onChain)
	if !ok {
		return g, nil
	}
	last, _, err := s.List(ctx, Filter{Kind: p.kind(), Destination: p.name(), Limit: 1}, "")
	if err != nil || len(last) == 0 {
		return g, err
	}
	a := last[0]
	if a.State != Failed || a.Origin != g.point.Origin || a.Size <= g.last || uint64(a.Size) < c.largest.Load() { //nolint:gosec // sizes are not negative
		return g, nil
	}
	point, err := pointOf([]byte(a.Checkpoint))
	if err != nil {
		return g, err
	}
	return given{note: []byte(a.Checkpoint), point: point, last: g.last, at: g.at}, nil
}

// ruleRefused is the rule of a failure that lasts until a person has done something: it alerts
// at once.
const ruleRefused = "registry-refuses"

var address = regexp.MustCompile(`\b0x[0-9a-fA-F]{40}\b`)

// refusal names why the registry does not take a checkpoint, and the remedy, from the words of
// its revert; nil for anything else.
func refusal(a *Anchor) *caos.Error {
	refuse := func(format string, args ...any) *caos.Error {
		return caos.Errorf(caos.Unavailable, format, args...).WithRule(ruleRefused)
	}
	switch {
	case strings.Contains(a.Error, "AccessControlUnauthorizedAccount"):
		who := address.FindString(a.Error)
		if who == "" {
			who = "that anchors"
		}
		return refuse("the registry does not let the account %s anchor: it lacks ANCHORER_ROLE (%s)", who, a.Error).
			WithHint("the contract's administrator calls grantRole with ANCHORER_ROLE and the account; then caos audit anchor")
	case strings.Contains(a.Error, "EnforcedPause"):
		return refuse("the registry is paused (%s)", a.Error).WithHint("ask who paused it and why; a holder of its PAUSER_ROLE calls unpause; then caos audit anchor")
	case strings.Contains(a.Error, "StaleAnchor"):
		return caos.Errorf(caos.Unavailable, "the registry had a larger checkpoint of this log than that of %d leaves already (%s)", a.Size, a.Error).
			WithHint("the newest is anchored next, if the log has led to what the registry has")
	}
	return nil
}
