package hook

import (
	"encoding/json"
	"strconv"

	"caos"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/engine"
)

// This file has what other hooks, and CAOS itself, record by BLOCKCHAIN.CONTRACT.

// ChainPolicy says what gets a transaction of its own on the chain; all else is covered by the
// anchored checkpoint.
type ChainPolicy struct {
	Required  []string          // action types of audit records
	Evidence  []string          // types of evidence
	Passports bool              // every passport
	Chain     *chain.Chain      // nil for none
	Senders   map[string]string // addresses of the accounts that pay, by name
}

// Available reports whether there is a chain with a registry to record in.
func (p ChainPolicy) Available() bool {
	return p.Chain != nil && p.Chain.Configured() && p.Chain.Settings().Registry != ""
}

// The functions of the registry by which CAOS records.
const (
	functionRecord = "recordProduction(string,string,bytes32,uint64)"
	functionAnchor = "anchorLog(string,uint64,bytes32)"
)

// registryFunction is the function by which a subject is recorded.
func registryFunction(kind chain.SubjectKind) string {
	if kind == chain.KindCheckpoint {
		return functionAnchor
	}
	return functionRecord
}

// RecordRequest is the input of BLOCKCHAIN.CONTRACT that records a subject in a registry.
// maxGas is what the registration allows for the function. Errors: Internal for a subject
// that cannot be recorded.
func RecordRequest(registry string, s chain.Subject, maxGas uint64) (json.RawMessage, error) {
	hash := hexOf(s.ContentHash)
	if hash == "" {
		return nil, caos.Errorf(caos.Internal, "%s %s has the content hash %q", s.Kind, s.ID, clip(s.ContentHash))
	}
	params := map[string]any{"modelId": s.ModelID, "version": s.Version, "contentHash": hash, "timestamp": strconv.FormatInt(s.Timestamp, 10)}
	if s.Kind == chain.KindCheckpoint {
		params = map[string]any{"origin": s.ModelID, "treeSize": s.Version, "rootHash": hash}
	}
	return json.Marshal(map[string]any{"contract_address": registry, "contract_function": registryFunction(s.Kind), "function_parameters": params, "gas_limit": maxGas})
}

// RecordSubject is the input of BLOCKCHAIN.CONTRACT that records a subject in the registry of
// this installation. Errors: those of the gates, while the registry is not registered or the
// registration does not let CAOS call of itself.
func (p ChainPolicy) RecordSubject(tx *db.Tx, s chain.Subject) (json.RawMessage, error) {
	registry := p.Chain.Settings().Registry
	_, f, err := p.Chain.Allowed(tx, registry, registryFunction(s.Kind), nil, true)
	if err != nil {
		return nil, err
	}
	return RecordRequest(registry, s, f.MaxGas)
}

// startRecording has a subject recorded by a child execution, for which nobody waits. If that
// cannot be begun now, CAOS begins it later of itself; why is the reason.
func (p ChainPolicy) startRecording(tx *db.Tx, r *engine.Run, s chain.Subject) (reason string, err error) {
	if err := p.Chain.Want(tx, s); err != nil {
		return "", err
	}
	known, err := p.Chain.SubjectIn(tx, s.Kind, s.ID)
	if err != nil {
		return "", err
	}
	if known != nil && known.State != chain.Wanted {
		return "it is recorded by " + known.ExecutionID, nil
	}
	input, err := p.RecordSubject(tx, s)
	if err != nil {
		return "it is recorded as soon as the registry can be called: " + caos.AsError(err).Message, tx.Err()
	}
	id, err := r.Start(tx, engine.ChildSpec{Hook: contractHook, Input: input, ModelID: modelOrNone(s)})
	if err != nil {
		return "it is recorded later: " + caos.AsError(err).Message, tx.Err()
	}
	return "its transaction is not confirmed yet: " + id + " sees to it", p.Chain.Link(tx, s.Kind, s.ID, id)
}

// modelOrNone is the model that a subject is about, where it is about one.
func modelOrNone(s chain.Subject) string {
	if caos.CheckID("model", "", s.ModelID) != nil {
		return ""
	}
	return s.ModelID
}
