// Package registry keeps what is known about models: their versions with artifacts and
// conversions, documents with what they state, frozen baselines, and the changes, problem
// reports, traceability links and industrialisation records around them.
//
// A version goes through the states of one table (State.May). While it is REGISTERED its
// artifacts may come and go; a freeze claims it (ClaimFreeze), which stops all change, and
// ends in a baseline (Freeze) or gives it back (ReleaseFreeze). What a freeze has to know is
// read by FreezeFacts in one transaction; whether that is enough is decided elsewhere.
//
// Documents are read before they are registered: ReadDocument turns the bytes of a V&V
// report, a V&V plan or a defect list into facts, strictly and outside any transaction.
// A document's version is never changed; the next version supersedes it, and a decision
// about it is made by somebody other than who registered it.
//
// Everything that changes is changed by a function of the caller's audited transaction,
// which also appends the record of it. Nothing in such a function reads a file: bytes are
// hashed, scanned and parsed before.
//
// Every noun has a project and a classification, by which callers decide who may know of
// it. Those of versions and baselines are their model's; a document that names a model is
// in the model's project and classified at least as high as the model.
package registry
