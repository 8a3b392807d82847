// Package policy decides who may do what. The rules are Cedar policies: the ones CAOS
// ships lie in the folder cedar, an operator may add a folder of more. This package knows
// no database and no clock; package auth gathers the facts and asks.
//
// Denied is the default, and so is every doubt: a policy that fails while it is evaluated,
// an action or attribute that the schema does not have, a value of the wrong type. A
// forbid wins over every permit, so the guards in cedar/guards.cedar hold against an
// operator's policies too. What a policy may say is checked when it is loaded, against
// cedar/caos.cedarschema: Cedar itself would skip a policy that errs, and a forbid that is
// skipped lets things through.
//
// # Who may do what
//
// The roles' own powers, each on the things of others and within need-to-know (projects
// and clearances). "*" needs a second factor in the same request. The complete table,
// role by role and action by action, is testdata/matrix.golden; a change of any policy
// shows there.
//
//	role                   may
//	any account            read its own account, tokens, keys, notices, executions, records, evidence, models, documents,
//	                       changes and problem reports; cancel its own executions; revoke its own tokens and keys; people
//	                       also: create own tokens*, enrol own keys*, enrol a second factor, replace it*
//	any role               read hooks, roles and policies
//	every programme role   read executions, evidence, objects, packages, alerts, triggers, models, documents, changes,
//	                       problem reports, links, industrialisation, statements, baselines, passports
//	                       (programme roles: all but admin and service)
//	admin                  accounts: read, create*, disable*, enable*, scope*; roles: grant*, revoke*; tokens: first one of a
//	                       person and those of services*, read, revoke; reset a second factor*; keys: read, revoke;
//	                       submit CERT.AUDIT; read executions, alerts, triggers, records, metrics; cancel executions;
//	                       write triggers*; run imports; recover the log*
//	auditor                read and prove records, export them; export packages; verify, export baselines; read accounts,
//	                       tokens, keys
//	certification          submit CERT.AUDIT, CERT.EVIDENCE, DPP.CREATE; on-behalf; upload; packages: create, plan, close*,
//	                       export; records: read, prove, export; register documents; write changes, links; run imports;
//	                       verify, export baselines
//	chief-engineer         decide executions*; records: read, prove; countersign keys*, read and revoke them; recover the log*;
//	                       upload; register documents; write and close changes and problem reports
//	configuration-manager  submit CERT.AUDIT, MODEL.FREEZE*, DPP.CREATE; on-behalf; register hooks*; records: read, prove;
//	                       countersign keys*, read, revoke; upload; models: create, update, artifacts; register documents;
//	                       write changes, links, industrialisation; close changes; run imports; verify, export baselines
//	data-engineer          submit CERT.EVIDENCE; upload; acknowledge alerts; attach datasets to models; register documents;
//	                       write changes, links
//	incident-responder     submit CERT.AUDIT; cancel, retry executions; acknowledge, close alerts; records: read, prove;
//	                       keys: read, revoke; metrics; write changes; verify baselines
//	mlops-engineer         submit CERT.AUDIT, CERT.EVIDENCE, MODEL.FREEZE*, DPP.CREATE; upload; cancel, retry executions;
//	                       acknowledge alerts; write triggers*; metrics; versions and artifacts of models; register
//	                       documents; write changes, links, industrialisation; verify, export baselines
//	model-owner            submit MODEL.FREEZE*; upload; own models: create, update, artifacts; register documents; write
//	                       changes, links
//	prr-board              decide executions*
//	qa-lead                decide executions*; records: read, prove, export; export packages; close alerts;
//	                       countersign keys*, read, revoke; recover the log*; upload; register documents, decide them* but
//	                       for safety assessments; write and close changes and problem reports; verify, export baselines
//	release-manager        submit CERT.AUDIT; cancel, retry executions, decide*; records: read, prove; write changes,
//	                       industrialisation; verify, export baselines
//	safety-engineer        decide executions*; records: read, prove; acknowledge, close alerts; upload; register documents,
//	                       decide safety assessments*; write changes, links; close problem reports; verify baselines
//	service                submit CERT.AUDIT, CERT.EVIDENCE, DPP.CREATE; on-behalf; upload; metrics; nothing sensitive
//	vv-lead                submit CERT.EVIDENCE; upload; plan packages; register documents, V&V reports among them; write
//	                       changes, links; verify baselines
//
// "Write changes" includes problem reports. Nobody decides on a document, or closes a change
// or a problem report, that they brought or own, nor on documents about their own model;
// nobody registers the V&V report of their own model, nor lowers its classification.
//
// Roles that do not go together: admin with any approving, releasing or auditing role;
// chief-engineer with qa-lead; auditor and service with anything.
package policy
