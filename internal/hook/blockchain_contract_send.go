package hook

import (
	"cmp"
	"context"
	"encoding/hex"
	"time"

	"caos"
	"caos/internal/auth"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/engine"
)

// This file has the steps of BLOCKCHAIN.CONTRACT until the transaction is with the network.

// packCall asks the gates, which an execution that another hook started has not passed, and
// makes the call.
func (h *blockchainContract) packCall(tx *db.Tx, r *engine.Run, s *contractState) error {
	c := called{req: s.In, roles: r.By.Roles, automatic: automatic(r.By, r.Parent)}
	if err := h.resolve(tx, &c); err != nil {
		return reject(err, "function-allowed", s.In.Address)
	}
	s.ContractID, s.Function, s.Account, s.Params, s.Data = c.contract.ContractID, c.function.Function, c.function.Account, c.params, hex.EncodeToString(c.data)
	s.ABIDigest = c.contract.ABIDigest
	s.Project, s.Class = c.contract.Project, c.contract.Classification
	if r.Project != "" { // of what is recorded, where another hook asks for it
		s.Project = r.Project
	}
	r.Record.Resources = append(r.Record.Resources, s.ContractID)
	return nil
}

// tryCall asks the chain what the call would do. One that the contract refuses, or that
// needs more gas than it may use, ends here: nothing was sent.
func (h *blockchainContract) tryCall(ctx context.Context, r *engine.Run, s *contractState) error {
	k, err := h.chain.Contract(ctx, s.ContractID)
	if err != nil {
		return patient(r, err)
	}
	data, err := unhex(s.Data)
	if err != nil {
		return err
	}
	s.Tried = r.Now // from before it was: the safe side
	s.GasLimit, err = h.try(ctx, &called{req: s.In, contract: k, function: chain.Allowed{Function: s.Function, Account: s.Account}, data: data})
	return patient(r, reject(err, "call-reverts", s.In.Address))
}

// reserveTransaction makes the transaction's row. The gates are asked again: the chain may
// have been away for a while.
func (h *blockchainContract) reserveTransaction(tx *db.Tx, r *engine.Run, s *contractState) error {
	if err := h.mayStillCall(tx, r, s); err != nil {
		return err
	}
	data, err := unhex(s.Data)
	if err != nil {
		return err
	}
	subject, err := h.chain.SubjectBy(tx, r.ExecutionID)
	if err != nil {
		return err
	}
	t, err := h.chain.Prepare(tx, chain.Request{Subject: subject, ExecutionID: r.ExecutionID, ContractID: s.ContractID, Address: s.In.Address, Function: s.Function, Params: s.Params,
		Data: data, GasLimit: s.GasLimit, Account: s.Account, Project: s.Project, Classification: s.Class}, h.by(r))
	if err != nil {
		return err
	}
	s.TransactionID = t.TransactionID
	h.see(s, t)
	r.Record.Resources = append(r.Record.Resources, t.TransactionID, s.ContractID)
	return nil
}

func (h *blockchainContract) by(r *engine.Run) chain.By {
	return chain.By{Actor: r.RequestedBy, RecordedBy: r.By.ID, Execution: r.ExecutionID, Hook: r.HookID}
}

// mayStillCall asks once more, in the commit that announces the signature, what the gates
// asked: the contract may have been retired since, the role withdrawn. After the signature
// there is no way back, so nothing is asked again.
func (h *blockchainContract) mayStillCall(tx *db.Tx, r *engine.Run, s *contractState) error {
	if t, err := h.chain.TransactionOf(tx, r.ExecutionID); err != nil || t != nil && t.Status != chain.Prepared {
		return err
	}
	by := r.By
	if !automatic(by, r.Parent) && h.allowed != nil {
		by.Token = "" // one that has expired is no reason to stop
		about := auth.Resource{Type: "Hook", ID: contractHook, Project: cmp.Or(s.Project, by.Project), Classification: s.Class}
		switch err := h.allowed(tx, by, "hook:submit", about, nil); caos.KindOf(err) {
		case caos.StepUp: // the request brought its second factor, which is used up
		case caos.Denied, caos.Unauthenticated:
			return engine.Reject(caos.Finding{Rule: "requester-not-allowed", Subject: by.ID, Message: "the account " + by.ID + " that asked for the call may not ask for it any more: " + caos.AsError(err).Message,
				Remedy: "somebody who may submits it again"})
		default:
			if err != nil {
				return err
			}
		}
	}
	c := called{req: s.In, roles: by.Roles, automatic: automatic(by, r.Parent)}
	if _, err := h.functionAllowed(tx, &c); err != nil {
		return reject(err, "function-allowed", s.In.Address)
	}
	if c.contract.ContractID != s.ContractID || c.function.Function != s.Function || c.function.Account != s.Account || s.ABIDigest != "" && c.contract.ABIDigest != s.ABIDigest {
		return engine.Reject(caos.Finding{Rule: ruleRegistrationChanged, Subject: c.contract.ContractID, Message: "what is registered of the contract at " + s.In.Address + " was changed since the call was made",
			Remedy: "submit it again: it is then made by what is registered now"})
	}
	if _, err := h.gasAllowed(tx, &c); err != nil {
		return reject(err, chain.RuleGasLimit, s.In.Address)
	}
	return reject(h.forAnybody(tx, s.Params), ruleChainPublic, s.In.Address)
}

