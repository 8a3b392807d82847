package httpapi

import (
	"context"

	"caos/internal/auditlog"
	"caos/internal/verify"
)

// prove returns the proof that a record is in the log: under the checkpoint that witnesses
// have cosigned where there is one that covers it, because whoever asks for cosignatures can
// use no other, and else under the freshest.
func (a *API) prove(ctx context.Context, s *auditlog.Stored) ([]byte, error) {
	if proof := a.proveCosigned(ctx, s); proof != nil {
		return proof, nil
	}
	return a.Log.ProveStored(ctx, s)
}

// proveCosigned returns nil where there is no such checkpoint: one of another generation of
// the log, or from before the record, is none. What is returned was checked.
func (a *API) proveCosigned(ctx context.Context, s *auditlog.Stored) []byte {
	if a.Anchors == nil {
		return nil
	}
	note, err := a.Anchors.Checkpoint(ctx)
	if err != nil {
		return nil
	}
	text, err := a.Log.ProveUnder(ctx, s, note)
	if err != nil {
		return nil
	}
	trust, err := a.Log.TrustOf(ctx, s.Generation)
	if err != nil {
		return nil
	}
	trust.WitnessQuorum = 0 // fewer than asked for are better than none
	p, err := verify.ParseProof(text)
	if err != nil {
		return nil
	}
	if _, err := p.Verify(verify.RecordHash(s.Leaf), trust); err != nil {
		return nil
	}
	return text
}

// underCosigned puts a passport's proof under the checkpoint that witnesses have cosigned,
// if there is one that covers it.
func (a *API) underCosigned(ctx context.Context, p *verify.PassportProof) error {
	if a.Anchors == nil {
		return nil
	}
	s, err := a.Log.Get(ctx, p.RecordID)
	if err != nil {
		return err
	}
	text := a.proveCosigned(ctx, s)
	if text == nil {
		return nil
	}
	proof, err := verify.ParseProof(text)
	if err != nil {
		return err
	}
	p.Proof, p.Checkpoint = string(text), string(proof.Checkpoint)
	return nil
}
