// Package verify is everything an auditor's program needs to check what CAOS claims,
// without a server, a network or a database: leaves, checkpoints, proofs, signed
// envelopes, personal decisions, trust files, evidence packages, and what others swear of the
// log: cosignatures of witnesses and time stamps. Entries on a chain are the exception: they
// are asked for at a node, and only if whoever verifies names one ([Chains]).
//
// It imports the standard library, golang.org/x/mod/sumdb, the canonical form of JSON
// (github.com/gowebpki/jcs) and the root package alone, because an auditor should be able to
// read all of it. Stored bytes are hashed as they are and never re-serialised, but for
// passports, whose proofs are over their canonical form; where a format has one spelling only,
// the parser makes that spelling again and refuses any other.
//
// Everything that is read here may come from an adversary: each parser bounds size, count
// and depth before it allocates, and none panics.
//
// # Package file
//
// One USTAR file (see header in tarstrict.go) of which every byte is determined by the
// manifest and the contents:
//
//	manifest.json                      Manifest
//	manifest.dsse.json                 DSSE, key of purpose evidence, in-toto statement whose only
//	                                   subject is {"name":"manifest.json","digest":{"sha256":hex}}
//	anchors/<kind>-<size>-<hex>.json   kind anchor: PackagedAnchor; hex begins the SHA-256 of its destination
//	audit/<AUDIT>.record.json          kind record: RecordFile, an audit record with salt, leaf and index
//	audit/<AUDIT>.proof                kind proof: c2sp.org/tlog-proof@v1 ending in exactly log/checkpoint
//	baselines/<BL>/model.sig           kind baseline: ModelBundle, the signed manifest of a frozen version
//	decisions/<ID>.json                kind decision: DecisionFile
//	documents/<path>                   kind document: anything, covered by its digest alone
//	evidence/<EVID>/artifact           kind evidence: the artifact's bytes
//	evidence/<EVID>/envelope.dsse.json kind envelope: DSSE, key of purpose evidence, in-toto statement with
//	                                   subject {"name":EVID,"digest":{"sha256":…}}, predicateType
//	                                   EvidencePredicate, predicate EvidenceClaim (other fields are allowed)
//	keys/<AUDIT>.record.json, .proof   kind key and proof: RecordFile of type KEY with its proof
//	log/checkpoint                     kind checkpoint: the signed note that all proofs lead to
//	passports/<DPP>.json               kind passport: the signed credential, canonical JSON
//	passports/<DPP>.annex.json         kind annex: whose digest that credential states
//	plan.json                          kind plan: Plan
//	policies/<SHA-256>.json            kind policy: DecisionPolicy, named by the digest of its bytes
//	reviews/<PRR>/<edition>/report.*   kind report: html or pdf, whose digest an audit record states
//
// The entries after the first two are in byte order of their names. The audit record of
// an evidence item is the record of type EVIDENCE that has the evidence id among its
// "resources" and whose "details" carry "evidence_hash", equal to "SHA256:" and the
// artifact's digest; where "details" also carry "envelope_hash" it is the envelope's.
// The details of a KEY record are a KeyEvent or, for a person's key, an Enrolment; those of
// a record that says what decisions came to are OutcomeDetails.
package verify