// ruleRegistrationChanged ends a call that was made by a registration that is no more: its
// account, or what its parameters mean, may be another now.
const ruleRegistrationChanged = "registration-changed"

// signTransaction gives the transaction its nonce and its signature. From here on it goes out.
func (h *blockchainContract) signTransaction(ctx context.Context, r *engine.Run, s *contractState) error {
	if r.Now.Sub(s.Tried) > triedFor {
		if err := h.stillSame(ctx, s); err != nil {
			return patient(r, reject(err, chain.RuleContractCode, s.In.Address))
		}
		s.Tried = r.Now
	}
	t, err := h.chain.Sign(ctx, s.TransactionID)
	if err != nil {
		return patient(r, err)
	}
	h.see(s, t)
	return nil
}

// triedFor is how long what was found out of a contract's code counts: an execution may have
// waited for its signature for days.
const triedFor = time.Minute

// stillSame refuses to have a call signed for a contract that is another by now.
func (h *blockchainContract) stillSame(ctx context.Context, s *contractState) error {
	t, err := h.chain.Transaction(ctx, s.TransactionID)
	if err != nil || t.Status != chain.Prepared { // what is signed goes out
		return err
	}
	k, err := h.chain.Contract(ctx, s.ContractID)
	if err != nil {
		return err
	}
	return h.chain.SameCode(ctx, k)
}

// submitTransaction sends the signed bytes, which any number of times are one transaction.
func (h *blockchainContract) submitTransaction(ctx context.Context, r *engine.Run, s *contractState) error {
	t, err := h.chain.Submit(ctx, s.TransactionID)
	if err != nil {
		return patient(r, err)
	}
	h.see(s, t)
	return nil
}

// see takes over how far the transaction is. What is not final is PENDING, and what is not
// true any more after a reorganisation of the chain is null again.
func (h *blockchainContract) see(s *contractState, t *chain.Transaction) {
	status := txPending
	s.Out.TransactionStatus = &status
	s.Out.TransactionID, s.Out.BlockNumber, s.Out.GasUsed = nil, t.BlockNumber, t.GasUsed
	page := h.baseURL + "/v1/transactions/" + t.TransactionID
	if t.Status != chain.Prepared && t.Status != chain.Signed {
		s.Out.TransactionID = optional(t.Hash)
		page = cmp.Or(h.chain.ExplorerURL(t.Hash), page)
	}
	s.Out.OnChainVerification = &page
}

// monitorNet is after how long an execution looks by itself, should nobody have woken it.
const monitorNet = 10 * time.Minute

// awaitConfirmation waits until the keeper of transactions says that something has changed.
func (h *blockchainContract) awaitConfirmation(tx *db.Tx, r *engine.Run, s *contractState) (engine.WaitSpec, error) {
	t, err := h.chain.TransactionIn(tx, s.TransactionID)
	if err != nil {
		return engine.WaitSpec{}, err
	}
	h.see(s, t)
	switch {
	case !t.Status.Final():
		// The keeper has seen by now what the doubt was about. Left standing, the doubt would
		// let the word that it is final again pass unheard.
		s.Verdict.Doubt = false
		return engine.WaitSpec{Until: r.Now.Add(monitorNet), Signal: true}, nil
	case s.Verdict.Doubt: // the block is gone, and the keeper has not seen it yet
		return engine.WaitSpec{Until: r.Now.Add(max(h.chain.Settings().BlockTime, 100*time.Millisecond)), Signal: true}, nil
	}
	return engine.WaitSpec{Until: r.Now}, nil
}

// lookAgain ends the wait once the transaction is final, or when nobody has said a word for
// too long.
func (h *blockchainContract) lookAgain(tx *db.Tx, _ *engine.Run, s *contractState, w engine.Wake) (bool, error) {
	t, err := h.chain.TransactionIn(tx, s.TransactionID)
	if err != nil {
		return false, err
	}
	h.see(s, t)
	return w.Kind == engine.WakeTime || t.Status.Final() && !s.Verdict.Doubt, nil
}

// giveUp ends what an execution leaves behind that fails or is cancelled. A transaction that
// is signed is not the execution's to stop.
func (h *blockchainContract) giveUp(tx *db.Tx, r *engine.Run, s *contractState) error {
	t, err := h.chain.TransactionOf(tx, r.ExecutionID)
	if err != nil {
		return err
	}
	if t != nil && t.Status == chain.Prepared {
		if t, err = h.chain.GiveUp(tx, t.TransactionID, giveUpReason(r), h.by(r)); err != nil {
			return err
		}
	}
	failed := txFailed
	switch {
	case t == nil || t.Status == chain.Failed:
		if t != nil {
			h.see(s, t)
		}
		s.Out.TransactionStatus = &failed
		_, err = h.chain.Settle(tx, r.ExecutionID, t)
		return err
	case t.Status == chain.Confirmed:
		confirmed := txConfirmed
		h.see(s, t)
		s.Out.TransactionStatus = &confirmed
	default:
		h.see(s, t)
	}
	r.Find(caos.Finding{Rule: "transaction-stands", Subject: t.TransactionID, Message: "the transaction " + t.Hash + " was signed before the execution ended, and goes its way: it is " + string(t.Status),
		Remedy: "caos transaction show " + t.TransactionID + " tells what becomes of it"})
	return nil
}

func giveUpReason(r *engine.Run) string {
	if r.Cause != nil {
		return r.Cause.Message
	}
	return "its execution ended " + string(r.Ending)
}
