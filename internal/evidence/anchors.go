package evidence

import (
	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/verify"
)

// addAnchors adds what others swear of the log: every audience gets it, since it says nothing
// but how large the log was, and when.
func (x *export) addAnchors(cp verify.Checkpoint) error {
	if x.r.anchors == nil {
		return nil
	}
	list, err := x.r.anchors(x.ctx, cp.Origin, cp.Size)
	if err != nil || len(list) == 0 {
		return err
	}
	trust, err := x.r.log.Trust(x.ctx)
	if err != nil {
		return err
	}
	for _, a := range list {
		if !verify.InPackage(a.Kind) || a.Size > cp.Size || x.names[verify.AnchorName(a)] {
			continue
		}
		old, err := verify.OpenCheckpoint(a.Checkpoint, trust)
		if err != nil {
			continue // signed by a key that was compromised since: it proves nothing any more
		}
		if old.Size != a.Size || old.Root.String() != a.Root {
			return caos.Errorf(caos.Conflict, "the anchor of %d leaves at %s is of another tree than its checkpoint", a.Size, a.Destination).
				WithHint("what was kept of it was changed: run caos audit verify")
		}
		proof, err := x.consistency(old, cp)
		if err != nil {
			return caos.Wrap(caos.Conflict, err, "the anchor of %d leaves at %s is not of the present log", a.Size, a.Destination).
				WithHint("the log is damaged, or was rewritten: run caos audit verify")
		}
		text, err := verify.NewPackagedAnchor(a, proof).Marshal()
		if err != nil {
			return err
		}
		if err := x.add(verify.AnchorName(a), text); err != nil {
			return err
		}
	}
	return nil
}

// consistency proves that an older tree is a prefix of the one that the file leads to.
func (x *export) consistency(old, cp verify.Checkpoint) (proof tlog.TreeProof, err error) {
	if old.Size > 0 && old.Size < cp.Size {
		if proof, err = tlog.ProveTree(cp.Size, old.Size, x.reader); err != nil {
			return nil, err
		}
	}
	return proof, verify.CheckConsistency(proof, old, cp)
}
