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
// "†" is a decision that a person makes in their own name: it needs either a statement that
// their own enrolled key has signed, or a second factor in the same request. Completing an item
// of a checklist by a statement is one, too; completing it with evidence is not.
//
//	role                   may
//	any account            read its own account, tokens, keys, notices, executions, records, evidence, models, documents,
//	                       changes, problem reports, decisions, pipelines, contracts, datasets and validations; cancel its own
//	                       executions; revoke its own tokens and keys; people also: create own tokens*, enrol own keys*, enrol a
//	                       second factor, replace it*
//	any role               read hooks, roles and policies
//	every programme role   read executions, evidence, objects, packages, alerts, triggers, models, documents, changes,
//	                       problem reports, links, industrialisation, statements, baselines, passports, checklists, risks,
//	                       certification plans, reviews, release authorisations, decisions, pipelines, contracts, datasets,
//	                       validations
//	                       (programme roles: all but admin and service)
//	admin                  accounts: read, create*, disable*, enable*, scope*; roles: grant*, revoke*; tokens: first one of a
//	                       person and those of services*, read, revoke; reset a second factor*; keys: read, revoke;
//	                       submit CERT.AUDIT; read executions, alerts, triggers, records, metrics; cancel executions;
//	                       write triggers*; run imports; recover the log*
//	auditor                read and prove records, export them; export packages; verify, export baselines; read accounts,
//	                       tokens, keys
//	certification          submit CERT.AUDIT, CERT.EVIDENCE, DPP.CREATE; on-behalf; upload; packages: create, plan, close*,
//	                       export; records: read, prove, export; register documents; write changes, links, checklists,
//	                       risks, certification plans; run imports; verify, export baselines
//	chief-engineer         decide executions*; records: read, prove; countersign keys*, read and revoke them; recover the log*;
//	                       upload; register documents; write and close changes and problem reports; write checklists,
//	                       risks; accept risks†, close them; vote on reviews†, close conditions†; approve† and revoke† releases
//	configuration-manager  submit CERT.AUDIT, MODEL.FREEZE*, MODEL.PRR, DPP.CREATE; on-behalf; register hooks*; records: read,
//	                       prove; countersign keys*, read, revoke; upload; models: create, update, artifacts; register documents;
//	                       write changes, links, industrialisation, checklists, risks, releases; register checklist templates;
//	                       close changes; run imports; verify, export baselines
//	data-engineer          submit DATA.PIPELINE, DATA.VALIDATE, CERT.EVIDENCE; write pipelines, contracts; upload; acknowledge
//	                       alerts; attach datasets to models; register documents; write changes, links, checklists, risks
//	incident-responder     submit CERT.AUDIT; cancel, retry executions; acknowledge, close alerts; records: read, prove;
//	                       keys: read, revoke; metrics; write changes, checklists, risks; revoke releases†; verify baselines
//	mlops-engineer         submit DATA.PIPELINE, DATA.VALIDATE, CERT.AUDIT, CERT.EVIDENCE, MODEL.FREEZE*, MODEL.PRR, DPP.CREATE;
//	                       write pipelines; upload; cancel, retry executions; acknowledge alerts; write triggers*; metrics;
//	                       versions and artifacts of models; register documents; write changes, links, industrialisation,
//	                       checklists, risks; verify, export baselines
//	model-owner            submit MODEL.FREEZE*, MODEL.PRR; upload; own models: create, update, artifacts; register documents;
//	                       write changes, links, checklists, risks
//	prr-board              decide executions*; vote on reviews†, close conditions†
//	qa-lead                submit DATA.VALIDATE; write contracts; decide executions*; records: read, prove, export; export
//	                       packages; close alerts; countersign keys*, read, revoke; recover the log*; upload; register documents,
//	                       decide them* but for safety assessments; write and close changes and problem reports; write
//	                       checklists, risks; register checklist templates; accept risks†, close them; close conditions†;
//	                       approve† and revoke† releases; verify, export baselines
//	release-manager        submit CERT.AUDIT, MODEL.PRR; cancel, retry executions, decide*; records: read, prove; write changes,
//	                       industrialisation, checklists, risks, releases; revoke releases†; verify, export baselines
//	safety-engineer        submit DATA.VALIDATE; decide executions*; records: read, prove; acknowledge, close alerts; upload;
//	                       register documents, decide safety assessments*; write changes, links, checklists, risks, certification
//	                       plans; close problem reports; accept risks†, close them; close conditions†; revoke releases†; verify
//	                       baselines
//	service                submit DATA.PIPELINE, DATA.VALIDATE, CERT.AUDIT, CERT.EVIDENCE, MODEL.PRR, DPP.CREATE; on-behalf;
//	                       upload; metrics; nothing sensitive
//	vv-lead                submit DATA.VALIDATE, CERT.EVIDENCE; upload; plan packages; register documents, V&V reports among
//	                       them; write changes, links, checklists, risks, certification plans; verify baselines
//
// "Write changes" includes problem reports. Nobody decides on a document, or closes a change
// or a problem report, that they brought or own, nor on documents about their own model;
// nobody registers the V&V report of their own model, nor lowers its classification. Whoever
// owns or owned a model, asked for its freeze, review or release, registered its V&V report, or
// did any of it for another, neither votes on its review nor approves its release, and closes no
// condition; nobody accepts or closes a risk that they own or wrote.
//
// Roles that do not go together: admin with any approving, releasing or auditing role;
// chief-engineer with qa-lead; auditor and service with anything.
package policy
